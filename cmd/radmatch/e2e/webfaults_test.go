package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/radius/wire"
)

// TestSlowloris: a thousand connections that never finish their request keep no
// device out, and are closed.
func TestSlowloris(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+siteClient)
	var slow []net.Conn
	for i := range 1000 {
		c, err := net.DialTimeout("tcp", p.web, testTimeout)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 { // the others say nothing at all
			fmt.Fprintf(c, "POST /api/v1/enroll HTTP/1.1\r\nHost: x\r\nX-%d: ", i)
		}
		slow = append(slow, c)
	}
	ph, s := p.enroll("alice"), p.nasSocket("127.0.0.1")
	r := s.start(signIn("alice", ""))
	ph.approve()
	s.gets(r, wire.AccessAccept)
	for _, c := range slow {
		c.SetReadDeadline(time.Now().Add(testTimeout))
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
	ph, s := p.enroll("alice"), p.nasSocket("127.0.0.1")
	for target, want := range map[string]int{
		"/api/v1/enroll": http.StatusRequestEntityTooLarge, "/api/v1/prompts/x/decision": http.StatusRequestEntityTooLarge,
		"/push/webhook/chat/x": http.StatusRequestEntityTooLarge, "/push/ntfy/x": http.StatusBadRequest, // which reads no body
	} {
		auth, err := ph.sign("POST", target, nil)
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
			if resp.StatusCode != want {
				t.Errorf("%s: %s", target, resp.Status)
			}
		} // otherwise the connection was closed in the middle
		if n := body.taken.Load(); n > 16<<20 { // what the sockets of both sides hold
			t.Errorf("%s: %d octets were taken", target, n)
		}
	}
	r := s.start(signIn("alice", ""))
	ph.approve()
	s.gets(r, wire.AccessAccept)
}

// TestForgedDecisions: through the whole program, a decision counts only from a
// device of the user, for the request that it was signed for, as it was
// signed, and once.
func TestForgedDecisions(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+siteClient)
	alice, bob, s := p.enroll("alice"), p.enroll("bob"), p.nasSocket("127.0.0.1")
	first := s.start(signIn("alice", ""))
	v := alice.prompt()
	refused := func(name string, ph *device.Phone, v device.PromptView, action device.Action, number string) {
		t.Helper()
		_, err := ph.Decide(t.Context(), v, action, number)
		var told *device.PhoneError
		if !errors.As(err, &told) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	refused("another user's device", bob.Phone, v, device.ActionApprove, "")
	posing := &device.Phone{Server: alice.Server, Device: alice.Device, User: "alice", Version: alice.Version, Key: bob.Key}
	refused("another device's key", posing, v, device.ActionApprove, "")
	refused("a number that was not asked for", alice.Phone, v, device.ActionApprove, "42")
	other := v
	other.ID = strings.Repeat("x", len(v.ID))
	refused("another request", alice.Phone, other, device.ActionApprove, "")
	another := v
	another.User = "bob"
	refused("signed for another user", alice.Phone, another, device.ActionApprove, "")
	if n := len(alice.live()); n != 1 {
		t.Fatalf("got %d requests wait; want 1", n)
	}
	alice.decide(v, device.ActionApprove, "")
	s.gets(first, wire.AccessAccept)
	refused("a second time", alice.Phone, v, device.ActionApprove, "")
}

// said is the error code in an answer of the device protocol.
func said(text string) string {
	var body device.ErrorBody
	_ = json.Unmarshal([]byte(text), &body)
	return body.Code
}

// decision is the body of a decision on v, signed for one number and sent with another.
func (ph *testPhone) decision(v device.PromptView, signed, sent string) []byte {
	ph.p.t.Helper()
	d := device.Decision{Version: ph.Version, Device: ph.Device, Prompt: v.ID, Action: device.ActionApprove, Number: signed, Surface: device.SurfaceApp}
	err := d.Sign(ph.Key, v.User)
	body, err2 := json.Marshal(device.DecisionRequest{Decision: d.Action, Number: sent, Surface: d.Surface, Signature: device.Encode(d.Signature)})
	if err := errors.Join(err, err2); err != nil {
		ph.p.t.Fatal(err)
	}
	return body
}

// TestTamperedNumber: a number that was changed on the way neither approves nor
// ends the sign-in.
func TestTamperedNumber(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+strings.Replace(siteClient, "mfa: {", "mfa: {number_in_prompt: true, ", 1))
	ph, s := p.enroll("alice"), p.nasSocket("127.0.0.1")
	a := s.expect(signIn("alice", ""), wire.AccessChallenge)
	number := regexp.MustCompile(`\b[1-9][0-9]\b`).FindString(a.Message())
	v, wrong := ph.prompt(), "10"
	if number == wrong {
		wrong = "11"
	}
	target := "/api/v1/prompts/" + v.ID + "/decision"
	for _, c := range []struct{ signed, sent, want string }{
		{wrong, number, "bad_signature"},
		{number, wrong, "bad_signature"},
		{"", number, "bad_signature"},
		{number, "", "bad_signature"},
		{"", "", "number_required"},
		{number + "x", number + "x", "bad_request"},
	} {
		if status, text := ph.request("POST", target, ph.decision(v, c.signed, c.sent)); status/100 != 4 || said(text) != c.want {
			t.Errorf("signed %q, sent %q: %d %s, want %s", c.signed, c.sent, status, text, c.want)
		}
	}
	if status, text := ph.request("POST", target, ph.decision(v, number, number)); status != 200 {
		t.Errorf("the right number: got %d %s; want 200", status, text)
	}
	s.expect(answerTo("alice", a.State(), "ok"), wire.AccessAccept)
}

// TestDecisionSentAgain: a decision counts once, for its own prompt, in its time,
// and not for another site's page.
func TestDecisionSentAgain(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+`clients:
  - {name: vpn, addresses: [127.0.0.1], secret: `+testSecret+`}
  - {name: hasty, addresses: [127.0.0.2], secret: `+testSecret+`, push_timeout: 1s}
mfa: {reject_delay: 500ms}
`)
	ph, s := p.enroll("alice"), p.nasSocket("127.0.0.1")
	decide := func(v device.PromptView, body []byte, auth string, header http.Header, want string) {
		t.Helper()
		target := "/api/v1/prompts/" + v.ID + "/decision"
		if auth == "" {
			var err error
			if auth, err = ph.sign("POST", target, body); err != nil {
				t.Fatal(err)
			}
		}
		header = header.Clone()
		header.Set("Content-Type", "application/json")
		header.Set("Authorization", auth)
		if _, text := p.send(target, body, header); said(text) != want {
			t.Errorf("got %s, want %q", text, want)
		}
	}
	first := s.start(signIn("alice", "192.0.2.1"))
	v := ph.prompt()
	body := ph.decision(v, "", "")
	for _, site := range []http.Header{{"Sec-Fetch-Site": {"cross-site"}}, {"Origin": {"https://evil.example"}}, {"Origin": {"null"}}} {
		decide(v, body, "", site, "cross_origin")
	}
	if len(ph.live()) != 1 {
		t.Fatal("got a decision by another site's page; want the prompt still open")
	}
	auth, err := ph.sign("POST", "/api/v1/prompts/"+v.ID+"/decision", body)
	if err != nil {
		t.Fatal(err)
	}
	decide(v, body, auth, http.Header{}, "")
	s.gets(first, wire.AccessAccept)
	decide(v, body, auth, http.Header{}, "replayed")
	decide(v, body, "", http.Header{}, "already_decided")

	second := s.start(signIn("alice", "192.0.2.2"))
	next := ph.prompt()
	decide(next, body, "", http.Header{}, "bad_signature") // of the first prompt
	decide(next, ph.decision(next, "", ""), "", http.Header{}, "")
	s.gets(second, wire.AccessAccept)

	hasty := p.nasSocket("127.0.0.2")
	late := hasty.start(signIn("alice", "192.0.2.3"))
	v = ph.prompt()
	hasty.gets(late, wire.AccessReject)
	decide(v, ph.decision(v, "", ""), "", http.Header{}, "expired")
	if got := p.counts("alice"); got["accept approve_deny"] != 2 || got["reject push_no_response"] != 1 || len(got) != 2 {
		t.Errorf("got events %v; want 2 accept approve_deny, 1 reject push_no_response, 2 of them", got)
	}
}

// TestNoFrames: nothing that the program serves can be put into a frame of
// another site's page (clickjacking).
func TestNoFrames(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+siteClient)
	for _, target := range []string{"/", "/enroll", "/app.js", "/healthz", "/nothing", "/api/v1/prompts", "/push/ntfy/AAAA", "/push/webhook/chat/x", "/push/"} {
		resp, err := http.Get("http://" + p.web + target)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if policy := resp.Header.Get("Content-Security-Policy"); resp.Header.Get("X-Frame-Options") != "DENY" || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s: %v", target, resp.Header)
		}
	}
}
