package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa/device"
)

// pamClient is siteClient as pam_radius; its timeout is that of the module.
func pamClient(timeout int) string {
	return fmt.Sprintf(`clients:
  - {name: host, addresses: [127.0.0.1], secret: %s, profile: pam, nas_timeout: %ds}
mfa: {reject_delay: 500ms}
`, testSecret, timeout)
}

// pamSession is a run of a program that asks in a terminal: pamtester with the
// real pam_radius, in a mount namespace with an /etc/pam.d of its own, and others.
type pamSession struct {
	t     testing.TB
	in    io.WriteCloser
	shown *screen
	done  chan error
}

// screen keeps what a program prints.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// pam begins a login of user.
func (p *serverProcess) pam(user string, timeout int) *pamSession {
	p.t.Helper()
	tester, unshare := needPeer(p.t, "pamtester"), needPeer(p.t, "unshare")
	modules, _ := filepath.Glob("/lib/*/security/pam_radius_auth.so")
	if len(modules) == 0 {
		mustRun(p.t, "pam_radius is missing: run testdata/install-peers as root")
	}
	if os.Getuid() != 0 {
		mustRun(p.t, "a mount namespace needs root")
	}
	dir := p.t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	servers := filepath.Join(dir, "servers")
	write(servers, fmt.Sprintf("%s %s %d\n", p.radius[0], testSecret, timeout))
	service := fmt.Sprintf("auth required pam_radius_auth.so conf=%s\n", servers)
	if err := os.Mkdir(filepath.Join(dir, "pam.d"), 0o755); err != nil {
		p.t.Fatal(err)
	}
	write(filepath.Join(dir, "pam.d", "radmatch"), service)
	cmd := exec.Command(unshare, "--mount", "--propagation", "private", "sh", "-c",
		`mount --bind "$1" /etc/pam.d && exec "$2" radmatch "$3" authenticate`, "sh", filepath.Join(dir, "pam.d"), tester, user)
	return startSession(p.t, cmd)
}

// startSession starts a program that asks, and ends it with the test.
func startSession(t testing.TB, cmd *exec.Cmd) *pamSession {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	s := &pamSession{t: t, in: in, shown: &screen{}, done: make(chan error, 1)}
	cmd.Stdout, cmd.Stderr = s.shown, s.shown
	cmd.WaitDelay = time.Second // children of a server may hold its output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.done <- cmd.Wait()
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	return s
}

// shows waits until the program has printed a text.
func (s *pamSession) shows(text string) {
	s.t.Helper()
	for deadline := time.Now().Add(testTimeout); !strings.Contains(s.shown.String(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("no %q:\n%s", text, s.shown)
		}
	}
}

// types waits for a prompt and types a line: the module reads all that is there,
// so that an answer must not come before its question.
func (s *pamSession) types(prompt, line string) {
	s.t.Helper()
	s.shows(prompt)
	if _, err := io.WriteString(s.in, line+"\n"); err != nil {
		s.t.Fatalf("%v:\n%s; want no error", err, s.shown)
	}
}

// ends demands that the login ends so.
func (s *pamSession) ends(in bool) {
	s.t.Helper()
	select {
	case err := <-s.done:
		if (err == nil) != in {
			s.t.Errorf("let in: %v, want %v:\n%s", err == nil, in, s.shown)
		}
	case <-time.After(testTimeout):
		s.t.Fatalf("the login does not end:\n%s", s.shown)
	}
}

// TestPAM is logins through the real pam_radius.
func TestPAM(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+pamClient(30))
	p.addTOTP("alice")
	p.start()
	ph := p.enroll("bob")

	s := p.pam("alice", 30)
	s.types("Password:", testPassword)
	s.types("Enter your verification code.", "000000")
	s.types("That code was not accepted.", totp("alice", 0))
	s.ends(true)

	s = p.pam("alice", 30)
	s.types("Password:", "wrong horse")
	s.ends(false)

	s = p.pam("bob", 30)
	s.types("Password:", testPassword)
	ph.approve()
	s.ends(true)

	s = p.pam("bob", 30)
	s.types("Password:", testPassword)
	ph.decide(ph.prompt(), device.ActionDeny, "")
	s.ends(false)
	if n := p.counts("bob"); n["accept approve_deny"] != 1 || n["reject push_denied"] != 1 {
		t.Errorf("got events %v; want 1 accept approve_deny, 1 reject push_denied", n)
	}
}

// TestPAMAsDelivered: the module waits 3 s. A user who takes longer presses Enter.
func TestPAMAsDelivered(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+strings.Replace(pamClient(3), ", nas_timeout: 3s", "", 1))
	ph := p.enroll("bob")
	s := p.pam("bob", 3)
	s.types("Password:", testPassword)
	v := ph.prompt()
	s.types("Approve the request on your device, then press OK", "")
	ph.decide(v, device.ActionApprove, "")
	s.ends(true)
	if n := p.counts("bob"); n["accept approve_deny"] != 1 || len(n) != 1 {
		t.Errorf("got events %v; want 1 accept approve_deny, 1 of them", n)
	}
}

// TestPAMLongAnswer: an Accept that the module could not read is a rejection, in the
// trail too, before a code is asked for; check and explain say so beforehand.
func TestPAMLongAnswer(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+pamClient(30))
	var classes strings.Builder
	for range 5 {
		fmt.Fprintf(&classes, "      - {Class: %s}\n", strings.Repeat("x", 240))
	}
	p.write("users.yaml", strings.Replace(scriptUsers, "      - {Class: alice-class}\n", classes.String(), 1))
	p.addTOTP("alice")
	const why = "answer is longer than the 1024 octets that the client reads"
	if out := p.cli("check"); !strings.Contains(out, "warning: the reply attributes of 1 users cannot be sent, their logins are rejected (reply_too_long): alice: "+why) {
		t.Errorf("check says\n%s", out)
	}
	if out := p.cli("explain", "alice"); !strings.Contains(out, "every login is rejected (reply_too_long): "+why) {
		t.Errorf("explain says\n%s", out)
	}
	if out := p.cli("explain", "bob"); strings.Contains(out, "reply_too_long") {
		t.Errorf("explain says of a user without attributes\n%s; want no \"reply_too_long\" in it", out)
	}
	p.start()
	s := p.pam("alice", 30)
	s.types("Password:", testPassword)
	s.ends(false)
	if n := p.counts("alice"); n["reject reply_too_long"] != 1 || len(n) != 1 {
		t.Errorf("got events %v; want 1 reject reply_too_long, 1 of them", n)
	}
	if ev := p.events("alice")[0]; ev.Text != why {
		t.Errorf("event %+v", ev)
	}
}
