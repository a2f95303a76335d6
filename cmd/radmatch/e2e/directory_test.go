package e2e

import (
	"encoding/base32"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/nas"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/mfa/password/passwordtest"
	"github.com/radmatch/radmatch/radius/wire"
)

// startSlapd starts an OpenLDAP server that ends with the test.
func startSlapd(t *testing.T) *passwordtest.Slapd {
	t.Helper()
	needPeer(t, "slapd")
	s, err := passwordtest.NewSlapd(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// directorySite has an LDAP directory for the client at 127.0.0.2, and the users
// file for the one at 127.0.0.1.
func directorySite(t *testing.T) (*serverProcess, *passwordtest.Slapd) {
	t.Helper()
	s := startSlapd(t)
	p := newServer(t, fmt.Sprintf(`listen: {radius: ["127.0.0.1:0"], web: "127.0.0.1:0"}
data_dir: data
primaries:
  - {name: local, type: file, path: users.yaml}
  - {name: directory, type: ldap, url: %s, ca_file: %s, bind_dn: "cn=reader,dc=example,dc=org", bind_password: reader secret, base_dn: "dc=example,dc=org"}
clients:
  - {name: vpn, addresses: [127.0.0.1], secret: %s, primary: local}
  - {name: other, addresses: [127.0.0.2], secret: %[3]s, primary: directory, exempt_client: true}
mfa: {reject_delay: 500ms, require_user_match: false}
`, s.TLS, s.CA, testSecret))
	p.write("users.yaml", "users: [{name: local, password: \"{NT}"+rightHorse+"\"}]\n") // no user of the directory
	return p, s
}

// A directory that hangs does not slow logins that use another primary: with 400
// logins that wait for it, p99 of the others stays far below its timeouts.
func TestHungDirectory(t *testing.T) {
	t.Parallel()
	const logins, waiting = 400, 400
	p, slapd := directorySite(t)
	hash, err := password.NTHash("horse")
	if err != nil {
		t.Fatal(err)
	}
	var users, lines, tokens strings.Builder
	users.WriteString("users:\n")
	tokens.WriteString("upn,serial number,secret key,time interval,manufacturer,model\n")
	for i := range 2 * logins {
		name := fmt.Sprintf("user%03d", i)
		key := base32.StdEncoding.EncodeToString(tokenKey(name))
		fmt.Fprintf(&users, "  - {name: %s, password: %q}\n", name, hash)
		fmt.Fprintf(&tokens, "%s,%d,%s,30,Test,T1\n", name, i, key)
		fmt.Fprintf(&lines, "%s horse %s\n", name, key)
	}
	p.write("users.yaml", users.String())
	p.write("tokens.csv", tokens.String())
	p.write("bench.txt", lines.String())
	p.write("secret", testSecret)
	p.cli("totp", "import", p.path("tokens.csv"))
	p.start()
	bench := func(skip int) nas.BenchReport {
		var r nas.BenchReport
		out := p.cli("bench", p.radius[0], "--json", "--users", p.path("bench.txt"), "--secret-file", p.path("secret"),
			"--in-flight", "8", "--logins", fmt.Sprint(logins), "--skip", fmt.Sprint(skip), "--duration", "60s")
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		if r.Accepted != logins {
			t.Errorf("%d of %d were accepted: %s", r.Accepted, logins, out)
		}
		return r
	}
	p.nasSocket("127.0.0.2").expect(signIn("alice", ""), wire.AccessAccept)
	before := bench(0)
	if err := slapd.Hang(); err != nil {
		t.Fatal(err)
	}
	for i := range waiting / 200 {
		s := p.nasSocket("127.0.0.2")
		for j := range 200 {
			s.start(signIn(fmt.Sprintf("someone%d-%d", i, j), ""))
		}
	}
	p.until("they wait", func() bool { return p.clientReport("other").Packets > waiting })
	during := bench(logins)
	t.Logf("p99 before: %.1f ms, while %d logins wait for a directory that hangs: %.1f ms", before.P99, waiting, during.P99)
	if during.P99 > 10*before.P99+200 {
		t.Errorf("p99 was %.1f ms before and is %.1f ms", before.P99, during.P99)
	}
	p.signal(syscall.SIGTERM)
	if code := p.exited(); code != console.ExitOK {
		t.Errorf("exit: got %d; want %d", code, console.ExitOK)
	}
}

// What a user mistyped once is one wrong password to the directory, whatever
// the device makes of it: again under another identifier, from another port, by
// MS-CHAPv2 after PAP, and with a passcode behind it.
func TestOneAttemptOneBind(t *testing.T) {
	t.Parallel()
	p, slapd := directorySite(t)
	config, err := os.ReadFile(p.path("radmatch.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	p.write("radmatch.yaml", strings.Replace(string(config), "mfa: {", "mfa: {append: delimiter, ", 1))
	p.addTOTP("alice")
	p.start()
	for user, typed := range map[string]string{"alice": "wrong horse," + totp("alice", 0), "bob": "wrong,horse"} {
		first, second := p.nasSocket("127.0.0.2"), p.nasSocket("127.0.0.2")
		q := signIn(user, "198.51.100.7")
		q.Cred = mfa.Password(typed)
		once, again := first.start(q), first.start(q)
		for _, r := range []request{once, again, first.start(q)} {
			first.gets(r, wire.AccessReject)
		}
		if q.Cred, err = wire.NewMSCHAPv2(user, typed); err != nil {
			t.Fatal(err)
		}
		second.expect(q, wire.AccessReject)
		q.Cred = mfa.Password(typed)
		second.expect(q, wire.AccessReject)
		if n, err := slapd.Failures(user); n != 1 || err != nil {
			t.Errorf("%s: the directory has counted %d wrong passwords, want 1; %v", user, n, err)
		}
	}
	p.stop()
}

// A reload closes the connections of the primaries that it replaces.
func TestReloadClosesDirectory(t *testing.T) {
	t.Parallel()
	p, _ := directorySite(t)
	p.start()
	s := p.nasSocket("127.0.0.2")
	s.expect(signIn("alice", ""), wire.AccessAccept)
	first := p.sockets()
	for i := range 3 {
		p.signal(syscall.SIGHUP)
		p.until("reloaded", func() bool { return strings.Count(p.log(), `"msg":"reloaded"`) == i+1 })
		s.expect(signIn("alice", ""), wire.AccessAccept)
	}
	p.until("the sockets of one pool are left", func() bool { return p.sockets() == first })
	p.stop()
}

// sockets is how many the server has open.
func (p *serverProcess) sockets() int {
	p.t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	n := 0
	for _, f := range files {
		if target, _ := os.Readlink(f); strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return n
}
