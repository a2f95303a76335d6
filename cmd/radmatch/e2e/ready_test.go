package e2e

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/radius/wire"
)

// state is what the server says at a path of listen.web.
func (p *serverProcess) state(path string) (status int, body string) {
	p.t.Helper()
	resp, err := http.Get("http://" + p.web + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// awaitState waits until /readyz says this. /healthz says ok all the time.
func (p *serverProcess) awaitState(want int, body string) {
	p.t.Helper()
	p.until("/readyz", func() bool {
		status, text := p.state("/readyz")
		if status == want && text != body {
			p.t.Fatalf("/readyz: got %q, want %q", text, body)
		}
		return status == want
	})
	if status, text := p.state("/healthz"); status != http.StatusOK || text != "ok\n" {
		p.t.Errorf("/healthz: got %d %q, want 200 ok", status, text)
	}
}

// fill fills the disk of data_dir; the function that it returns makes room again.
func (p *serverProcess) fill() (empty func()) {
	p.t.Helper()
	f, err := os.Create(p.path("data/fill"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, zeros{}); !errors.Is(err, syscall.ENOSPC) {
		p.t.Fatalf("the disk does not fill: got %v; want syscall.ENOSPC", err)
	}
	return func() {
		if err := os.Remove(p.path("data/fill")); err != nil {
			p.t.Fatal(err)
		}
	}
}

// A server whose disk is full says so before a login comes: Status-Server gets no answer, on
// neither kind of address, and /readyz is 503. When there is room again, it is ready.
func TestNotReadyDiskFull(t *testing.T) {
	t.Parallel()
	p := newServer(t, strings.Replace(siteHead, "listen: {", `listen: {accounting: ["127.0.0.1:0"], `, 1)+siteClient)
	p.mount("4m")
	p.addTOTP("alice")
	p.start()
	s := p.nasSocket("127.0.0.1")
	probe := wire.Query{Code: wire.StatusServer}
	p.awaitState(http.StatusOK, "ok\n")
	s.expect(probe, wire.AccessAccept)
	empty := p.fill()
	p.awaitState(http.StatusServiceUnavailable, "not ready\n")
	p.await("server.log", `not ready: Status-Server gets no answer.*takes no commit.*(disk is full|no space left)`)
	unheard := s.start(probe)
	// A challenge needs no disk; it comes behind what there was to answer.
	s.expect(signIn("alice", ""), wire.AccessChallenge)
	if n := len(s.inbox[unheard.id]); n > 0 {
		t.Errorf("%d answers to a Status-Server, want none", n)
	}
	empty()
	p.awaitState(http.StatusOK, "ok\n")
	p.await("server.log", `ready again`)
	s.expect(probe, wire.AccessAccept)
}

// A server that ends answers what waits, and says that nothing new should come.
func TestNotReadyDraining(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+siteClient)
	ph := p.enroll("alice")
	s := p.nasSocket("127.0.0.1")
	r := s.start(signIn("alice", ""))
	v := ph.prompt()
	p.awaitState(http.StatusOK, "ok\n")
	p.signal(syscall.SIGTERM)
	p.awaitState(http.StatusServiceUnavailable, "not ready\n")
	ph.decide(v, device.ActionApprove, "")
	s.gets(r, wire.AccessAccept)
	if code := p.exited(); code != 0 {
		t.Errorf("exit %d; server.log:\n%s; want 0", code, p.log())
	}
}
