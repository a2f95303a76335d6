package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/radius"
)

// TestSlowloris: a thousand connections that never finish their request keep no
// device out, and are closed.
func TestSlowloris(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+siteClient)
	var slow []net.Conn
	for i := range 1000 {
		c, err := net.DialTimeout("tcp", p.web, patience)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 { // the others say nothing at all
			fmt.Fprintf(c, "POST /api/v1/enroll HTTP/1.1\r\nHost: x\r\nX-%d: ", i)
		}
		slow = append(slow, c)
	}
	ph, s := p.enroll("alice"), p.seat("127.0.0.1")
	r := s.start(signIn("alice", ""))
	ph.approve()
	s.gets(r, radius.AccessAccept)
	for _, c := range slow {
		c.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, net.ErrClosed) || isTimeout(err) {
			t.Fatalf("a half-open request lives on: %v", err)
		}
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// hundredMB is a body that counts what is taken of it; net/http may still read
// when the answer is there.
type hundredMB struct{ taken atomic.Int64 }

func (b *hundredMB) Read(p []byte) (int, error) {
	if b.taken.Load() >= 100<<20 {
		return 0, io.EOF
	}
	b.taken.Add(int64(len(p)))
	return len(p), nil
}

// TestHugeBodiesAtTheDoor: 100 MB are not read, and logins go on.
func TestHugeBodiesAtTheDoor(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+siteClient)
	ph, s := p.enroll("alice"), p.seat("127.0.0.1")
	for _, target := range []string{"/api/v1/enroll", "/api/v1/prompts/x/decision"} {
		auth, err := push.SignRequest(ph.Key, ph.Version, ph.Device, time.Now(), "POST", target, nil)
		if err != nil {
			t.Fatal(err)
		}
		body := &hundredMB{}
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+p.web+target, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", auth)
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("%s: %s", target, resp.Status)
			}
		} // else the connection was closed in the middle
		if n := body.taken.Load(); n > 16<<20 { // what the sockets of both sides hold
			t.Errorf("%s: %d octets were taken", target, n)
		}
	}
	r := s.start(signIn("alice", ""))
	ph.approve()
	s.gets(r, radius.AccessAccept)
}

// TestForgedDecisions: through the whole program, a decision counts only from a
// device of the person, for the request that it was signed for, as it was
// signed, and once.
func TestForgedDecisions(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+siteClient)
	alice, bob, s := p.enroll("alice"), p.enroll("bob"), p.seat("127.0.0.1")
	first := s.start(signIn("alice", ""))
	v := alice.prompt()
	refused := func(name string, ph *push.Phone, v push.PromptView, action push.Action, number string) {
		t.Helper()
		_, err := ph.Decide(t.Context(), v, action, number)
		var told *push.PhoneError
		if !errors.As(err, &told) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	refused("another person's device", bob.Phone, v, push.ActionApprove, "")
	posing := &push.Phone{Server: alice.Server, Device: alice.Device, User: "alice", Version: alice.Version, Key: bob.Key}
	refused("another device's key", posing, v, push.ActionApprove, "")
	refused("a number that was not asked for", alice.Phone, v, push.ActionApprove, "42")
	other := v
	other.ID = strings.Repeat("x", len(v.ID))
	refused("another request", alice.Phone, other, push.ActionApprove, "")
	another := v
	another.User = "bob"
	refused("signed for another user", alice.Phone, another, push.ActionApprove, "")
	if n := len(alice.live()); n != 1 {
		t.Fatalf("%d requests wait", n)
	}
	alice.decide(v, push.ActionApprove, "")
	s.gets(first, radius.AccessAccept)
	refused("a second time", alice.Phone, v, push.ActionApprove, "")
}
