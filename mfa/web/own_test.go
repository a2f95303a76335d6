package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/push/pushtest"
)

// trail is a History in memory, newest first: the place of an entry is its
// distance from the end.
type trail struct {
	events []mfa.Event
	begun  chan struct{} // nil, or sent to by each call
	wait   chan struct{}
}

func (h *trail) Logins(_ context.Context, user mfa.Name, before int64, limit int) ([]mfa.Event, int64, error) {
	if h.begun != nil {
		h.begun <- struct{}{}
		<-h.wait
	}
	if before == 666 {
		return nil, 0, errors.New("disk: /var/lib/secret")
	}
	var found []mfa.Event
	for i, ev := range h.events {
		place := int64(len(h.events) - i)
		if before > 0 && place >= before || !ev.User.Is(user) {
			continue
		}
		if len(found) == limit {
			return found, place + 1, nil
		}
		found = append(found, ev)
	}
	return found, 0, nil
}

// get reads JSON with a signed request.
func (r *rig) get(t testing.TB, device, target string, v any) int {
	t.Helper()
	resp := r.send(t, request{target: target, sign: device})
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

func TestHistory(t *testing.T) {
	r := newRig(t)
	at := time.Date(2026, 11, 22, 11, 20, 0, 0, time.FixedZone("", 3600))
	ev := func(change func(*mfa.Event)) mfa.Event {
		e := mfa.Event{ID: "l1", Time: at, Kind: mfa.EventLogin, Origin: mfa.Origin{User: mfa.NameOf("anna"), Client: "vpn", EndUser: "198.51.100.7", Source: "192.0.2.1:9"},
			Plan: mfa.PlanPush, Method: "push", Outcome: mfa.Accept, Reason: mfa.ReasonApproveDeny, Details: mfa.Details{Text: "internal"}}
		e.Device, e.DeviceID, e.Signature = "Anna's phone", "anna1", []byte("sig")
		change(&e)
		return e
	}
	h := &trail{events: []mfa.Event{
		ev(func(*mfa.Event) {}),
		ev(func(e *mfa.Event) { e.Method, e.Plan, e.Device = "totp", mfa.PlanOTP, "" }),
		ev(func(e *mfa.Event) { e.Method, e.Plan, e.Reason = "", mfa.PlanNone, mfa.ReasonExemptAddress }),
		ev(func(e *mfa.Event) { e.Kind, e.Outcome, e.Reason = mfa.EventUnclaimed, mfa.Reject, mfa.ReasonAbandoned }),
		ev(func(e *mfa.Event) {
			e.EndUser, e.Claimed, e.Outcome, e.Reason = "\x1b[2J<b>", true, mfa.Discard, mfa.ReasonPromptPending
		}),
		ev(func(e *mfa.Event) { e.User, e.Client = mfa.NameOf("bob"), "bob's client" }),
	}}
	r.Server.History = h
	resp := r.send(t, request{target: "/api/v1/history", sign: "anna1"})
	defer resp.Body.Close()
	var raw map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&raw); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp.StatusCode, err)
	}
	var got []string
	for _, l := range raw["logins"].([]any) {
		got = append(got, fmt.Sprint(l))
	}
	want := []string{
		"map[client:vpn device:Anna's phone end_user:198.51.100.7 id:l1 method:push outcome:accept reason:approve_deny time:2026-11-22T10:20:00Z]",
		"map[client:vpn end_user:198.51.100.7 id:l1 method:otp outcome:accept reason:approve_deny time:2026-11-22T10:20:00Z]",
		"map[client:vpn device:Anna's phone end_user:198.51.100.7 id:l1 method:none outcome:accept reason:exempt_address time:2026-11-22T10:20:00Z]",
		"map[client:vpn device:Anna's phone end_user:198.51.100.7 id:l1 method:push outcome:reject reason:unclaimed time:2026-11-22T10:20:00Z]",
		"map[claimed:true client:vpn device:Anna's phone end_user:�[2J<b> id:l1 method:push outcome:discard reason:prompt_pending time:2026-11-22T10:20:00Z]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if raw["next"] != nil {
		t.Errorf("next is %v", raw["next"])
	}
	for _, before := range []string{"0", "-1", "x", "1e3", "99999999999999999999"} {
		if status, b, _ := r.do(t, request{target: "/api/v1/history?before=" + before, sign: "anna1"}); status != 400 || b.Code != "bad_request" {
			t.Errorf("before=%s: got %d %q; want 400, Code \"bad_request\"", before, status, b.Code)
		}
	}
	if status, b, _ := r.do(t, request{target: "/api/v1/history?before=666", sign: "anna1"}); status != 500 || b.Code != "internal" || strings.Contains(b.Message, "disk") {
		t.Errorf("a broken store: got %d %+v; want 500, Code \"internal\", no \"disk\" in it", status, b)
	}
	if status, _, _ := r.do(t, request{target: "/api/v1/history?user=bob", sign: "anna1"}); status != 200 {
		t.Errorf("status: got %d; want 200", status)
	}
	if status, b, _ := r.do(t, request{target: "/api/v1/history"}); status != 400 {
		t.Errorf("unsigned: got %d %q; want 400", status, b.Code)
	}
}

func TestHistoryPages(t *testing.T) {
	r := newRig(t)
	h := &trail{}
	for i := range 120 {
		h.events = append(h.events, mfa.Event{ID: fmt.Sprint(i), Origin: mfa.Origin{User: mfa.NameOf("anna")}, Outcome: mfa.Accept})
	}
	r.Server.History = h
	var got []string
	target := "/api/v1/history"
	for range 3 {
		var v historyView
		if status := r.get(t, "anna1", target, &v); status != 200 || len(v.Logins) > historyPage {
			t.Fatal(status, len(v.Logins))
		}
		for _, l := range v.Logins {
			got = append(got, l.ID)
		}
		if v.Next == "" {
			break
		}
		target = "/api/v1/history?before=" + v.Next
	}
	if len(got) != 120 || got[0] != "0" || got[119] != "119" {
		t.Errorf("%d sign-ins: got %v; want 120 of them, \"0\", \"119\"", len(got), got)
	}
}

// TestHistoryAtOnce: the trail is read by few at once.
func TestHistoryAtOnce(t *testing.T) {
	r := newRig(t)
	h := &trail{begun: make(chan struct{}), wait: make(chan struct{})}
	r.Server.History = h
	done := make(chan int)
	for range maxHistories {
		go func() {
			resp := r.send(t, request{target: "/api/v1/history", sign: "anna1"})
			resp.Body.Close()
			done <- resp.StatusCode
		}()
		<-h.begun
	}
	if status, b, head := r.do(t, request{target: "/api/v1/history", sign: "bob1"}); status != 503 || b.Code != "overloaded" || head.Get("Retry-After") == "" {
		t.Errorf("one more: %d %q", status, b.Code)
	}
	close(h.wait)
	for range maxHistories {
		if status := <-done; status != 200 {
			t.Errorf("status: got %d; want 200", status)
		}
	}
	h.begun = nil
	if status, _, _ := r.do(t, request{target: "/api/v1/history", sign: "bob1"}); status != 200 {
		t.Errorf("afterwards: got %d; want 200", status)
	}
}

func TestDevices(t *testing.T) {
	r := newRig(t)
	r.Server.Devices = r.store
	r.passkeys(t)
	r.register(t, "anna2")
	var list struct {
		Devices  []deviceView
		Passkeys bool
	}
	if status := r.get(t, "anna1", "/api/v1/devices", &list); status != 200 || len(list.Devices) != 2 || !list.Passkeys {
		t.Fatalf("%d %+v; want 200, 2 Devices, Passkeys true", status, list)
	}
	for _, d := range list.Devices {
		if d.This != (d.Device == "anna1") || d.Passkey != (d.Device == "anna2") || d.Name == "" || d.Added.IsZero() {
			t.Errorf("got %+v", d)
		}
	}
	for _, c := range []struct {
		method, target, body, by string
		status                   int
		code                     string
	}{
		{"POST", "anna2/name", `{"name":"The old phone"}`, "anna1", 204, ""},
		{"POST", "anna2/name", `{"name":""}`, "anna1", 400, "bad_request"},
		{"POST", "anna2/name", `{"name":" x"}`, "anna1", 400, "bad_request"},
		{"POST", "anna2/name", `{"name":"` + strings.Repeat("x", 65) + `"}`, "anna1", 400, "bad_request"},
		{"POST", "anna2/name", `{"name":"a\u202eb"}`, "anna1", 400, "bad_request"},
		{"POST", "anna2/name", `{"name":"Anna1's name"}`, "anna1", 409, "name_taken"},
		{"POST", "anna2/name", `{"name":"the old phone"}`, "anna1", 204, ""}, // its own
		{"POST", "anna2/name", `{"name":"The old phone"}`, "anna1", 204, ""},
		{"POST", "bob1/name", `{"name":"x"}`, "anna1", 404, "device_unknown"},
		{"POST", "nobody/name", `{"name":"x"}`, "anna1", 404, "device_unknown"},
		{"DELETE", "bob1", "", "anna1", 404, "device_unknown"},
		{"DELETE", "anna2's%20name", "", "anna1", 404, "device_unknown"},
		{"DELETE", "anna1", "", "", 400, "bad_request"},
		{"POST", "anna1", "", "anna1", 404, "not_found"},
	} {
		if status, b, _ := r.do(t, request{method: c.method, target: "/api/v1/devices/" + c.target, body: c.body, sign: c.by}); status != c.status || b.Code != c.code {
			t.Errorf("%s %s %s: %d %q; want %d %q", c.method, c.target, c.body, status, b.Code, c.status, c.code)
		}
	}
	if d, _ := r.store.Device(t.Context(), "anna2"); d.Name != "The old phone" {
		t.Errorf("it is named: got %q; want \"The old phone\"", d.Name)
	}
	if _, err := r.store.Device(t.Context(), "bob1"); err != nil {
		t.Error("got another user's device removed; want it kept")
	}
}

// TestRemoval: a device that is removed can do nothing from that moment on, and
// its stream ends at once.
func TestRemoval(t *testing.T) {
	for _, by := range []string{"anna1", "anna2"} {
		t.Run("anna1 by "+by, func(t *testing.T) {
			r := newRig(t)
			r.Heartbeat = time.Hour
			r.Server.Devices = r.store
			r.prompt(t, "p1", "")
			s := r.stream(t, "anna1")
			s.want("sync", "p1")
			if status, b, _ := r.do(t, request{method: "DELETE", target: "/api/v1/devices/anna1", sign: by}); status != 204 {
				t.Fatalf("%d %q; want 204", status, b.Code)
			}
			if name, _ := s.next(); name != "" {
				t.Errorf("the stream goes on with: got %s; want no text", name)
			}
			d := device.Decision{Device: "anna1", Prompt: "p1", Action: device.ActionApprove}
			if _, b, _ := r.do(t, request{method: "POST", target: "/api/v1/prompts/p1/decision", body: r.approval(t, d, nil), sign: "anna1"}); b.Code != "device_unknown" {
				t.Errorf("its approval: got %q; want \"device_unknown\"", b.Code)
			}
			d.Device = "anna2"
			if status, _, _ := r.do(t, request{method: "POST", target: "/api/v1/prompts/p1/decision", body: r.approval(t, d, nil), sign: "anna2"}); status != 200 {
				t.Errorf("the other's approval: got %d; want 200", status)
			}
		})
	}
}

// TestRemovalNeedsPasskey: a device that has a passkey removes none without it, not
// itself either, and no assertion for another removal or decision will do.
func TestRemovalNeedsPasskey(t *testing.T) {
	r := newRig(t)
	r.Server.Devices = r.store
	r.passkeys(t)
	mine, other := r.register(t, "anna1"), pushtest.NewAuthenticator(t, testRP, testOrigin)
	challenge := device.RemovalChallenge(device.MaxVersion, "anna1", "anna2")
	decision := device.Decision{Version: device.MaxVersion, Device: "anna1", Prompt: "anna2", Action: device.ActionApprove}
	with := func(assertion []byte) string { return fmt.Sprintf(`{"assertion": %s}`, assertion) }
	for name, c := range map[string]struct {
		device, body, code string
	}{
		"without":         {"anna2", "", "passkey_required"},
		"itself without":  {"anna1", "", "passkey_required"},
		"empty":           {"anna2", "{}", "passkey_required"},
		"another passkey": {"anna2", with(other.Assert(challenge)), "bad_passkey"},
		"another removal": {"anna2", with(mine.Assert(device.RemovalChallenge(device.MaxVersion, "anna1", "anna1"))), "bad_passkey"},
		"a decision":      {"anna2", with(mine.Assert(decision.Challenge("anna"))), "bad_passkey"},
	} {
		q := request{method: "DELETE", target: "/api/v1/devices/" + c.device, body: c.body, sign: "anna1", header: http.Header{"Content-Type": {"application/json"}}}
		if _, b, _ := r.do(t, q); b.Code != c.code {
			t.Errorf("%s: %q, want %q", name, b.Code, c.code)
		}
	}
	q := request{method: "DELETE", target: "/api/v1/devices/anna2", body: with(mine.Assert(challenge)), sign: "anna1", header: http.Header{"Content-Type": {"application/json"}}}
	if status, b, _ := r.do(t, q); status != 204 {
		t.Errorf("with it: got %d %s; want 204", status, b.Code)
	}
}

// TestCrossSite: another site's page can send none of the requests, whatever its
// browser adds, and read none of the answers.
func TestCrossSite(t *testing.T) {
	r := newRig(t)
	r.Server.Devices, r.Server.History = r.store, &trail{}
	r.passkeys(t)
	for _, q := range []request{
		{method: "POST", target: "/api/v1/enroll"},
		{method: "POST", target: "/api/v1/prompts/p1/decision"},
		{method: "POST", target: "/api/v1/passkey"},
		{method: "POST", target: "/api/v1/passkey/options"},
		{method: "POST", target: "/api/v1/devices/anna2/name"},
		{method: "DELETE", target: "/api/v1/devices/anna2"},
	} {
		for name, header := range map[string]http.Header{
			"cross-site": {"Sec-Fetch-Site": {"cross-site"}},
			"same-site":  {"Sec-Fetch-Site": {"same-site"}},
			"origin":     {"Origin": {"https://evil.example"}},
			"null":       {"Origin": {"null"}},
		} {
			q.sign, q.body, q.header = "anna1", "{}", header
			if status, b, h := r.do(t, q); status != 403 || b.Code != "cross_origin" || h.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s %s, %s: %d %q", q.method, q.target, name, status, b.Code)
			}
		}
		// A page has no key of the device: what it can send is unsigned.
		q.sign, q.header = "", http.Header{"Sec-Fetch-Site": {"same-origin"}}
		if status, _, _ := r.do(t, q); status/100 != 4 {
			t.Errorf("%s %s unsigned: %d", q.method, q.target, status)
		}
	}
	_, _, h := r.do(t, request{target: "/api/v1/history", sign: "anna1", header: http.Header{"Origin": {"https://evil.example"}}})
	if h.Get("Access-Control-Allow-Origin") != "" || h.Get("Cross-Origin-Resource-Policy") != "same-origin" {
		t.Errorf("readable: %v", h)
	}
}
