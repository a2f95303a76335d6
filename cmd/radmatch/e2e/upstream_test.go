package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/cmd/radmatch/nas"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/mfa/password/passwordtest"
	"github.com/radmatch/radmatch/radius/wire"
)

// An upstream that hangs does not slow logins that use another primary: with 400
// logins that wait for it, p99 of the others stays far below its timeout.
func TestHungUpstream(t *testing.T) {
	t.Parallel()
	needPeer(t, "freeradius")
	const logins, waiting = 400, 400
	upstream, err := passwordtest.NewFreeRADIUS(t.TempDir(), "../../../testdata/freeradius", testSecret)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(upstream.Close)
	p := newServer(t, fmt.Sprintf(`listen: {radius: ["127.0.0.1:0"], web: "127.0.0.1:0"}
data_dir: data
primaries:
  - {name: local, type: file, path: users.yaml}
  - {name: upstream, type: radius, timeout: 20s, servers: [{address: "%s", secret: %s}]}
clients:
  - {name: vpn, addresses: [127.0.0.1], secret: %[2]s, primary: local, exempt_client: true}
  - {name: other, addresses: [127.0.0.2], secret: %[2]s, primary: upstream, exempt_client: true}
mfa: {reject_delay: 500ms}
`, upstream.Addr, testSecret))
	hash, err := password.NTHash("horse")
	if err != nil {
		t.Fatal(err)
	}
	p.write("users.yaml", fmt.Sprintf("users: [{name: dave, password: %q}]\n", hash))
	p.write("bench.txt", "dave horse AAAA\n")
	p.write("secret", testSecret)
	p.start()
	p.nasSocket("127.0.0.2").expect(signIn("bob", ""), wire.AccessAccept)
	before := benchPasswords(t, p, logins)
	if err := upstream.Hang(); err != nil {
		t.Fatal(err)
	}
	for i := range waiting / 200 {
		s := p.nasSocket("127.0.0.2")
		for j := range 200 {
			s.start(signIn(fmt.Sprintf("someone%d-%d", i, j), ""))
		}
	}
	p.until("they wait", func() bool { return p.clientReport("other").Packets > waiting })
	during := benchPasswords(t, p, logins)
	t.Logf("p99 before: %.1f ms, while %d logins wait for an upstream that hangs: %.1f ms", before.P99, waiting, during.P99)
	if during.P99 > 10*before.P99+200 {
		t.Errorf("p99 was %.1f ms before and is %.1f ms", before.P99, during.P99)
	}
	if err := upstream.Resume(); err != nil { // those that wait get their answers, and the server may end
		t.Fatal(err)
	}
	p.stop()
}

// benchPasswords signs in with passwords, eight at a time.
func benchPasswords(t *testing.T, p *serverProcess, logins int) nas.BenchReport {
	t.Helper()
	var r nas.BenchReport
	out := p.cli("bench", p.radius[0], "--json", "--mode", "password", "--users", p.path("bench.txt"), "--secret-file", p.path("secret"),
		"--in-flight", "8", "--logins", fmt.Sprint(logins), "--duration", "60s")
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if r.Accepted != logins {
		t.Errorf("%d of %d were accepted: %s", r.Accepted, logins, strings.TrimSpace(out))
	}
	return r
}

// TestUpstreamUnsureName: one account has two names, and the server does not say that
// it is one: the second name is no way around a block or a second factor.
func TestUpstreamUnsureName(t *testing.T) {
	t.Parallel()
	needPeer(t, "freeradius")
	upstream, err := passwordtest.NewFreeRADIUS(t.TempDir(), "../../../testdata/freeradius", testSecret)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(upstream.Close)
	p := newServer(t, fmt.Sprintf(`listen: {radius: ["127.0.0.1:0"], web: "127.0.0.1:0"}
data_dir: data
primaries:
  - {name: nps, type: radius, default_domain: EXAMPLE, canonical_domain: example.org, servers: [{address: "%s", secret: %s}]}
clients:
  - {name: lax, addresses: [127.0.0.1], secret: %[2]s, require_user_match: false}
  - {name: exempt, addresses: [127.0.0.2], secret: %[2]s, exempt_client: true, require_user_match: false}
mfa: {reject_delay: 500ms}
`, upstream.Addr, testSecret))
	p.start()
	if out := p.cli("check"); strings.Count(out, string(mfa.ReasonUnsureName)) != 2 {
		t.Errorf("check warns not of both clients: %s", out)
	}
	for _, from := range []string{"127.0.0.1", "127.0.0.2"} {
		s := p.nasSocket(from)
		s.expect(signIn("alice", ""), wire.AccessAccept)
		s.expect(signIn("dora.smith@example.org", ""), wire.AccessAccept) // User-Name is dora
		s.expect(signIn("alice@example.org", ""), wire.AccessReject)
		events := p.events("alice@example.org")
		if ev := events[len(events)-1]; ev.Reason != mfa.ReasonUnsureName {
			t.Errorf("from %s: the event has: got %s; want %s", from, ev.Reason, mfa.ReasonUnsureName)
		}
	}
	// How docs/upstream.md tells whether a server returns User-Name.
	for typed, user := range map[string]string{"dora.smith@example.org": "dora@example.org", "alice@example.org": "alice@example.org"} {
		login := p.command(nil, "login", typed, "--server", p.radius[0], "--password-stdin")
		login.Stdin = strings.NewReader(testPassword + "\n")
		out, _ := login.CombinedOutput()
		var ev mfa.Event
		if err := json.Unmarshal([]byte(p.cli("events", "--limit", "1", "--json")), &ev); err != nil || ev.User.String() != user {
			t.Errorf("login as %s: the event is of %q, %v:\n%s", typed, ev.User, err, out)
		}
	}
	p.stop()
}

// TestUpstreamPage: the entry of docs/upstream.md is one that FreeRADIUS was given.
func TestUpstreamPage(t *testing.T) {
	page, err := os.ReadFile("../../../docs/upstream.md")
	if err != nil {
		t.Fatal(err)
	}
	users, err := os.ReadFile("../../../testdata/freeradius/users")
	if err != nil {
		t.Fatal(err)
	}
	_, entry, ok := strings.Cut(string(page), "In its `users` file:\n\n  ```\n")
	entry, _, end := strings.Cut(entry, "  ```")
	if entry = strings.ReplaceAll(entry, "\n  ", "\n"); !ok || !end || !strings.Contains(entry, "User-Name = ") {
		t.Fatalf("the page has no entry: %q", entry)
	}
	form := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(entry)), "…", "[0-9a-f]{32}")
	if !regexp.MustCompile(`(?m)^` + form + `$`).Match(users) {
		t.Errorf("FreeRADIUS was not given %q", entry)
	}
}
