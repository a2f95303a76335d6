package web

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
)

// promptCode starts a prompt of anna whose approval is answered with a code, and
// returns when it is live.
func (r *rig) promptCode(t *testing.T, id string) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := r.Approver.Push(t.Context(), mfa.Prompt{ID: id, User: mfa.NameOf("anna"), Code: "493817", CodeExpires: time.Now().Add(time.Minute),
			Started: time.Now(), Expires: time.Now().Add(time.Minute)})
		done <- err
	}()
	r.await(t, id)
	return done
}

// text returns the body as it came.
func (r *rig) text(t *testing.T, q request) (int, string) {
	t.Helper()
	resp := r.send(t, q)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestCodeOfAnApproval: over HTTP as in the documentation, refusals included.
func TestCodeOfAnApproval(t *testing.T) {
	r := newRig(t)
	done := r.promptCode(t, "p1")
	target := "/api/v1/prompts/p1/decision"
	body := func(version int, surface device.Surface) string {
		d := device.Decision{Version: version, Device: "anna1", Prompt: "p1", Action: device.ActionApprove, Surface: surface}
		if err := d.Sign(r.keys["anna1"], "anna"); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(device.DecisionRequest{Decision: d.Action, Surface: surface, Signature: device.Encode(d.Signature)})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	good := body(3, device.SurfaceApp)
	for _, c := range []struct {
		name    string
		version int
		body    string
		status  int
		code    string
	}{
		{"from a notification", 3, body(3, device.SurfaceNotification), 403, "app_required"},
		{"from a watch", 3, body(3, device.SurfaceWearable), 403, "app_required"},
		{"from the app of an old device", 2, body(2, ""), 403, "device_too_old"},
		{"from nowhere", 3, body(3, ""), 400, "bad_request"},
		{"a notification that says it is the app", 3, strings.Replace(body(3, device.SurfaceNotification), "notification", "app", 1), 401, "bad_signature"},
	} {
		status, text := r.text(t, request{method: "POST", target: target, sign: "anna1", version: c.version, body: c.body})
		if status != c.status || !strings.Contains(text, `"`+c.code+`"`) || strings.Contains(text, "493817") {
			t.Errorf("%s: got %d %s, want %d %s", c.name, status, text, c.status, c.code)
		}
	}
	for _, try := range []string{"first", "again"} {
		status, text := r.text(t, request{method: "POST", target: target, sign: "anna1", body: good})
		var told device.DecisionResponse
		if err := json.Unmarshal([]byte(text), &told); err != nil || status != 200 || told.Outcome != device.OutcomeApproved || told.Code != "493817" {
			t.Errorf("%s: got %d %s", try, status, text)
		}
		if left := time.Until(told.CodeExpires); left <= 0 || left > time.Minute {
			t.Errorf("%s: the code expires in %s; want more than 0, at most time.Minute", try, left)
		}
	}
	if status, text := r.text(t, request{method: "POST", target: target, sign: "anna2", body: good}); status != 409 || strings.Contains(text, "493817") {
		t.Errorf("another device: got %d %s; want 409, no \"493817\" in it", status, text)
	}
	if err := <-done; err != nil {
		t.Errorf("Push: got error %v; want none", err)
	}
}

// TestPhoneTellsCode: the client of the protocol hands the code on.
func TestPhoneTellsCode(t *testing.T) {
	r := newRig(t)
	done := r.promptCode(t, "p1")
	ph := r.phone("anna1")
	l, err := ph.Prompts(t.Context())
	if err != nil || len(l.Prompts) != 1 || !l.Prompts[0].ShowsCode {
		t.Fatalf("got %+v, %v", l, err)
	}
	old := r.phone("anna2")
	old.Version = 2
	var told *device.PhoneError
	if _, err := old.Decide(t.Context(), l.Prompts[0], device.ActionApprove, ""); !errors.As(err, &told) || told.Code != "device_too_old" {
		t.Errorf("old device: %v", err)
	}
	if answer, err := ph.Decide(t.Context(), l.Prompts[0], device.ActionApprove, ""); err != nil || answer.Code != "493817" {
		t.Errorf("got %+v, %v", answer, err)
	}
	<-done
}
