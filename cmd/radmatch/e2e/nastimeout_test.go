package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/radmatch/radmatch/cmd/radmatch/report"
)

// impatient is a NAS that gives up after 3 s: the real radclient, which sends
// three packets a second apart. It signs in all users at once, and returns what
// it says.
func (p *serverProcess) impatient(users ...string) string {
	p.t.Helper()
	program := needPeer(p.t, "radclient")
	said := make([]string, len(users))
	var done sync.WaitGroup
	for i, user := range users {
		done.Go(func() {
			cmd := exec.Command(program, "-r", "3", "-t", "1", p.radius[0], "auth", testSecret)
			cmd.Stdin = strings.NewReader(fmt.Sprintf("User-Name = %q\nUser-Password = %q\nMessage-Authenticator = 0x00\n", user, testPassword))
			out, _ := cmd.CombinedOutput() // it fails where the login does
			said[i] = string(out)
		})
	}
	done.Wait()
	return strings.Join(said, "")
}

func (p *serverProcess) clientReport(name string) (r report.Client) {
	p.t.Helper()
	dec := json.NewDecoder(strings.NewReader(p.cli("clients", "--json")))
	for {
		var next report.Client
		err := dec.Decode(&next)
		if err == io.EOF {
			return r
		}
		if err != nil {
			p.t.Fatal(err)
		}
		if next.Client == name {
			r = next
		}
	}
}

// Nothing that a client sends changes how long a push waits: invented names and
// requests that are given up teach nothing. What the operator sets does.
func TestNASTimeoutIsNotLearned(t *testing.T) {
	t.Parallel()
	const head = siteHead + `mfa: {reject_delay: 500ms, push_timeout: 5s}
clients:
  - {name: vpn, addresses: [127.0.0.1], secret: ` + testSecret
	p := newServer(t, head+"}\n")
	users := p.addUsers("user", 10)
	p.start()
	for _, user := range users {
		p.enroll(user)
	}
	if out := p.impatient(users[:8]...); strings.Contains(out, "Received") {
		t.Fatalf("answered in time:\n%s; want no \"Received\" in it", out)
	}
	p.awaitEvent(users[0], "reject push_no_response", 1)
	if out := p.impatient(users[8]); strings.Contains(out, "Received") {
		t.Errorf("a push was cut because other requests had been given up:\n%s; want no \"Received\" in it", out)
	}
	if r := p.clientReport("vpn"); r.NASTimeout != 0 || r.Origin != "" {
		t.Errorf("in effect %v (%s); want NASTimeout 0, Origin no text", r.NASTimeout, r.Origin)
	}
	p.write("radmatch.yaml", head+", nas_timeout: 2s}\n")
	p.signal(syscall.SIGHUP)
	p.await("server.log", "reloaded")
	if out := p.impatient(users[9]); !strings.Contains(out, "Received Access-Challenge") {
		t.Errorf("a push was not answered before the NAS gave up:\n%s; want \"Received Access-Challenge\" in it", out)
	}
	if r := p.clientReport("vpn"); r.NASTimeout != 2*time.Second || r.Origin != "client vpn" {
		t.Errorf("in effect %v (%s); want NASTimeout 2*time.Second, Origin \"client vpn\"", r.NASTimeout, r.Origin)
	}
}

// check warns of each client whose NAS timeout is too short for a user, with what to
// set on that make of device.
func TestCheckNASTimeouts(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+`clients:
  - {name: gate, addresses: [192.0.2.1], secret: `+testSecret+`, profile: fortigate}
  - {name: set, addresses: [192.0.2.2], secret: `+testSecret+`, profile: fortigate, nas_timeout: 60s}
  - {name: short, addresses: [192.0.2.3], secret: `+testSecret+`, nas_timeout: 10s}
  - {name: unknown, addresses: [192.0.2.4], secret: `+testSecret+`}
`)
	var got []string
	for line := range strings.Lines(p.cli("check")) {
		if strings.Contains(line, "a user needs") {
			got = append(got, line)
		}
	}
	want := []string{
		"client gate: warning: it waits 5s for an answer (profile fortigate), a user needs 30s: config system global: set remoteauthtimeout 60",
		"client short: warning: it waits 10s for an answer (client short), a user needs 30s: let it wait 60 s",
	}
	if len(got) != len(want) || !strings.HasPrefix(got[0], want[0]) || !strings.HasPrefix(got[1], want[1]) {
		t.Errorf("got %q, want %q", got, want)
	}
}
