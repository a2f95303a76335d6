package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/radmatch/radmatch/radius/wire"
)

// TestCheckSeesWhatServeRefuses: whatever keeps serve from serving keeps check from
// saying that it can be served.
func TestCheckSeesWhatServeRefuses(t *testing.T) {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	const listen = `listen: {radius: ["127.0.0.1:0"], web: "127.0.0.1:0"}` + "\n"
	const primary = "primaries: [{name: local, type: file, path: users.yaml}]\n"
	tests := []struct {
		name, config string
		connect      bool // only check --connect can see it
		want         string
	}{
		{"users file missing", listen + "primaries: [{name: local, type: file, path: nosuch.yaml}]\n", false, "nosuch.yaml"},
		{"users file broken", listen + "primaries: [{name: local, type: file, path: broken.yaml}]\n", false, "broken.yaml:1"},
		{"directory's CA missing", listen + "primaries: [{name: ad, type: ldap, urls: ['ldaps://127.0.0.1'], base_dn: 'dc=example', ca_file: nosuch.pem}]\n", false, "nosuch.pem"},
		{"push secret missing", listen + primary + "push: [{name: chat, type: webhook, url: 'http://127.0.0.1:9/', secret_file: nosuch.key}]\n", false, "nosuch.key"},
		{"upstream secret missing", listen + "primaries: [{name: nps, type: radius, servers: [{address: '127.0.0.1:9', secret_file: nosuch.key}]}]\n", false, "nosuch.key"},
		{"push CA missing", listen + primary + "web: {push_services: ['127.0.0.1:9'], push_ca_file: nosuch.pem}\n", false, "nosuch.pem"},
		{"geoip missing", listen + primary + "web: {geoip_database: nosuch.mmdb}\n", false, "nosuch.mmdb"},
		{"certificate missing", listen + primary + "web: {tls: {cert_file: nosuch.pem, key_file: nosuch.key}}\n", false, "nosuch"},
		{"dictionaries missing", listen + primary + "dictionaries: nosuch\n", false, "nosuch"},
		{"data_dir is a file", listen + primary + "data_dir: users.yaml\n", false, "data_dir"},
		{"data_dir in a file", listen + primary + "data_dir: users.yaml/data\n", false, "data_dir"},
		{"data_dir where none can be made", listen + primary + "data_dir: /proc/radmatch/data\n", true, "data_dir"},
		{"RADIUS port in use", fmt.Sprintf("listen: {radius: [%q], web: '127.0.0.1:0'}\n", udp.LocalAddr()) + primary, true, "listen.radius[0]: cannot be listened on"},
		{"accounting port in use", fmt.Sprintf("listen: {radius: ['127.0.0.1:0'], accounting: [%q], web: '127.0.0.1:0'}\n", udp.LocalAddr()) + primary, true, "listen.accounting[0]"},
		{"web port in use", fmt.Sprintf("listen: {radius: ['127.0.0.1:0'], web: %q}\n", tcp.Addr()) + primary, true, "listen.web"},
		{"no database", listen + primary + "data_dir: broken\n", false, "not a database"},
		{"no such address", "listen: {radius: ['192.0.2.1:1812'], web: '127.0.0.1:0'}\n" + primary, true, "no interface of this machine"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			writeFile(t, filepath.Join(dir, "users.yaml"), scriptUsers)
			writeFile(t, filepath.Join(dir, "broken.yaml"), "user: []\n")
			if err := os.Mkdir(filepath.Join(dir, "broken"), 0o700); err != nil {
				t.Fatal(err)
			}
			writeFile(t, filepath.Join(dir, "broken", "radmatch.db"), strings.Repeat("no database\n", 400))
			file := writeFile(t, filepath.Join(dir, "radmatch.yaml"), tt.config+"clients: [{name: vpn, addresses: [127.0.0.1], secret: "+testSecret+"}]\n")
			if code, _, stderr := command(t, "serve", "-c", file); code == exitOK {
				t.Fatalf("serve has served: %s", stderr)
			}
			if err := os.RemoveAll(filepath.Join(dir, "data")); err != nil {
				t.Fatal(err)
			}
			args := []string{"check", "-c", file}
			if tt.connect {
				args = append(args, "--connect")
			}
			if code, out, _ := command(t, args...); code != exitConfig || !strings.Contains(out, tt.want) || strings.Contains(out, "can be served") {
				t.Errorf("check: exit %d, want %q in\n%s", code, tt.want, out)
			}
		})
	}
}

func TestListenHint(t *testing.T) {
	for errno, want := range map[syscall.Errno]string{
		syscall.EADDRINUSE: "another program has the address", syscall.EACCES: "CAP_NET_BIND_SERVICE",
		syscall.EADDRNOTAVAIL: "no interface", syscall.EMFILE: "change listen.web",
	} {
		err := &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", errno)}
		if got := listenHint(err, "listen.web"); !strings.Contains(got, want) || !strings.Contains(got, "change listen.web") {
			t.Errorf("%v: got %q, want %q", errno, got, want)
		}
	}
}

// TestReloadCommand: the command says how it went, a broken file reaches no server, and a
// check beside the running server leaves it its ports.
func TestReloadCommand(t *testing.T) {
	t.Parallel()
	site := fmt.Sprintf("listen: {radius: [%q], web: %q}\n", "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)) + strings.SplitAfterN(siteHead, "\n", 2)[1] + siteClient
	p := newServer(t, site)
	if code, _, stderr := p.run("reload"); code != exitFailure || !strings.Contains(stderr, "no server serves") {
		t.Errorf("without a server: exit %d, %s", code, stderr)
	}
	p.start()
	if code, out, stderr := p.run("check", "--connect"); code != exitOK || strings.Count(out, "in use by the running server") != 2 {
		t.Errorf("check beside the server: exit %d\n%s%s", code, out, stderr)
	}
	if code, out, stderr := p.run("reload"); code != exitOK || !strings.Contains(out, "serves 1 clients") {
		t.Errorf("reload: exit %d\n%s%s", code, out, stderr)
	}
	p.write("radmatch.yaml", strings.Replace(site, "mfa: {", "log: {format: console}\nmfa: {", 1))
	if code, out, stderr := p.run("reload"); code != exitOK || !strings.Contains(out, "log.format takes effect at the next start") {
		t.Errorf("reload with another format: exit %d\n%s%s", code, out, stderr)
	}
	if code, out, stderr := p.run("reload", "--json"); code != exitOK || !strings.Contains(out, `"reloads":3`) {
		t.Errorf("reload --json: exit %d\n%s%s", code, out, stderr)
	}
	for _, broken := range []struct{ file, text, want string }{
		{"radmatch.yaml", site + "nonsense: true\n", "nonsense: unknown key"},
		{"users.yaml", "users: [{name: alice, password: hunter2}]\n", "users.yaml:1"},
	} {
		p.write(broken.file, broken.text)
		code, _, stderr := p.run("reload")
		if code != exitConfig || !strings.Contains(stderr, broken.want) {
			t.Errorf("broken %s: exit %d, %s", broken.file, code, stderr)
		}
		if got := strings.Count(p.log(), `"msg":"reload failed`); got != 0 {
			t.Errorf("broken %s: the server was told", broken.file)
		}
		p.write("radmatch.yaml", site)
	}
	p.nasSocket("127.0.0.1").expect(wire.Query{Code: wire.StatusServer}, wire.AccessAccept)
	unit, err := os.ReadFile("../../deploy/radmatch.service")
	if err != nil {
		t.Fatal(err)
	}
	if want := "\nExecReload=/usr/local/bin/radmatch reload -c /etc/radmatch/radmatch.yaml\n"; !strings.Contains(string(unit), want) {
		t.Errorf("deploy/radmatch.service has no %q", want)
	}
}

// TestSecondSignal: the first SIGTERM lets waiting logins end, the second ends them.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+siteClient)
	ph := p.enroll("alice")
	p.nasSocket("127.0.0.1").start(signIn("alice", "192.0.2.1"))
	ph.prompt()
	p.signal(syscall.SIGTERM)
	p.await("server.log", `"msg":"stopping"`)
	start := time.Now()
	p.until("the second signal ends it", func() bool {
		select {
		case <-p.done:
			return true
		default:
			p.cmd.Process.Signal(syscall.SIGTERM)
			return false
		}
	})
	if took := time.Since(start); took > drainTime/2 {
		t.Errorf("it ended after %s", took)
	}
}

// TestDirectoryDownAtStart: the log says at once that a directory does not answer.
func TestDirectoryDownAtStart(t *testing.T) {
	t.Parallel()
	p := startServer(t, strings.Replace(siteHead, "{name: local, type: file, path: users.yaml}",
		"{name: ad, type: ldap, urls: ['ldap://127.0.0.1:1'], insecure_plaintext: true, base_dn: 'dc=example,dc=org'}", 1)+siteClient)
	p.await("server.log", `"level":"warn".*a directory cannot be asked now.*"primary":"ad","problem":"ldap://127.0.0.1:1: connect: .*refused`)
	p.stop()
}
