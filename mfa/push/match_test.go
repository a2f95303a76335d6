package push_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/push"
)

const shownCode = "493817"

// withCode is a prompt whose approval is answered with a code.
func withCode(id string) mfa.Prompt {
	p := prompt(id, "anna", "")
	p.Code, p.CodeExpires = shownCode, time.Now().Add(3*time.Minute)
	return p
}

func inApp(from, id string, action device.Action) device.Decision {
	return device.Decision{Version: 3, Device: from, Prompt: id, Action: action, Surface: device.SurfaceApp}
}

// TestCode: the device that approved is told the code, and again for the same
// decision while the code is good; nobody else is, and nobody before.
func TestCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		sub := r.Subscribe(mfa.NameOf("anna"), 3)
		defer sub.Close()
		var noted []mfa.Approval
		p := withCode("p1")
		p.Approved = func(a mfa.Approval) { noted = append(noted, a) }
		done := r.start(t.Context(), p)
		updates := sub.Take()
		if !updates[0].Sync.Prompts[0].ShowsCode {
			t.Errorf("the device is not told that a code comes: got %+v; want ShowsCode true", updates)
		}
		d := signed(t, r.keys["anna1"], "anna", inApp("anna1", "p1", device.ActionApprove))
		want := device.DecisionResponse{Outcome: device.OutcomeApproved, Code: shownCode, CodeExpires: time.Now().Add(3 * time.Minute).UTC()}
		if told, err := r.Decide(t.Context(), d); err != nil || told != want {
			t.Fatalf("got %+v, %v; want %+v", told, err, want)
		}
		if len(noted) != 1 || noted[0].DeviceID != "anna1" {
			t.Errorf("the approval is not noted before the device has the code: got %+v; want 1 of them, DeviceID \"anna1\"", noted)
		}
		if err := <-done; err != nil {
			t.Fatalf("Push: got error %v; want none", err)
		}
		updates = append(updates, sub.Take()...)
		if text, _ := json.Marshal(updates); strings.Contains(string(text), shownCode) {
			t.Errorf("all devices are told the code: %s", text)
		}
		if text := fmt.Sprintf("%v %+v %#v", withCode("p"), withCode("p"), withCode("p")); strings.Contains(text, shownCode) {
			t.Errorf("the code prints: %s", text)
		}

		time.Sleep(time.Minute)
		if told, err := r.Decide(t.Context(), d); err != nil || told != want {
			t.Errorf("the same decision again: got %+v, %v", told, err)
		}
		anew := signed(t, r.keys["anna1"], "anna", device.Decision{Version: 3, Device: "anna1", Prompt: "p1", Action: device.ActionDeny, Surface: device.SurfaceApp})
		tampered := d
		tampered.Signature = append([]byte{1}, d.Signature[1:]...)
		other, foreign := d, d
		other.Device, foreign.Device = "anna2", "bob1"
		for name, d := range map[string]device.Decision{"another decision": anew, "another signature": tampered, "another device": other, "another user": foreign} {
			if told, err := r.Decide(t.Context(), d); !errors.Is(err, push.ErrDecided) && !errors.Is(err, push.ErrNotYours) || told.Code != "" {
				t.Errorf("%s: got %+v, %v", name, told, err)
			}
		}
		time.Sleep(2 * time.Minute)
		if told, err := r.Decide(t.Context(), d); !errors.Is(err, push.ErrDecided) || told.Code != "" {
			t.Errorf("after its time: got %+v, %v", told, err)
		}
	})
}

// TestNoCodeWithoutApproval: anyone who denies is told no code.
func TestNoCodeWithoutApproval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for id, action := range map[string]device.Action{"p1": device.ActionDeny, "p2": device.ActionNotMe} {
			done := r.start(t.Context(), withCode(id))
			d := signed(t, r.keys["anna1"], "anna", inApp("anna1", id, action))
			if told, err := r.Decide(t.Context(), d); err != nil || told.Code != "" || !told.CodeExpires.IsZero() {
				t.Errorf("%s: got %+v, %v", action, told, err)
			}
			if err := <-done; !errors.Is(err, mfa.ErrRejected) {
				t.Errorf("%s: Push: got %v; want mfa.ErrRejected", action, err)
			}
			if told, err := r.Decide(t.Context(), d); err == nil || told.Code != "" {
				t.Errorf("%s again: got %+v", action, told)
			}
		}
	})
}

// TestSurface: where a number or a code is due, an approval counts only from
// the app, and a refused one leaves the prompt as it was.
func TestSurface(t *testing.T) {
	number, code := prompt("p1", "anna", "42"), withCode("p1")
	plain := prompt("p1", "anna", "")
	for _, c := range []struct {
		name    string
		prompt  mfa.Prompt
		version int
		action  device.Action
		number  string
		surface device.Surface
		want    error
	}{
		{"number, app", number, 3, device.ActionApprove, "42", device.SurfaceApp, nil},
		{"number, notification", number, 3, device.ActionApprove, "42", device.SurfaceNotification, push.ErrSurface},
		{"number, wearable", number, 3, device.ActionApprove, "42", device.SurfaceWearable, push.ErrSurface},
		{"wrong number, wearable", number, 3, device.ActionApprove, "41", device.SurfaceWearable, push.ErrSurface},
		{"no number, notification", number, 3, device.ActionApprove, "", device.SurfaceNotification, push.ErrSurface},
		{"number, version 2", number, 2, device.ActionApprove, "42", "", nil},
		{"code, app", code, 3, device.ActionApprove, "", device.SurfaceApp, nil},
		{"code, notification", code, 3, device.ActionApprove, "", device.SurfaceNotification, push.ErrSurface},
		{"code, wearable", code, 3, device.ActionApprove, "", device.SurfaceWearable, push.ErrSurface},
		{"code, version 2", code, 2, device.ActionApprove, "", "", push.ErrTooOldForCode},
		{"code, version 1", code, 1, device.ActionApprove, "", "", push.ErrTooOldForCode},
		{"code, a number with it", code, 3, device.ActionApprove, "42", device.SurfaceApp, device.ErrMalformed},
		{"plain, notification", plain, 3, device.ActionApprove, "", device.SurfaceNotification, nil},
		{"plain, wearable", plain, 3, device.ActionApprove, "", device.SurfaceWearable, nil},
		{"denied on a notification", number, 3, device.ActionDeny, "", device.SurfaceNotification, nil},
		{"denied on a watch", code, 3, device.ActionDeny, "", device.SurfaceWearable, nil},
		{"denied by version 2", code, 2, device.ActionDeny, "", "", nil},
		{"no surface", plain, 3, device.ActionApprove, "", "", device.ErrMalformed},
		{"unknown surface", plain, 3, device.ActionApprove, "", "tv", device.ErrMalformed},
		{"surface without a signature", plain, 2, device.ActionApprove, "", device.SurfaceNotification, device.ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				p := c.prompt
				p.Started, p.Expires, p.CodeExpires = time.Now(), time.Now().Add(time.Minute), time.Now().Add(time.Minute)
				r.start(t.Context(), p)
				d := device.Decision{Version: c.version, Device: "anna1", Prompt: "p1", Action: c.action, Number: c.number, Surface: c.surface}
				told, err := r.Decide(t.Context(), signed(t, r.keys["anna1"], "anna", d))
				if !errors.Is(err, c.want) || c.want != nil && told != (device.DecisionResponse{}) {
					t.Errorf("got %+v, %v; want %v", told, err, c.want)
				}
				if live := len(r.Live(mfa.NameOf("anna"), 3).Prompts); (live == 1) != (c.want != nil) {
					t.Errorf("%d prompts live", live)
				}
			})
		})
	}
}

// TestSurfaceIsSigned: no attacker on the way turns a notification into the app.
func TestSurfaceIsSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(t.Context(), withCode("p1"))
		d := inApp("anna1", "p1", device.ActionApprove)
		d.Surface = device.SurfaceNotification
		d = signed(t, r.keys["anna1"], "anna", d)
		d.Surface = device.SurfaceApp
		if _, err := r.Decide(t.Context(), d); !errors.Is(err, device.ErrSignature) {
			t.Errorf("got %v", err)
		}
	})
}

// TestOldDeviceSeesNoCode: it is told why it cannot approve.
func TestOldDeviceSeesNoCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(t.Context(), withCode("p1"))
		for version, want := range map[int]string{1: "cannot show a code", 2: "cannot show a code", 3: ""} {
			if v := r.Live(mfa.NameOf("anna"), version).Prompts[0]; !strings.Contains(v.Refused, want) || (v.Refused == "") != (want == "") {
				t.Errorf("version %d is told %q", version, v.Refused)
			}
		}
	})
}

// TestHidden: a device can tell what policy hides from what is not known.
func TestHidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		p := prompt("p1", "anna", "")
		p.Client, p.HideClient, p.HidePlace = "", true, true
		p.Requests = []mfa.PromptRequest{{Time: time.Now()}}
		r.start(t.Context(), p)
		text, err := json.Marshal(r.Live(mfa.NameOf("anna"), 3).Prompts[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, member := range []string{`"client"`, `"end_user"`, `"source"`, `"place"`} {
			if strings.Contains(string(text), member) {
				t.Errorf("%s has %s", text, member)
			}
		}
		for _, member := range []string{`"hides_client":true`, `"hides_place":true`} {
			if !strings.Contains(string(text), member) {
				t.Errorf("%s lacks %s", text, member)
			}
		}
	})
}
