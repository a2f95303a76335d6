package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/push/pushtest"
)

// passkeySite has its page at a name, behind a proxy on this machine.
const passkeySite = siteHead + `clients:
  - {name: vpn, addresses: [127.0.0.1], secret: ` + testSecret + `}
  - {name: portal, addresses: [127.0.0.2], secret: ` + testSecret + `, number_in_prompt: true}
mfa: {reject_delay: 500ms, override_number_matching_with_otp: false}
web: {public_url: "https://mfa.example.org", trusted_proxies: [127.0.0.1], passkeys: %s}
log: {level: info}
`

// sign returns the Authorization header of a request. Its clock is a second ahead:
// what was signed in the second in which the server began is refused.
func (ph *testPhone) sign(method, target string, body []byte) (string, error) {
	return device.SignRequest(ph.Key, ph.Version, ph.Device, time.Now().Add(time.Second), method, target, body)
}

// call makes a signed request as the page does, and reads the answer into v.
func (ph *testPhone) call(method, target string, body []byte, v any) (status int, code string) {
	t := ph.p.t
	t.Helper()
	auth, err := ph.sign(method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+ph.p.web+target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", auth)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Origin", "https://mfa.example.org")
	req.Header.Set("X-Forwarded-For", "198.51.100.77")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var refused device.ErrorBody
	if resp.StatusCode/100 != 2 {
		_ = json.Unmarshal(answer, &refused)
	} else if v != nil {
		if err := json.Unmarshal(answer, v); err != nil {
			t.Fatalf("%s: got error %v; want none", answer, err)
		}
	}
	return resp.StatusCode, refused.Code
}

// passkey registers a passkey for the device.
func (ph *testPhone) passkey() *pushtest.Authenticator {
	t := ph.p.t
	t.Helper()
	var options struct{ PublicKey struct{ Challenge string } }
	if status, code := ph.call("POST", "/api/v1/passkey/options", []byte("{}"), &options); status != 200 {
		t.Fatalf("options: got %d %s; want 200", status, code)
	}
	a := pushtest.NewAuthenticator(t, "mfa.example.org", "https://mfa.example.org")
	if status, code := ph.call("POST", "/api/v1/passkey", a.Register(options.PublicKey.Challenge), nil); status != 201 {
		t.Fatalf("register: got %d %s; want 201", status, code)
	}
	return a
}

// confirm approves a prompt with what assert returns for the decision's challenge.
func (ph *testPhone) confirm(v device.PromptView, number string, assert func(challenge []byte) []byte) (status int, code string) {
	t := ph.p.t
	t.Helper()
	d := device.Decision{Version: ph.Version, Device: ph.Device, Prompt: v.ID, Action: device.ActionApprove, Number: number, Surface: device.SurfaceApp}
	if err := d.Sign(ph.Key, v.User); err != nil {
		t.Fatal(err)
	}
	req := device.DecisionRequest{Decision: d.Action, Number: number, Surface: d.Surface, Signature: device.Encode(d.Signature)}
	if assert != nil {
		req.Assertion = assert(d.Challenge(v.User))
	}
	body, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	return ph.call("POST", "/api/v1/prompts/"+v.ID+"/decision", body, nil)
}

// TestPasskeyLogin: with the real program, real RADIUS and a passkey in software.
func TestPasskeyLogin(t *testing.T) {
	p := startServer(t, fmt.Sprintf(passkeySite, "preferred"))
	ph := p.enroll("alice")
	other := p.enroll("alice")
	login := p.login("127.0.0.1", alice)
	if v := ph.prompt(); v.Passkey {
		t.Error("a device without a passkey needs it")
	} else if status, code := ph.confirm(v, "", nil); status != 200 {
		t.Fatalf("without a passkey: got %d %s; want 200", status, code)
	}
	gets(t, login, "Access-Accept")

	mine, others := ph.passkey(), other.passkey()
	login = p.login("127.0.0.1", alice)
	v := ph.prompt()
	if !v.Passkey {
		t.Error("the prompt does not say that it needs the passkey")
	}
	var before []byte
	asserted := func(challenge []byte) []byte {
		mine.Count++
		before = mine.Assert(challenge)
		return before
	}
	unverified := *mine
	unverified.Flags = pushtest.UserPresent
	for name, c := range map[string]struct {
		assert func([]byte) []byte
		code   string
	}{
		"none":                   {nil, "passkey_required"},
		"another device's":       {others.Assert, "bad_passkey"},
		"without the user":       {unverified.Assert, "bad_passkey"},
		"for another decision":   {func([]byte) []byte { return mine.Assert(make([]byte, 32)) }, "bad_passkey"},
		"not that of a passkey":  {func([]byte) []byte { return []byte(`"yes"`) }, "bad_passkey"},
		"bytes that are no JSON": {func([]byte) []byte { return []byte(`{"id":1}`) }, "bad_passkey"},
	} {
		if status, code := ph.confirm(v, "", c.assert); code != c.code {
			t.Errorf("%s: %d %s; want %s", name, status, code, c.code)
		}
	}
	if status, code := ph.confirm(v, "", asserted); status != 200 {
		t.Fatalf("the right one: got %d %s; want 200", status, code)
	}
	gets(t, login, "Access-Accept")
	if _, code := ph.confirm(v, "", func([]byte) []byte { return before }); code != "already_decided" {
		t.Errorf("replayed: got %s; want \"already_decided\"", code)
	}
	if !strings.Contains(p.log(), `"from":"198.51.100.77:0"`) {
		t.Error("the log does not know who is behind the proxy")
	}

	// The number is bound too, and one that was tampered with tells nothing.
	number, answer := p.number(alice)
	v = ph.prompt()
	if _, code := ph.confirm(v, "00", func([]byte) []byte { return before }); code != "bad_passkey" {
		t.Errorf("replayed for the next prompt: got %s; want \"bad_passkey\"", code)
	}
	if status, code := ph.confirm(v, number, asserted); status != 200 {
		t.Errorf("with the number: got %d %s; want 200", status, code)
	}
	gets(t, answer, "Access-Accept")

	// After a restart the passkey is still needed, and a copy of it stands out.
	p.stop()
	p.start()
	again := &testPhone{&device.Phone{Server: "http://" + p.web, Device: ph.Device, User: ph.User, Name: ph.Name, Version: ph.Version, Key: ph.Key}, p, nil}
	login = p.login("127.0.0.1", alice)
	p.until("a prompt", func() bool { return len(again.live()) == 1 })
	v = again.live()[0]
	mine.Count--
	if _, code := again.confirm(v, "", mine.Assert); code != "bad_passkey" {
		t.Errorf("a count that was used: got %s; want \"bad_passkey\"", code)
	}
	mine.Count++
	if status, code := again.confirm(v, "", asserted); status != 200 {
		t.Errorf("after a restart: got %d %s; want 200", status, code)
	}
	gets(t, login, "Access-Accept")
}

// TestPasskeyExpired: an approval with a right passkey that comes after the prompt
// is over is not accepted.
func TestPasskeyExpired(t *testing.T) {
	p := startServer(t, strings.Replace(fmt.Sprintf(passkeySite, "preferred"), "reject_delay: 500ms", "reject_delay: 500ms, push_timeout: 2s", 1))
	ph := p.enroll("alice")
	mine := ph.passkey()
	login := p.login("127.0.0.1", alice)
	v := ph.prompt()
	gets(t, login, "Access-Reject")
	if status, code := ph.confirm(v, "", mine.Assert); status != 410 || code != "expired" {
		t.Errorf("got %d %s", status, code)
	}
}

// TestPasskeyRequired: then a device without one cannot approve, and check says so.
func TestPasskeyRequired(t *testing.T) {
	p := startServer(t, fmt.Sprintf(passkeySite, "required"))
	if out := p.cli("check"); !strings.Contains(out, "radmatch phone among them, cannot approve") {
		t.Errorf("check says\n%s; want \"radmatch phone among them, cannot approve\" in it", out)
	}
	ph := p.enroll("alice")
	login := p.login("127.0.0.1", alice)
	v := ph.prompt()
	if v.Refused == "" {
		t.Error("got no refusal on the device; want a text")
	}
	if status, code := ph.confirm(v, "", nil); status != 422 || code != "passkey_required" {
		t.Errorf("approve: got %d %s; want 422, \"passkey_required\"", status, code)
	}
	ph.decide(v, device.ActionDeny, "")
	gets(t, login, "Access-Reject")
}

// TestOwnDevicesAndHistory: a user sees only their own sign-ins, and removes
// only their own devices.
func TestOwnDevicesAndHistory(t *testing.T) {
	p := startServer(t, fmt.Sprintf(passkeySite, "off"))
	a, b := p.enroll("alice"), p.enroll("bob")
	for _, ph := range []*testPhone{a, b} {
		login := p.login("127.0.0.1", strings.Replace(alice, "alice", ph.User, 1), `Calling-Station-Id = "198.51.100.7"`)
		ph.approve()
		gets(t, login, "Access-Accept")
	}
	guess := p.nasSocket("127.0.0.1")
	q := signIn("alice", "203.0.113.66")
	q.Cred = mfa.Password("guessed")
	guess.ask(q)
	var history struct {
		Logins []struct{ Client, Outcome, Method, Device, EndUser string }
	}
	if status, code := a.call("GET", "/api/v1/history", nil, &history); status != 200 || len(history.Logins) != 2 || history.Logins[1].Outcome != "added" {
		t.Fatalf("%d %s %+v; want 200, 2 Logins, Outcome \"added\"", status, code, history)
	}
	if l := history.Logins[0]; l.Client != "vpn" || l.Outcome != "accept" || l.Method != "push" || l.Device != "alice's" {
		t.Errorf("got %+v", l)
	}
	lost := p.enroll("alice")
	if status, code := a.call("DELETE", "/api/v1/devices/"+b.Device, nil, nil); status != 404 || code != "device_unknown" {
		t.Errorf("another user's device: got %d %s; want 404, \"device_unknown\"", status, code)
	}
	if status, code := a.call("POST", "/api/v1/devices/"+lost.Device+"/name", []byte(`{"name":"lost"}`), nil); status != 204 {
		t.Errorf("rename: got %d %s; want 204", status, code)
	}
	login := p.login("127.0.0.1", alice)
	v := lost.prompt()
	if status, code := a.call("DELETE", "/api/v1/devices/"+lost.Device, nil, nil); status != 204 {
		t.Errorf("remove: got %d %s; want 204", status, code)
	}
	if status, code := lost.confirm(v, "", nil); status != 401 || code != "device_unknown" {
		t.Errorf("the lost one approves: got %d %s; want 401, \"device_unknown\"", status, code)
	}
	a.approve()
	gets(t, login, "Access-Accept")
	events := p.cli("events", "--user", "alice")
	if !strings.Contains(events, `"lost"`) || !strings.Contains(events, "removed") {
		t.Errorf("the trail has\n%s", events)
	}
}
