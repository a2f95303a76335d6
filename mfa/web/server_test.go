package web

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/front"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/mfa/push/pushtest"
)

// rig is a server on loopback, anna with two devices, and bob with one.
type rig struct {
	*Server
	http  *httptest.Server
	store *pushtest.Store
	keys  map[string]*ecdsa.PrivateKey
	logs  *observer.ObservedLogs
}

func newRig(t testing.TB) *rig { return newRigWith(t, func(*Server, *pushtest.Store) {}) }

// newRigWith has set change the server before it serves.
func newRigWith(t testing.TB, set func(*Server, *pushtest.Store)) *rig {
	st := &pushtest.Store{}
	core, logs := observer.New(zap.DebugLevel)
	r := &rig{store: st, keys: map[string]*ecdsa.PrivateKey{}, logs: logs,
		Server: &Server{Store: st, Approver: &push.Approver{Store: st}, Logger: zap.New(core), Heartbeat: 20 * time.Millisecond}}
	for id, user := range map[string]string{"anna1": "anna", "anna2": "anna", "bob1": "bob"} {
		r.keys[id] = st.Add(t, user, id, device.MaxVersion)
	}
	set(r.Server, st)
	r.http = httptest.NewUnstartedServer(nil)
	r.http.Config = front.NewHTTPServer(r.Handler(), r.Logger)
	r.http.Start()
	t.Cleanup(func() {
		r.Close()
		r.http.Close()
	})
	return r
}

func (r *rig) phone(id string) *device.Phone {
	d, err := r.store.Device(context.Background(), id)
	if err != nil {
		panic(err)
	}
	return &device.Phone{Server: r.http.URL, Device: id, User: d.User.String(), Version: device.MaxVersion, Key: r.keys[id]}
}

// prompt starts a prompt of anna and returns when it is live.
func (r *rig) prompt(t testing.TB, id, number string) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := r.Approver.Push(t.Context(), mfa.Prompt{ID: id, User: mfa.NameOf("anna"), Client: "vpn", Number: number,
			Started: time.Now(), Expires: time.Now().Add(time.Minute), Requests: []mfa.PromptRequest{{Client: "vpn", EndUser: "198.51.100.7"}}})
		done <- err
	}()
	r.await(t, id)
	return done
}

// await returns when the prompt is live.
func (r *rig) await(t testing.TB, id string) {
	t.Helper()
	sub := r.Approver.Subscribe(mfa.NameOf("anna"), device.MaxVersion)
	defer sub.Close()
	for timeout := time.After(20 * time.Second); ; {
		select {
		case <-sub.Ready():
			sub.Take()
		case <-timeout:
			t.Fatalf("prompt %s is not live", id)
		}
		live := r.Approver.Live(mfa.NameOf("anna"), device.MaxVersion).Prompts
		if slices.ContainsFunc(live, func(p device.PromptView) bool { return p.ID == id }) {
			return
		}
	}
}

// request makes an HTTP request. sign names the device that signs it.
type request struct {
	method, target, body string
	sign                 string
	version              int
	at                   time.Time
	header               http.Header
}

func (r *rig) do(t testing.TB, q request) (int, device.ErrorBody, http.Header) {
	t.Helper()
	resp := r.send(t, q)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var b device.ErrorBody
	_ = json.Unmarshal(text, &b)
	return resp.StatusCode, b, resp.Header
}

func (r *rig) send(t testing.TB, q request) *http.Response {
	t.Helper()
	if q.method == "" {
		q.method = "GET"
	}
	req, err := http.NewRequestWithContext(t.Context(), q.method, r.http.URL+q.target, strings.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	if q.method == "POST" {
		req.Header.Set("Content-Type", "application/json")
	}
	if q.sign != "" {
		if q.version == 0 {
			q.version = device.MaxVersion
		}
		if q.at.IsZero() {
			q.at = time.Now()
		}
		auth, err := device.SignRequest(r.keys[q.sign], q.version, q.sign, q.at, q.method, q.target, []byte(q.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", auth)
	}
	for k, v := range q.header {
		req.Header[k] = v
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestRequestsRefused(t *testing.T) {
	r := newRig(t)
	now := time.Now()
	other, _ := device.SignRequest(r.keys["anna1"], 2, "anna1", now, "GET", "/api/v1/events", nil)
	forged, _ := device.SignRequest(r.keys["bob1"], 2, "anna1", now, "GET", "/api/v1/prompts", nil)
	used, _ := device.SignRequest(r.keys["anna1"], 2, "anna1", now, "GET", "/api/v1/prompts", nil)
	foreign, _ := device.SignRequest(r.keys["bob1"], 2, "nobody", now, "GET", "/api/v1/prompts", nil)
	auth := func(h string) http.Header { return http.Header{"Authorization": {h}} }
	if status, _, _ := r.do(t, request{target: "/api/v1/prompts", header: auth(used)}); status != 200 {
		t.Fatalf("a good request: got %d; want 200", status)
	}
	for _, c := range []struct {
		name   string
		q      request
		status int
		code   string
	}{
		{"unsigned", request{target: "/api/v1/prompts"}, 400, "bad_request"},
		{"nonsense", request{target: "/api/v1/prompts", header: auth("Radmatch x=y")}, 400, "bad_request"},
		{"signed for another path", request{target: "/api/v1/prompts", header: auth(other)}, 401, "bad_signature"},
		{"signed by another device", request{target: "/api/v1/prompts", header: auth(forged)}, 401, "bad_signature"},
		{"signed by another user's device", request{target: "/api/v1/prompts", header: auth(foreign)}, 401, "device_unknown"},
		{"replayed", request{target: "/api/v1/prompts", header: auth(used)}, 401, "replayed"},
		{"replayed on the stream", request{target: "/api/v1/events", header: auth(used)}, 401, "bad_signature"},
		{"past", request{target: "/api/v1/prompts", sign: "anna1", at: now.Add(-2 * time.Minute)}, 401, "clock_skew"},
		{"future", request{target: "/api/v1/prompts", sign: "anna1", at: now.Add(2 * time.Minute)}, 401, "clock_skew"},
		{"a version to come", request{target: "/api/v1/prompts", sign: "anna1", version: device.MaxVersion + 1}, 400, "version_unsupported"},
		{"version 0", request{target: "/api/v1/prompts", header: auth(strings.Replace(used, "version=2", "version=0", 1))}, 400, "version_unsupported"},
		{"method", request{method: "DELETE", target: "/api/v1/prompts", sign: "anna1"}, 404, "not_found"},
		{"path", request{target: "/api/v2/prompts", sign: "anna1"}, 404, "not_found"},
		{"large header", request{target: "/api/v1/prompts", header: http.Header{"X-Large": {strings.Repeat("x", 40<<10)}}}, 431, ""},
		{"another site's page", request{method: "POST", target: "/api/v1/enroll", body: "{}", header: http.Header{"Sec-Fetch-Site": {"cross-site"}}}, 403, "cross_origin"},
		{"another origin", request{method: "POST", target: "/api/v1/prompts/p/decision", sign: "anna1", body: "{}", header: http.Header{"Origin": {"https://evil.example"}}}, 403, "cross_origin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if status, b, _ := r.do(t, c.q); status != c.status || b.Code != c.code {
				t.Errorf("got %d %q (%s), want %d %q", status, b.Code, b.Message, c.status, c.code)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	r := newRig(t)
	for _, target := range []string{"/", "/enroll", "/style.css", "/app.js", "/sw.js", "/icon-180.png", "/healthz", "/api/v1/prompts", "/nothing"} {
		status, _, h := r.do(t, request{target: target})
		if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q; want \"default-src 'none'\" in it, \"frame-ancestors 'none'\" in it, no \"unsafe\" in it", target, csp)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer"} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s is: got %q; want %q", target, name, got, want)
			}
		}
		// The page is kept and asked for by its tag, everything else never kept.
		kept, tag := h.Get("Cache-Control") == "no-cache", h.Get("ETag")
		if kept != (tag != "") || !kept && h.Get("Cache-Control") != "no-store" || strings.HasPrefix(target, "/api") && kept {
			t.Errorf("%s: Cache-Control %q, ETag %q", target, h.Get("Cache-Control"), tag)
		}
		if kept {
			if status, _, _ := r.do(t, request{target: target, header: http.Header{"If-None-Match": {tag}}}); status != http.StatusNotModified {
				t.Errorf("%s: the same again: status: got %d; want %d", target, status, http.StatusNotModified)
			}
		}
		if strings.HasPrefix(target, "/api") != (status/100 == 4) && target != "/nothing" {
			t.Errorf("%s: status %d", target, status)
		}
	}
}

// TestDocumentedErrors: the documentation has each code with its status.
func TestDocumentedErrors(t *testing.T) {
	doc, err := os.ReadFile("../../docs/device-protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	more := []problem{{status: 401, code: "clock_skew"}, {status: 400, code: "version_unsupported"}, {status: 500, code: "internal"},
		{status: 404, code: "not_found"}, {status: 403, code: "cross_origin"}}
	for _, p := range append(more, problems...) {
		if row := fmt.Sprintf("| %d | `%s` |", p.status, p.code); !bytes.Contains(doc, []byte(row)) {
			t.Errorf("docs/device-protocol.md lacks %s", row)
		}
	}
}

func TestDecisions(t *testing.T) {
	r := newRig(t)
	done := r.prompt(t, "p1", "42")
	target := "/api/v1/prompts/p1/decision"
	body := func(from, user, prompt string, action device.Action, number string) string {
		d := device.Decision{Version: device.MaxVersion, Device: from, Prompt: prompt, Action: action, Number: number, Surface: device.SurfaceApp}
		if err := d.Sign(r.keys[from], user); err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(device.DecisionRequest{Decision: action, Number: number, Surface: device.SurfaceApp, Signature: device.Encode(d.Signature)})
		return string(text)
	}
	good := body("anna1", "anna", "p1", device.ActionApprove, "42")
	for _, c := range []struct {
		name   string
		q      request
		status int
		code   string
	}{
		{"unsigned request", request{target: target, body: good}, 400, "bad_request"},
		{"another device passes it on", request{target: target, body: good, sign: "anna2"}, 401, "bad_signature"},
		{"another user passes it on", request{target: target, body: good, sign: "bob1"}, 404, "unknown_prompt"},
		{"another user decides", request{target: target, body: body("bob1", "bob", "p1", device.ActionApprove, "42"), sign: "bob1"}, 404, "unknown_prompt"},
		{"for another prompt", request{target: target, body: body("anna1", "anna", "p2", device.ActionApprove, "42"), sign: "anna1"}, 401, "bad_signature"},
		{"unknown prompt", request{target: "/api/v1/prompts/p2/decision", body: body("anna1", "anna", "p2", device.ActionApprove, "42"), sign: "anna1"}, 404, "unknown_prompt"},
		{"tampered number", request{target: target, body: strings.Replace(body("anna1", "anna", "p1", device.ActionApprove, "41"), "41", "42", 1), sign: "anna1"}, 401, "bad_signature"},
		{"no number", request{target: target, body: body("anna1", "anna", "p1", device.ActionApprove, ""), sign: "anna1"}, 422, "number_required"},
		{"old version", request{target: target, body: good, sign: "anna1", version: 1}, 400, "bad_request"},
		{"not JSON", request{target: target, body: "approve", sign: "anna1"}, 400, "bad_request"},
		{"two objects", request{target: target, body: good + good, sign: "anna1"}, 400, "bad_request"},
		{"no content type", request{target: target, body: good, sign: "anna1", header: http.Header{"Content-Type": nil}}, 400, "bad_request"},
		{"large", request{target: target, body: strings.Repeat(" ", 8<<10) + good, sign: "anna1"}, 413, "too_large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.q.method = "POST"
			if status, b, _ := r.do(t, c.q); status != c.status || b.Code != c.code {
				t.Errorf("got %d %q, want %d %q", status, b.Code, c.status, c.code)
			}
		})
	}
	select {
	case err := <-done:
		t.Fatalf("the prompt ended: %v", err)
	default:
	}
	if status, _, _ := r.do(t, request{method: "POST", target: target, body: good, sign: "anna1"}); status != 200 {
		t.Errorf("the right one: got %d; want 200", status)
	}
	if err := <-done; err != nil {
		t.Errorf("Push: got error %v; want none", err)
	}
	if status, b, _ := r.do(t, request{method: "POST", target: target, body: good, sign: "anna1"}); status != 409 || b.Code != "already_decided" {
		t.Errorf("again: got %d %q; want 409, Code \"already_decided\"", status, b.Code)
	}
	for _, e := range r.logs.All() {
		for k, v := range e.ContextMap() {
			if k != "from" /* a port may hold any digits */ && strings.Contains(fmt.Sprint(v), "42") {
				t.Errorf("the number is in the log: %s %s=%v", e.Message, k, v)
			}
		}
	}
}

// TestWrongNumber: one try.
func TestWrongNumber(t *testing.T) {
	r := newRig(t)
	done := r.prompt(t, "p1", "42")
	l, err := r.phone("anna1").Prompts(t.Context())
	if err != nil || len(l.Prompts) != 1 || !l.Prompts[0].NumberRequired {
		t.Fatalf("got %+v, %v", l, err)
	}
	if told, err := r.phone("anna1").Decide(t.Context(), l.Prompts[0], device.ActionApprove, "24"); told.Outcome != device.OutcomeWrongNumber || err != nil {
		t.Fatalf("got %+v, %v", told, err)
	}
	if err := <-done; !errors.Is(err, mfa.ErrWrongNumber) || !errors.Is(err, mfa.ErrRejected) {
		t.Errorf("Push: got %v; want mfa.ErrWrongNumber, mfa.ErrRejected", err)
	}
	var told *device.PhoneError
	if _, err := r.phone("anna1").Decide(t.Context(), l.Prompts[0], device.ActionApprove, "42"); !errors.As(err, &told) || told.Code != "already_decided" {
		t.Errorf("second try: %v", err)
	}
}

func TestOldDeviceAndNumber(t *testing.T) {
	r := newRig(t)
	r.prompt(t, "p1", "42")
	old := r.phone("anna1")
	old.Version = 1
	l, err := old.Prompts(t.Context())
	if err != nil || !strings.Contains(l.Prompts[0].Refused, "cannot match numbers") || l.Prompts[0].RefusedCode != "device_too_old" {
		t.Fatalf("got %+v, %v", l, err)
	}
	var told *device.PhoneError
	if _, err := old.Decide(t.Context(), l.Prompts[0], device.ActionApprove, ""); !errors.As(err, &told) || told.Code != "device_too_old" {
		t.Errorf("approve: %v", err)
	}
	if d, _ := r.store.Device(t.Context(), "anna1"); d.Version != 1 {
		t.Errorf("the store has version: got %d; want 1", d.Version)
	}
	if told, err := old.Decide(t.Context(), l.Prompts[0], device.ActionNotMe, ""); told.Outcome != device.OutcomeReported || err != nil {
		t.Errorf("not me: got %+v %v; want Outcome device.OutcomeReported, no error", told, err)
	}
}

func TestEnroll(t *testing.T) {
	r := newRig(t)
	token := r.store.Invite("carol", time.Now().Add(time.Hour))
	link := device.InvitationLink(r.http.URL, token)
	p, err := device.Enroll(t.Context(), link, "Carol's phone", device.MaxVersion, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p.User != "carol" || p.Device == "" {
		t.Errorf("got %+v", p)
	}
	if l, err := p.Prompts(t.Context()); err != nil || len(l.Prompts) != 0 {
		t.Errorf("its first request: got %+v, %v; want no error, no Prompts", l, err)
	}
	expired := device.InvitationLink(r.http.URL, r.store.Invite("carol", time.Now().Add(-time.Second)))
	guess, _ := device.NewInvitation(mfa.NameOf("carol"), time.Now())
	for name, link := range map[string]string{"used": link, "expired": expired, "guessed": device.InvitationLink(r.http.URL, guess)} {
		var told *device.PhoneError
		if _, err := device.Enroll(t.Context(), link, "x", device.MaxVersion, nil); !errors.As(err, &told) || told.Code != "invitation" || told.Status != 403 {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, e := range r.logs.All() {
		if text := fmt.Sprint(e.Message, e.ContextMap()); strings.Contains(text, token) || strings.Contains(text, guess) {
			t.Errorf("the log has a token: %s", text)
		}
	}
	if devices, _ := r.store.Devices(t.Context(), mfa.NameOf("carol")); len(devices) != 1 {
		t.Errorf("got %d devices; want 1", len(devices))
	}
}

// TestGuessLimit: wrong tokens use up an address's tries, right ones do not.
func TestGuessLimit(t *testing.T) {
	r := newRig(t)
	enroll := func(token string) string {
		var told *device.PhoneError
		switch _, err := device.Enroll(t.Context(), device.InvitationLink(r.http.URL, token), "x", device.MaxVersion, nil); {
		case err == nil:
			return "enrolled"
		case errors.As(err, &told):
			return told.Code
		default:
			return err.Error()
		}
	}
	for range guessBurst + 5 {
		if got := enroll(r.store.Invite("carol", time.Now().Add(time.Hour))); got != "enrolled" {
			t.Fatalf("a right one: got %s; want \"enrolled\"", got)
		}
	}
	refused := 0
	for i := range guessBurst + 5 {
		guess, _ := device.NewInvitation(mfa.NameOf("carol"), time.Now())
		ask := enroll
		if i%2 == 0 {
			ask = r.invitation(t)
		}
		if ask(guess) == "too_many_requests" {
			refused++
		}
	}
	if refused < 3 { // some drain while the test runs
		t.Errorf("%d of %d guesses refused", refused, guessBurst+5)
	}
	// Nor do they keep anybody out who has a good one, at that address or, all
	// together, elsewhere.
	r.guesses.all.SetBurst(0)
	good := r.store.Invite("carol", time.Now().Add(time.Hour))
	if got := r.invitation(t)(good); got != "carol" {
		t.Errorf("a good one is looked at: got %s; want \"carol\"", got)
	}
	if got := enroll(good); got != "enrolled" {
		t.Errorf("a good one: got %s; want \"enrolled\"", got)
	}
	if got := r.invitation(t)(good); got != "too_many_requests" {
		t.Errorf("a used one: got %s; want \"too_many_requests\"", got)
	}
}

// invitation asks whom a token is for; it returns the user, or the code of an error.
func (r *rig) invitation(t *testing.T) func(token string) string {
	return func(token string) string {
		resp := r.send(t, request{method: "POST", target: "/api/v1/invitation", body: fmt.Sprintf(`{"token": %q}`, token)})
		defer resp.Body.Close()
		var told struct{ User, Error string }
		if err := json.NewDecoder(resp.Body).Decode(&told); err != nil {
			t.Fatal(err)
		}
		return told.User + told.Error
	}
}

// TestInvitationTells: who has the token learns for whom it is, and at once that
// it is over; nobody else learns anything.
func TestInvitationTells(t *testing.T) {
	r := newRig(t)
	tells := r.invitation(t)
	token := r.store.Invite("carol", time.Now().Add(time.Hour))
	guess, _ := device.NewInvitation(mfa.NameOf("carol"), time.Now())
	for range 2 { // asking uses nothing up
		if got := tells(token); got != "carol" {
			t.Errorf("got %q", got)
		}
	}
	if _, err := device.Enroll(t.Context(), device.InvitationLink(r.http.URL, token), "x", device.MaxVersion, nil); err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"used": token, "expired": r.store.Invite("carol", time.Now().Add(-time.Second)), "guessed": guess, "none": "", "long": strings.Repeat("A", 65),
	} {
		if got := tells(token); got != "invitation" {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// TestSameName: two devices of one user are told apart by their names.
func TestSameName(t *testing.T) {
	r := newRig(t)
	long := strings.Repeat("ä", 64)
	var names []string
	for _, name := range []string{"Firefox", "Firefox", "firefox", long, long} {
		link := device.InvitationLink(r.http.URL, r.store.Invite("carol", time.Now().Add(time.Hour)))
		p, err := device.Enroll(t.Context(), link, name, device.MaxVersion, nil)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, p.Name)
	}
	want := []string{"Firefox", "Firefox (2)", "firefox (3)", long, strings.Repeat("ä", 60) + " (2)"}
	if !slices.Equal(names, want) {
		t.Errorf("got %q", names)
	}
}

// TestSignedBeforeTheStart: what the server before this one may have taken is not
// taken again, and a device is told how to go on.
func TestSignedBeforeTheStart(t *testing.T) {
	started := time.Now()
	r := newRigWith(t, func(s *Server, _ *pushtest.Store) { s.Started = started })
	for _, at := range []time.Duration{-30 * time.Second, 0} {
		if status, b, _ := r.do(t, request{target: "/api/v1/prompts", sign: "anna1", at: started.Add(at)}); status != 401 || b.Code != "clock_skew" || b.Time == nil {
			t.Errorf("signed %v after the start: got %d %+v; want 401, Code \"clock_skew\", Time set", at, status, b)
		}
	}
	if status, _, _ := r.do(t, request{target: "/api/v1/prompts", sign: "anna1", at: started.Truncate(time.Second).Add(time.Second)}); status != 200 {
		t.Errorf("signed after it: got %d; want 200", status)
	}
	if _, err := r.phone("anna2").Prompts(t.Context()); err != nil {
		t.Errorf("a device in the second of the start: got error %v; want none", err)
	}
}

func TestGuessRates(t *testing.T) {
	g := newGuesses()
	now := time.Now()
	for i := range guessBurst {
		if !g.take("192.0.2.1:1000", now) {
			t.Fatalf("try %d refused", i)
		}
	}
	for name, c := range map[string]struct {
		remote string
		at     time.Time
		want   bool
	}{
		"one more":          {"192.0.2.1:2000", now, false},
		"mapped":            {"[::ffff:192.0.2.1]:1", now, false},
		"another address":   {"192.0.2.2:1000", now, true},
		"after an interval": {"192.0.2.1:1000", now.Add(guessInterval), true},
	} {
		if got := g.take(c.remote, c.at); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
	for name, c := range map[string]struct {
		format string
		want   int
	}{
		"a /64":     {"[2001:db8:1:2::%x]:1", guessBurst},
		"a /56":     {"[2001:db8:1:%x::1]:1", guessBurst},
		"a /48":     {"[2001:db8:1:%x00::1]:1", 2 * guessBurst},
		"addresses": {"192.0.2.%d:1", allBurst},
	} {
		g, allowed := newGuesses(), 0
		for i := range 250 {
			if g.take(fmt.Sprintf(c.format, i), now) {
				allowed++
			}
		}
		if allowed != c.want {
			t.Errorf("%s has %d tries, want %d", name, allowed, c.want)
		}
	}
}

// TestUnsignedRate: what no device has signed is bounded by address, also through a
// trusted proxy; a signed request of the same address is not.
func TestUnsignedRate(t *testing.T) {
	r := newRigWith(t, func(s *Server, _ *pushtest.Store) { s.TrustedProxies = prefixes("127.0.0.1/32") })
	r.unsigned.Burst, r.unsigned.Every = 5, 0.001
	from := func(address string) http.Header { return http.Header{"X-Forwarded-For": {address}} }
	for i, q := range []request{
		{target: "/"}, {target: "/nothing"}, {target: "/api/v1/enroll"}, {target: "/api/v1/prompts", header: from("198.51.100.7")},
		{target: "/", header: http.Header{"Authorization": {"Radmatch x"}, "X-Forwarded-For": {"198.51.100.7"}}},
	} {
		if q.header == nil {
			q.header = from("198.51.100.7")
		}
		if status, _, _ := r.do(t, q); status == 429 {
			t.Fatalf("request %d is one too many", i)
		}
	}
	for _, target := range []string{"/", "/healthz", "/api/v1/prompts"} {
		if status, b, h := r.do(t, request{target: target, header: from("198.51.100.7")}); status != 429 || b.Code != "too_many_requests" || h.Get("Retry-After") == "" {
			t.Errorf("%s: %d %q %v", target, status, b.Code, h)
		}
	}
	if status, _, _ := r.do(t, request{target: "/", header: from("198.51.100.8")}); status != 200 {
		t.Errorf("another address: got %d; want 200", status)
	}
	if status, _, _ := r.do(t, request{target: "/api/v1/prompts", sign: "anna1", header: from("198.51.100.7")}); status != 200 {
		t.Errorf("a device at that address: got %d; want 200", status)
	}
}

// TestNonces: a nonce is remembered for as long as its request would be taken.
func TestNonces(t *testing.T) {
	var n nonces
	now := time.Now()
	for _, c := range []struct {
		name   string
		device string
		nonce  string
		at     time.Duration
		want   error
	}{
		{"first", "d", "n", 0, nil},
		{"again", "d", "n", 0, errReplayed},
		{"another device", "e", "n", 0, nil},
		{"another nonce", "d", "m", time.Second, nil},
		{"between", "d", "l", nonceSpan / 2, nil},
		{"again at the end", "d", "n", nonceSpan - 1, errReplayed},
		{"in the next span", "d", "o", nonceSpan, nil},
		{"kept over the turn", "d", "m", nonceSpan + time.Second - 1, errReplayed},
		{"forgotten when it cannot be used", "d", "m", 3 * nonceSpan, nil},
	} {
		if err := n.use(c.device, c.nonce, now.Add(c.at)); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	n = nonces{}
	for i := range maxDeviceNonces {
		if err := n.use("d", fmt.Sprint(i), now); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.use("d", "more", now); !errors.Is(err, errTooMany) {
		t.Errorf("more: got %v", err)
	}
	if err := n.use("e", "other", now); err != nil {
		t.Errorf("another device: got %v", err)
	}
}

// endless is a body without an end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) { e.read += len(p); return len(p), nil }

// TestHugeBodies: 100 MB are refused after a few KiB, announced or not, signed or not.
func TestHugeBodies(t *testing.T) {
	r := newRig(t)
	for _, target := range []string{"/api/v1/enroll", "/api/v1/prompts/p1/decision"} {
		for _, length := range []int64{100 << 20, -1} {
			auth, _ := device.SignRequest(r.keys["anna1"], 2, "anna1", time.Now(), "POST", target, nil)
			body := &endless{}
			req := httptest.NewRequest("POST", target, body)
			req.ContentLength = length
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", auth)
			w := httptest.NewRecorder()
			r.http.Config.Handler.ServeHTTP(w, req)
			if w.Code != 413 || body.read > 64<<10 {
				t.Errorf("%s, length %d: status %d after %d bytes", target, length, w.Code, body.read)
			}
		}
	}
	body := &endless{}
	req := httptest.NewRequest("POST", "/api/v1/prompts/p1/decision", body)
	req.ContentLength = -1
	w := httptest.NewRecorder()
	r.http.Config.Handler.ServeHTTP(w, req)
	if w.Code != 400 || body.read != 0 {
		t.Errorf("unsigned: status %d after %d bytes; want Code 400, read 0", w.Code, body.read)
	}
}

func TestPanicIsOneLogLine(t *testing.T) {
	r := newRig(t)
	h := r.recover(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("bug") }))
	func() {
		defer func() {
			if v := recover(); v != http.ErrAbortHandler {
				t.Errorf("panics with: got %v; want %v", v, http.ErrAbortHandler)
			}
		}()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	}()
	if r.logs.FilterMessage("web: internal error").Len() != 1 {
		t.Error("got another number of log lines than one for the panic; want one")
	}
}

func FuzzEnroll(f *testing.F) {
	st := &pushtest.Store{}
	s := &Server{Store: st, Approver: &push.Approver{Store: st}}
	h := s.Handler()
	f.Add([]byte(`{"version":2,"token":"T","name":"n","key":"MFkw","signature":"AA"}`), "application/json")
	f.Add([]byte(`[`), "text/plain")
	i := 0
	f.Fuzz(func(t *testing.T, body []byte, kind string) {
		req := httptest.NewRequest("POST", "/api/v1/enroll", bytes.NewReader(body))
		sum := sha256.Sum256(body)
		i++
		req.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:1", sum[0], sum[1], i%250)
		req.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		var b device.ErrorBody
		if err := json.Unmarshal(w.Body.Bytes(), &b); err != nil || w.Code/100 != 4 || b.Code == "" || b.Message == "" {
			t.Errorf("%q: status %d %s", body, w.Code, w.Body)
		}
	})
}
