package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/serve"
	"github.com/radmatch/radmatch/radius/wire"
)

// TestReloadCommand: the command says how it went, a broken file reaches no server, and a
// check beside the running server leaves it its ports.
func TestReloadCommand(t *testing.T) {
	t.Parallel()
	site := fmt.Sprintf("listen: {radius: [%q], web: %q}\n", "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)) + strings.SplitAfterN(siteHead, "\n", 2)[1] + siteClient
	p := newServer(t, site)
	if code, _, stderr := p.run("reload"); code != console.ExitFailure || !strings.Contains(stderr, "no server serves") {
		t.Errorf("without a server: exit %d: got %s; want console.ExitFailure, \"no server serves\" in it", code, stderr)
	}
	p.start()
	if code, out, stderr := p.run("check", "--connect"); code != console.ExitOK || strings.Count(out, "in use by the running server") != 2 {
		t.Errorf("check beside the server: exit %d\n%s%s; want exit 0, 2 times \"in use by the running server\"", code, out, stderr)
	}
	if code, out, stderr := p.run("reload"); code != console.ExitOK || !strings.Contains(out, "serves 1 clients") {
		t.Errorf("reload: exit %d\n%s%s; want console.ExitOK, \"serves 1 clients\" in it", code, out, stderr)
	}
	p.write("radmatch.yaml", strings.Replace(site, "mfa: {", "log: {format: console}\nmfa: {", 1))
	if code, out, stderr := p.run("reload"); code != console.ExitOK || !strings.Contains(out, "log.format takes effect at the next start") {
		t.Errorf("reload with another format: exit %d\n%s%s; want console.ExitOK, \"log.format takes effect at the next start\" in it", code, out, stderr)
	}
	if code, out, stderr := p.run("reload", "--json"); code != console.ExitOK || !strings.Contains(out, `"reloads":3`) {
		t.Errorf("reload --json: exit %d\n%s%s", code, out, stderr)
	}
	for _, broken := range []struct{ file, text, want string }{
		{"radmatch.yaml", site + "nonsense: true\n", "nonsense: unknown key"},
		{"users.yaml", "users: [{name: alice, password: hunter2}]\n", "users.yaml:1"},
	} {
		p.write(broken.file, broken.text)
		code, _, stderr := p.run("reload")
		if code != console.ExitConfig || !strings.Contains(stderr, broken.want) {
			t.Errorf("broken %s: exit %d, %s", broken.file, code, stderr)
		}
		if got := strings.Count(p.log(), `"msg":"reload failed`); got != 0 {
			t.Errorf("broken %s: the server was told; want 0", broken.file)
		}
		p.write("radmatch.yaml", site)
	}
	p.nasSocket("127.0.0.1").expect(wire.Query{Code: wire.StatusServer}, wire.AccessAccept)
	unit, err := os.ReadFile("../../../deploy/radmatch.service")
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
	if took := time.Since(start); took > serve.DrainTime/2 {
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
