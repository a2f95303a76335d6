package login

import (
	"errors"
	"fmt"
	"github.com/radmatch/radmatch/mfa"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestPush(t *testing.T) {
	table(t, map[string]func(*testing.T, *rig){
		"approved": func(t *testing.T, r *rig) {
			a := r.send(r.request("alice"))
			a.wantWaits()
			g := r.prompted(1)
			if g.User.String() != "alice" || g.Client != "vpn" || g.Number != "" || g.Expires.Sub(g.Started) != 55*time.Second || g.Requests[0].EndUser != "198.51.100.7" {
				t.Errorf("prompt: %+v", g.Prompt)
			}
			time.Sleep(30 * time.Second)
			g.decides(nil)
			if d := a.want(mfa.Accept, mfa.ReasonApproveDeny); len(d.Identity.Attributes) != 1 {
				t.Errorf("attributes: got %v; want 1 Attributes", d.Identity.Attributes)
			}
			ev := r.journal.last(t)
			if ev.Method != "push" || ev.Device != "pixel" || string(ev.Signature) != "sig" || ev.Factor != 30*time.Second || ev.ID != g.ID {
				t.Errorf("event: %+v", ev)
			}
		},
		"denied": func(t *testing.T, r *rig) {
			a := r.send(r.request("alice"))
			r.prompted(1).decides(mfa.ErrRejected)
			a.want(mfa.Reject, mfa.ReasonPushDenied)
			if ev := r.journal.last(t); ev.Device != "pixel" || !strings.HasSuffix(ev.Text, "PhoneAppDenied") {
				t.Errorf("event: got %+v; want Device \"pixel\", \"PhoneAppDenied\" last", ev)
			}
		},
		"not me": func(t *testing.T, r *rig) {
			a := r.send(r.request("alice"))
			r.prompted(1).decides(errNotMe)
			a.want(mfa.Reject, mfa.ReasonNotMe)
			if ev := r.journal.last(t); ev.Reason != mfa.ReasonNotMe || ev.Group != "edge" || ev.User.String() != "alice" {
				t.Errorf("the event does not say whom to block: got %+v; want Reason mfa.ReasonNotMe, Group \"edge\", User \"alice\"", ev)
			}
		},
		"nobody answers": func(t *testing.T, r *rig) {
			a := r.send(r.request("alice"))
			time.Sleep(54 * time.Second)
			a.wantWaits()
			time.Sleep(time.Second)
			synctest.Wait()
			a.want(mfa.Reject, mfa.ReasonPushNoResponse)
			if !r.prompted(1).withdrawn() {
				t.Error("the prompt is still on the device")
			}
		},
		"the provider fails": func(t *testing.T, r *rig) {
			a := r.send(r.request("alice"))
			r.prompted(1).decides(errors.New("no route to host"))
			if d := a.want(mfa.Discard, mfa.ReasonMFAError); d.Err == nil {
				t.Error("got no error for the log; want one")
			}
		},
		"the provider's own time runs out": func(t *testing.T, r *rig) {
			a := r.send(r.request("alice"))
			r.prompted(1).decides(fmt.Errorf("post: %w", deadline{}))
			a.want(mfa.Discard, mfa.ReasonMFAError)
		},
		"blocked while the prompt is open": func(t *testing.T, r *rig) {
			a := r.send(r.request("alice"))
			r.users.set("alice", func(u *mfa.User) { u.Blocked = true })
			r.prompted(1).decides(nil)
			a.want(mfa.Reject, mfa.ReasonUserBlocked)
		},
		"push blocked for this client while the prompt is open": func(t *testing.T, r *rig) {
			a := r.send(r.request("alice"))
			r.users.set("alice", func(u *mfa.User) { u.PushBlocked = []string{"edge"} })
			r.prompted(1).decides(nil)
			a.want(mfa.Reject, mfa.ReasonPushBlocked)
		},
		"a code is worth nothing without a challenge": func(t *testing.T, r *rig) {
			a := r.send(r.request("alice"))
			q := r.request("alice")
			q.Cred = mfa.Password("123456")
			r.send(q).want(mfa.Reject, mfa.ReasonWrongPassword)
			a.wantWaits()
		},
	})
}

// deadline is the error of an HTTP client whose own time ran out.
type deadline struct{}

func (deadline) Error() string   { return "context deadline exceeded" }
func (deadline) Timeout() bool   { return true }
func (deadline) Is(e error) bool { return e.Error() == "context deadline exceeded" }

// number opens alice's prompt with a number, and returns it with the packet.
func (r *rig) number(t *testing.T) (*shownPrompt, *answer) {
	t.Helper()
	r.client.NumberInPrompt = true
	r.users.set("alice", func(u *mfa.User) { u.Codes = 1 })
	a := r.send(r.request("alice"))
	d := a.want(mfa.Challenge, mfa.ReasonNumberMatch)
	g := r.prompted(len(r.phone.all()))
	if len(g.Number) != 2 || g.Number < "10" || g.Number > "99" || d.Message != fmt.Sprintf(messageNumberCode, g.Number) {
		t.Fatalf("number %q, message %q", g.Number, d.Message)
	}
	return g, a
}

func TestNumber(t *testing.T) {
	table(t, map[string]func(*testing.T, *rig){
		"OK, then the number": func(t *testing.T, r *rig) {
			g, a := r.number(t)
			ok := r.sendAnswer(a, "OK")
			ok.wantWaits()
			g.decides(nil)
			if d := ok.want(mfa.Accept, mfa.ReasonNumberMatch); len(d.Identity.Attributes) != 1 {
				t.Errorf("attributes: got %v; want 1 Attributes", d.Identity.Attributes)
			}
		},
		"the user has no code": func(t *testing.T, r *rig) {
			r.client.NumberInPrompt = true
			d := r.send(r.request("alice")).want(mfa.Challenge, "")
			if d.Message != fmt.Sprintf(messageNumber, r.prompted(1).Number) {
				t.Errorf("message: %q", d.Message)
			}
		},
		"a wrong number ends it": func(t *testing.T, r *rig) {
			g, a := r.number(t)
			ok := r.sendAnswer(a, "")
			g.decides(errNumber)
			ok.want(mfa.Reject, mfa.ReasonWrongNumber)
			if ev := r.journal.last(t); ev.Method != "number" || !ev.NumberSet {
				t.Errorf("event: got %+v; want Method \"number\", NumberSet true", ev)
			}
		},
		"no code counts after a deny": func(t *testing.T, r *rig) {
			g, a := r.number(t)
			g.decides(mfa.ErrRejected)
			r.sendAnswer(a, "123456").want(mfa.Reject, mfa.ReasonStateUnknown)
			if r.codes.tries() != 0 {
				t.Error("got the code examined; want it not examined")
			}
		},
		"OK, and nobody types the number": func(t *testing.T, r *rig) {
			_, a := r.number(t)
			ok := r.sendAnswer(a, "")
			time.Sleep(55 * time.Second)
			synctest.Wait()
			ok.want(mfa.Reject, mfa.ReasonPushNoResponse)
		},
		"a code withdraws the prompt": func(t *testing.T, r *rig) {
			g, a := r.number(t)
			r.sendAnswer(a, "123456").want(mfa.Accept, mfa.ReasonNumberMatch)
			if !g.withdrawn() {
				t.Error("the prompt is still on the device")
			}
			if ev := r.journal.last(t); ev.Method != "totp" {
				t.Errorf("event: got %+v; want Method \"totp\"", ev)
			}
		},
		"a wrong code does not": func(t *testing.T, r *rig) {
			g, a := r.number(t)
			a = r.sendAnswer(a, "000000")
			if d := a.want(mfa.Challenge, ""); d.Message != fmt.Sprintf(messageNumberWrong, g.Number) {
				t.Errorf("message: %q", d.Message)
			}
			if g.withdrawn() {
				t.Error("got the prompt withdrawn; want it open")
			}
			ok := r.sendAnswer(a, "")
			g.decides(nil)
			ok.want(mfa.Accept, "")
		},
		"the device is removed after it approved": func(t *testing.T, r *rig) {
			g, a := r.number(t)
			g.decides(nil)
			r.users.remove("d1")
			r.sendAnswer(a, "").want(mfa.Reject, mfa.ReasonNoUsableMethod)
			if ev := r.journal.last(t); ev.Outcome != mfa.Reject || ev.DeviceID != "d1" || ev.Text == "" {
				t.Errorf("event: %+v", ev)
			}
		},
		"blocked before the code": func(t *testing.T, r *rig) {
			g, a := r.number(t)
			r.users.set("alice", func(u *mfa.User) { u.Blocked = true })
			r.sendAnswer(a, "123456").want(mfa.Reject, mfa.ReasonUserBlocked)
			if !g.withdrawn() {
				t.Error("the prompt is still on the device")
			}
		},
		"phone and code at once": func(t *testing.T, r *rig) {
			g, a := r.number(t)
			r.codes.slow = make(chan struct{})
			code := r.send(r.reply(a, "123456"))
			g.decides(nil)
			code.wantWaits()
			close(r.codes.slow)
			synctest.Wait()
			code.want(mfa.Accept, "")
			if n := len(r.journal.all()); n != 1 {
				t.Errorf("got %d events; want 1", n)
			}
		},
		"denied while a right code is examined": func(t *testing.T, r *rig) {
			g, a := r.number(t)
			r.codes.slow = make(chan struct{})
			code := r.send(r.reply(a, "123456"))
			g.decides(mfa.ErrRejected)
			close(r.codes.slow)
			synctest.Wait()
			code.want(mfa.Accept, "") // the code came first
		},
		"denied while a wrong code is examined": func(t *testing.T, r *rig) {
			g, a := r.number(t)
			r.codes.slow = make(chan struct{})
			code := r.send(r.reply(a, "000000"))
			g.decides(mfa.ErrRejected)
			close(r.codes.slow)
			synctest.Wait()
			if r.journal.last(t).Reason != mfa.ReasonPushDenied {
				t.Errorf("event: %+v", r.journal.last(t))
			}
			r.sendAnswer(code, "123456").want(mfa.Reject, mfa.ReasonStateUnknown)
		},
		"approved while a wrong code is examined": func(t *testing.T, r *rig) {
			g, a := r.number(t)
			r.codes.slow = make(chan struct{})
			code := r.send(r.reply(a, "000000"))
			g.decides(nil)
			close(r.codes.slow)
			synctest.Wait()
			r.sendAnswer(code, "").want(mfa.Accept, "")
		},
		"three wrong codes end it": func(t *testing.T, r *rig) {
			g, a := r.number(t)
			for range 2 {
				a = r.sendAnswer(a, "000000")
			}
			r.sendAnswer(a, "000000").want(mfa.Reject, mfa.ReasonWrongCode)
			if !g.withdrawn() {
				t.Error("the prompt is still on the device")
			}
		},
		"an MS-CHAPv2 packet that joins waits": func(t *testing.T, r *rig) {
			g, _ := r.number(t)
			q := r.send(r.mschap("alice", 7))
			q.wantWaits()
			g.decides(nil)
			if d := q.want(mfa.Accept, ""); d.Identity.MSCHAP == nil {
				t.Error("got no keys for MS-CHAPv2; want some")
			}
		},
		"challenges are bounded": func(t *testing.T, r *rig) {
			g, _ := r.number(t)
			for i := range 2 * maxChallenges {
				a := r.send(r.request("alice"))
				if i < maxChallenges-1 {
					a.want(mfa.Challenge, "")
				} else {
					a.wantWaits()
				}
			}
			g.decides(nil)
		},
	})
}

// Phone and passcode race: one event, one winner.
func TestPhoneRacesCode(t *testing.T) {
	won := make(map[string]int)
	for i := range 200 {
		bubble(t, func(t *testing.T, r *rig) {
			g, a := r.number(t)
			ok := r.sendAnswer(r.send(r.request("alice")), "OK") // a packet that joined waits for the phone
			q := r.reply(a, "123456")
			var got *answer
			if i%2 == 0 {
				got = r.start(q)
				g.decides(nil)
			} else {
				g.decide <- nil
				got = r.send(q)
			}
			if d, _ := got.decision(); d.Outcome != mfa.Accept && d.Reason != mfa.ReasonStateUnknown {
				t.Fatalf("the code got %s %s", d.Outcome, d.Reason)
			}
			if n := r.journal.count(mfa.ReasonNumberMatch); n != 1 {
				t.Fatalf("got %d events of the login; want 1", n)
			}
			method := r.journal.all()[0].Method
			if d, said := ok.decision(); (d.Outcome == mfa.Accept) != (method == "number") {
				t.Fatalf("%s won, and the packet that joined got %s", method, said)
			}
			won[method]++
		})
	}
	t.Log(won)
}

// A panic ends one login, and its user can sign in again at once.
func TestPanics(t *testing.T) {
	boom := func() error { panic("boom") }
	table(t, map[string]func(*testing.T, *rig){
		"pusher": func(t *testing.T, r *rig) {
			r.phone.fail = boom
			r.send(r.request("alice")).want(mfa.Reject, mfa.ReasonInternalError)
			if r.panics != 1 || r.journal.last(t).Reason != mfa.ReasonInternalError {
				t.Errorf("%d panics told, events %v", r.panics, r.journal.all())
			}
			r.phone.fail = nil
			r.send(r.request("alice")).wantWaits()
			r.prompted(2)
		},
		"primary": func(t *testing.T, r *rig) {
			r.primary.fail = boom
			if a := r.send(r.request("alice")); !a.panicked {
				t.Error("got no panic; want one")
			}
			r.primary.fail = nil
			r.send(r.request("alice")).wantWaits()
		},
		"verifier": func(t *testing.T, r *rig) {
			a := r.send(r.request("bob"))
			r.codes.fail = boom
			got := r.sendAnswer(a, "123456")
			got.want(mfa.Reject, mfa.ReasonInternalError)
			if !got.panicked || r.Pending.Len() != 0 || r.journal.last(t).Reason != mfa.ReasonInternalError {
				t.Errorf("panicked %v, %d wait, events %v", got.panicked, r.Pending.Len(), r.journal.all())
			}
			r.codes.fail = nil
			r.sendAnswer(r.send(r.request("bob")), "123456").want(mfa.Accept, "")
		},
		"verifier, beside a prompt": func(t *testing.T, r *rig) {
			g, a := r.number(t)
			r.codes.fail = boom
			r.sendAnswer(a, "123456").want(mfa.Reject, mfa.ReasonInternalError)
			if !g.withdrawn() {
				t.Error("the prompt is still on the device")
			}
			r.send(r.request("alice")).want(mfa.Challenge, "")
			r.prompted(2)
		},
		"journal": func(t *testing.T, r *rig) {
			a := r.send(r.request("alice"))
			r.journal.fail = func(mfa.Event) error { panic("boom") }
			r.prompted(1).decides(nil)
			a.want(mfa.Reject, mfa.ReasonInternalError)
			r.journal.fail = nil
			a = r.send(r.request("alice"))
			r.prompted(2).decides(nil)
			a.want(mfa.Accept, "")
		},
		"journal, in the sweep": func(t *testing.T, r *rig) {
			r.send(r.request("bob"))
			r.journal.setFail(func(mfa.Event) error { panic("boom") })
			time.Sleep(4 * time.Minute)
			synctest.Wait()
			if r.Pending.Len() != 0 || r.panics == 0 {
				t.Errorf("%d wait, %d panics told", r.Pending.Len(), r.panics)
			}
			r.journal.setFail(nil)
			r.sendAnswer(r.send(r.request("bob")), "123456").want(mfa.Accept, "")
		},
		"directory, at the approval": func(t *testing.T, r *rig) {
			a := r.send(r.request("alice"))
			r.users.fail = boom
			r.prompted(1).decides(nil)
			a.want(mfa.Reject, mfa.ReasonInternalError)
		},
	})
}

// An answer that panics must not leave a login without its prompt.
func TestReplyPanics(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.client.NumberInPrompt = true
		func() {
			defer func() { _ = recover() }()
			r.Authenticate(t.Context(), r.request("alice"), func(mfa.Decision) { panic("boom") })
		}()
		synctest.Wait()
		r.prompted(1)
		time.Sleep(56 * time.Second)
		if r.Pending.Len() != 0 {
			t.Error("the login still waits; want it ended")
		}
	})
}
