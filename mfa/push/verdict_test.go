package push

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"testing"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
)

// oneDevice is a store with one device.
type oneDevice struct {
	device.Store
	device device.Device
}

func (o oneDevice) Device(context.Context, string) (device.Device, error) { return o.device, nil }

// TestDecisionBeforeEnd: a decision that was confirmed to a device stands, also
// when the prompt's time is over before Push has seen it; and the other way round.
func TestDecisionBeforeEnd(t *testing.T) {
	key, err := device.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	pkix, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	a := &Approver{Store: oneDevice{device: device.Device{ID: "d", User: mfa.NameOf("anna"), Name: "phone", Key: pkix}}}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	decide := func(id string) error {
		d := device.Decision{Version: 2, Device: "d", Prompt: id, Action: device.ActionApprove}
		if err := d.Sign(key, "anna"); err != nil {
			t.Fatal(err)
		}
		_, err := a.Decide(t.Context(), d)
		return err
	}
	open := func(id string) *prompt {
		live, err := a.open(mfa.Prompt{ID: id, User: mfa.NameOf("anna")})
		if err != nil {
			t.Fatal(err)
		}
		return live
	}

	live := open("p1")
	if err := decide("p1"); err != nil {
		t.Fatal(err)
	}
	if v := a.giveUp(over, live); v.err != nil || v.approval.Device != "phone" {
		t.Errorf("decided first: got %+v; want the approval of phone", v)
	}
	live = open("p2")
	if v := a.giveUp(over, live); !errors.Is(v.err, context.Canceled) {
		t.Errorf("over first: got %+v; want %v", v, context.Canceled)
	}
	if err := decide("p2"); !errors.Is(err, ErrExpired) {
		t.Errorf("decided after the end: got %v", err)
	}
	if len(a.live) != 0 || len(a.users) != 0 {
		t.Errorf("left behind: got %v %v; want no live, no users", a.live, a.users)
	}
}

// TestEndedIsBounded: what is remembered of prompts that are over does not grow.
func TestEndedIsBounded(t *testing.T) {
	a := &Approver{}
	for i := range 3 * keptEnded {
		a.remember(device.Encode([]byte{byte(i), byte(i >> 8)}), ending{user: mfa.NameOf("anna").Key(), err: ErrDecided})
	}
	if n := a.ended.Size(); n != keptEnded {
		t.Errorf("%d kept, want %d", n, keptEnded)
	}
	last := 3*keptEnded - 1
	for i, want := range map[int]error{last: ErrDecided, last - keptEnded + 1: ErrDecided, last - keptEnded: ErrUnknownPrompt} {
		if got := a.over(device.Encode([]byte{byte(i), byte(i >> 8)}), mfa.NameOf("anna").Key()); got != want {
			t.Errorf("prompt %d is over: got %v; want %v", i, got, want)
		}
	}
	if got := a.over(device.Encode([]byte{byte(last), byte(last >> 8)}), mfa.NameOf("bob").Key()); got != ErrNotYours {
		t.Errorf("another user's: got %v", got)
	}
}

func FuzzDecision(f *testing.F) {
	f.Add([]byte(`{"decision":"approve","number":"42","signature":"AA"}`), "p1")
	f.Add([]byte(`{"decision":"not_me"}`), "")
	live := &prompt{}
	live.Number = "42"
	f.Fuzz(func(t *testing.T, body []byte, id string) {
		var r device.DecisionRequest
		if json.Unmarshal(body, &r) != nil {
			return
		}
		d := device.Decision{Version: 2, Device: "d", Prompt: id, Action: r.Decision, Number: r.Number}
		if d.Check() != nil {
			return
		}
		outcome, v, err := judge(live, d)
		if approved := err == nil && v.err == nil; approved != (d.Action == device.ActionApprove && d.Number == "42") || approved != (outcome == device.OutcomeApproved) {
			t.Errorf("%+v: %q %v %v", d, outcome, v.err, err)
		}
	})
}
