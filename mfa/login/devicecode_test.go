package login

import (
	"errors"
	"github.com/radmatch/radmatch/mfa"
	"regexp"
	"testing"
	"testing/synctest"
	"time"
)

// fromDevice opens alice's prompt whose device shows a code, at a client that
// shows no message, and returns it with the packet that was challenged.
func (r *rig) fromDevice(t *testing.T) (*shownPrompt, *answer) {
	t.Helper()
	r.hidesMessage(r.client)
	a := r.send(r.request("alice"))
	if d := a.want(mfa.Challenge, mfa.ReasonCodeMatch); d.Message != messageDeviceCode {
		t.Fatalf("message: got %q; want %q", d.Message, messageDeviceCode)
	}
	g := r.prompted(len(r.phone.all()))
	if !regexp.MustCompile(`^[0-9]{6}$`).MatchString(string(g.Code)) || g.Number != "" || !g.CodeExpires.Equal(g.Started.Add(3*time.Minute)) {
		t.Fatalf("code %d digits, number %q, expires %s", len(g.Code), g.Number, g.CodeExpires)
	}
	return g, a
}

// wrong returns a code that is not the device's.
func (g *shownPrompt) wrong() string {
	b := []byte(g.Code)
	b[5] = '0' + (b[5]-'0'+1)%10
	return string(b)
}

func (r *rig) hidesMessage(c *mfa.Client) {
	c.NumberFromDevice, c.ShowsCodes, c.ShowsMessage = true, true, false
}

// typed answers a's challenge with what the device shows.
func (r *rig) typed(a *answer, g *shownPrompt) *answer { return r.sendAnswer(a, string(g.Code)) }

func TestCodeFromDevice(t *testing.T) {
	table(t, map[string]func(*testing.T, *rig){
		"approve, then the code": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			time.Sleep(10 * time.Second)
			g.decides(nil)
			time.Sleep(20 * time.Second)
			b := r.typed(a, g)
			if d := b.want(mfa.Accept, mfa.ReasonCodeMatch); len(d.Identity.Attributes) != 1 {
				t.Errorf("attributes: got %v; want 1 Attributes", d.Identity.Attributes)
			}
			ev := r.journal.last(t)
			if ev.Method != "code" || ev.Plan != mfa.PlanCode || !ev.NumberSet || ev.Device != "pixel" || string(ev.Signature) != "sig" {
				t.Errorf("event: %+v", ev)
			}
			if n := r.Limits.codes.counted(mfa.NameOf("alice").Key()); n != 0 {
				t.Errorf("the right code counts as %d wrong ones; want 0", n)
			}
		},
		"as a user writes it": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			g.decides(nil)
			r.sendAnswer(a, " "+string(g.Code[:3])+" "+string(g.Code[3:])+" ").want(mfa.Accept, mfa.ReasonCodeMatch)
		},
		"an approval by itself is no accept": func(t *testing.T, r *rig) {
			g, _ := r.fromDevice(t)
			g.decides(nil)
			time.Sleep(3*time.Minute + 2*time.Second)
			synctest.Wait()
			ev := r.journal.last(t)
			if ev.Kind != mfa.EventUnclaimed || ev.Outcome != mfa.Reject || ev.Device != "pixel" || ev.Text != "approved, but its code was not typed: no one got in" {
				t.Errorf("event: %+v", ev)
			}
		},
		"nobody decides": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			time.Sleep(56 * time.Second)
			synctest.Wait()
			if ev := r.journal.last(t); ev.Reason != mfa.ReasonPushNoResponse {
				t.Errorf("event: got %+v; want Reason mfa.ReasonPushNoResponse", ev)
			}
			r.typed(a, g).want(mfa.Reject, mfa.ReasonStateUnknown)
		},
		"the code comes before the approval's goroutine": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			g.Approved(mfa.Approval{Device: "pixel", DeviceID: "d1"}) // the device has the code now
			r.typed(a, g).want(mfa.Accept, mfa.ReasonCodeMatch)
			if !g.withdrawn() {
				t.Error("got the prompt still open; want it withdrawn")
			}
		},
		"the code before the approval": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			a = r.typed(a, g) // a guess that would be right
			if d := a.want(mfa.Challenge, ""); d.Message != messageDeviceBad {
				t.Errorf("message: got %q; want %q", d.Message, messageDeviceBad)
			}
			g.decides(nil)
			r.typed(a, g).want(mfa.Accept, mfa.ReasonCodeMatch)
			if ev := r.journal.last(t); ev.Tries != 1 {
				t.Errorf("event: got %+v; want Tries 1", ev)
			}
		},
		"the code after a deny": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			g.decides(mfa.ErrRejected)
			r.typed(a, g).want(mfa.Reject, mfa.ReasonStateUnknown)
			if n := r.journal.count(mfa.ReasonPushDenied); n != 1 {
				t.Errorf("got %d events of the denial; want 1", n)
			}
		},
		"the code twice": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			g.decides(nil)
			r.typed(a, g).want(mfa.Accept, mfa.ReasonCodeMatch)
			r.typed(a, g).want(mfa.Reject, mfa.ReasonStateUnknown)
			late := r.send(r.request("alice"))
			r.typed(late, g).want(mfa.Challenge, "") // the next login has a code of its own
		},
		"the code of another login": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			r.users.set("dora", func(u *mfa.User) { u.Devices = 1 })
			b := r.send(r.request("dora"))
			other := r.prompted(2)
			g.decides(nil)
			other.decides(nil)
			if other.User.String() != "dora" || other.Code == g.Code {
				t.Fatalf("prompt of %q; the codes are equal: %t", other.User, other.Code == g.Code)
			}
			a, b = r.typed(a, other), r.typed(b, g)
			a.want(mfa.Challenge, "")
			b.want(mfa.Challenge, "")
			r.typed(b, other).want(mfa.Accept, mfa.ReasonCodeMatch)
			r.typed(a, g).want(mfa.Accept, mfa.ReasonCodeMatch)
		},
		"another user's answer": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			g.decides(nil)
			q := r.reply(a, string(g.Code))
			q.User = mfa.NameOf("bob")
			r.send(q).want(mfa.Reject, mfa.ReasonStateUnknown)
			r.typed(a, g).want(mfa.Accept, mfa.ReasonCodeMatch)
		},
		"three wrong codes": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			g.decides(nil)
			a = r.sendAnswer(a, g.wrong())
			a = r.sendAnswer(a, "12345")
			a.want(mfa.Challenge, "")
			r.sendAnswer(a, "OK").want(mfa.Reject, mfa.ReasonWrongCode) // approved: now it is a code that is due
			r.typed(a, g).want(mfa.Reject, mfa.ReasonStateUnknown)
			if n := r.Limits.codes.counted(mfa.NameOf("alice").Key()); n != 3 {
				t.Errorf("got %d wrong codes are counted; want 3", n)
			}
		},
		"one of the user's own codes": func(t *testing.T, r *rig) {
			r.users.set("alice", func(u *mfa.User) { u.Codes = 1 })
			g, a := r.fromDevice(t)
			r.sendAnswer(a, "123456").want(mfa.Accept, mfa.ReasonCodeMatch)
			if ev := r.journal.last(t); ev.Method != "totp" || ev.Device != "" {
				t.Errorf("event: got %+v; want Method \"totp\", Device no text", ev)
			}
			if !g.withdrawn() {
				t.Error("the prompt is still on the device")
			}
		},
		"one of them after the approval": func(t *testing.T, r *rig) {
			r.users.set("alice", func(u *mfa.User) { u.Codes = 1 })
			g, a := r.fromDevice(t)
			g.decides(nil)
			r.sendAnswer(a, "123456").want(mfa.Accept, mfa.ReasonCodeMatch)
		},
		"a user without codes has none examined": func(t *testing.T, r *rig) {
			r.codes.none = map[string]bool{"alice": true}
			_, a := r.fromDevice(t)
			r.sendAnswer(a, "123456").want(mfa.Challenge, "")
			if r.codes.tries() != 0 {
				t.Error("got the store asked for a code; want no question")
			}
		},
		"blocked between approval and code": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			g.decides(nil)
			r.users.set("alice", func(u *mfa.User) { u.Blocked = true })
			r.typed(a, g).want(mfa.Reject, mfa.ReasonUserBlocked)
		},
		"not me at another client between approval and code": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			g.decides(nil)
			r.users.set("alice", func(u *mfa.User) { u.PushBlocked = []string{"edge"} })
			r.typed(a, g).want(mfa.Reject, mfa.ReasonPushBlocked)
		},
		"the device is removed between approval and code": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			g.decides(nil)
			r.users.remove("d1")
			r.typed(a, g).want(mfa.Reject, mfa.ReasonNoUsableMethod)
		},
		"the disk fails at the code": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			g.decides(nil)
			r.journal.setFail(func(mfa.Event) error { return errors.New("disk full") })
			r.typed(a, g).want(mfa.Discard, mfa.ReasonMFAError)
			r.journal.setFail(nil)
			r.typed(a, g).want(mfa.Reject, mfa.ReasonStateUnknown)
		},
		"codes are locked": func(t *testing.T, r *rig) {
			r.hidesMessage(r.client)
			r.lockCodes("alice")
			r.send(r.request("alice")).want(mfa.Reject, mfa.ReasonCodesLocked)
			if n := len(r.phone.all()); n != 0 {
				t.Errorf("got %d prompts that nobody can answer; want none", n)
			}
		},
		"codes get locked after the approval": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			g.decides(nil)
			r.lockCodes("alice")
			r.typed(a, g).want(mfa.Reject, mfa.ReasonCodesLocked)
		},
		"a prompt is shown no longer than its code is good": func(t *testing.T, r *rig) {
			r.hidesMessage(r.client)
			r.client.ChallengeTTL = 20 * time.Second
			r.send(r.request("alice"))
			if g := r.prompted(1); g.Expires.Sub(g.Started) != 20*time.Second || !g.CodeExpires.Equal(g.Expires) {
				t.Errorf("prompt until %s, code until %s", g.Expires, g.CodeExpires)
			}
			time.Sleep(21 * time.Second)
			synctest.Wait()
			if ev := r.journal.last(t); ev.Reason != mfa.ReasonPushNoResponse {
				t.Errorf("event: got %+v; want Reason mfa.ReasonPushNoResponse", ev)
			}
		},
		"too late": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			g.decides(nil)
			q := r.reply(a, string(g.Code))
			time.Sleep(3*time.Minute - time.Millisecond)
			q.Received = time.Now().Add(time.Millisecond)
			r.send(q).want(mfa.Reject, mfa.ReasonStateUnknown)
		},
	})
}

// Many guesses at once are counted one by one, and three of them end the login.
func TestCodeFromDeviceGuessedInParallel(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		g, a := r.fromDevice(t)
		challenged := []*answer{a}
		for range 6 {
			challenged = append(challenged, r.send(r.request("alice"))) // joins
		}
		g.decides(nil)
		var guesses []*answer
		for _, c := range challenged {
			guesses = append(guesses, r.start(r.reply(c, g.wrong())))
		}
		synctest.Wait()
		asked, rejected := 0, 0
		for _, b := range guesses {
			switch d, got := b.decision(); {
			case got == "waits":
				t.Error("got a guess that waits; want an answer")
			case d.Outcome == mfa.Challenge:
				asked++
			case d.Outcome == mfa.Reject:
				rejected++
			default:
				t.Errorf("a guess got %s", got)
			}
		}
		if n := r.journal.count(mfa.ReasonWrongCode); asked != 2 || rejected != 5 || n != 1 || r.codes.tries() != 3 {
			t.Errorf("got %d asked again, %d rejected, %d events, %d examined; want 2, 5, 1, tries 3", asked, rejected, n, r.codes.tries())
		}
	})
}

// OK, which users press by habit, waits for the device and is then asked again.
func TestCodeFromDeviceOK(t *testing.T) {
	table(t, map[string]func(*testing.T, *rig){
		"OK, then the approval": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			ok := r.sendAnswer(a, "")
			ok.wantWaits()
			again := r.sendAnswer(a, "") // under another identifier
			again.wantWaits()
			g.decides(nil)
			if d := ok.want(mfa.Challenge, ""); d.Message != messageDeviceCode || d.State != again.want(mfa.Challenge, "").State {
				t.Errorf("%+v", d)
			}
			b := r.typed(ok, g)
			b.want(mfa.Accept, mfa.ReasonCodeMatch)
			if ev := r.journal.last(t); ev.Tries != 0 {
				t.Errorf("OK counts as a wrong code: got %+v; want Tries 0", ev)
			}
		},
		"OK, then a deny": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			ok := r.sendAnswer(a, "OK")
			g.decides(mfa.ErrRejected)
			ok.want(mfa.Reject, mfa.ReasonPushDenied)
		},
		"OK, and the client gives up before the user decides": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			q := r.reply(a, "")
			q.GivesUp = time.Now().Add(10 * time.Second)
			ok := r.send(q)
			time.Sleep(10 * time.Second)
			synctest.Wait()
			ok.want(mfa.Challenge, "")
			g.decides(nil)
			r.typed(ok, g).want(mfa.Accept, mfa.ReasonCodeMatch)
		},
		"OK, and nobody decides": func(t *testing.T, r *rig) {
			_, a := r.fromDevice(t)
			ok := r.sendAnswer(a, "")
			time.Sleep(56 * time.Second)
			synctest.Wait()
			ok.want(mfa.Reject, mfa.ReasonPushNoResponse)
		},
	})
}

// A request that joins is asked for the code too, before and after the approval; a login
// that needs a code joins nothing that opens with only an approval.
func TestCodeFromDeviceJoin(t *testing.T) {
	table(t, map[string]func(*testing.T, *rig){
		"before the approval": func(t *testing.T, r *rig) {
			g, first := r.fromDevice(t)
			b := r.send(r.request("alice"))
			b.want(mfa.Challenge, mfa.ReasonCodeMatch)
			r.prompted(1)
			g.decides(nil)
			r.typed(b, g).want(mfa.Accept, mfa.ReasonCodeMatch)
			r.typed(first, g).want(mfa.Reject, mfa.ReasonStateUnknown)
		},
		"after it": func(t *testing.T, r *rig) {
			g, _ := r.fromDevice(t)
			g.decides(nil)
			b := r.send(r.request("alice"))
			b.want(mfa.Challenge, mfa.ReasonCodeMatch)
			r.prompted(1)
			r.typed(b, g).want(mfa.Accept, mfa.ReasonCodeMatch)
		},
		"from another origin": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			g.decides(nil)
			q := r.request("alice")
			q.EndUser = "203.0.113.66"
			r.send(q).want(mfa.Discard, mfa.ReasonPromptPending)
			r.typed(a, g).want(mfa.Accept, mfa.ReasonCodeMatch)
		},
		"MS-CHAPv2, which cannot bring the code": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			before := r.send(r.mschap("alice", 7))
			before.wantWaits()
			g.decides(nil)
			before.wantWaits()
			after := r.send(r.mschap("alice", 8)) // the device never showed it
			after.wantWaits()
			r.typed(a, g).want(mfa.Accept, mfa.ReasonCodeMatch)
			before.want(mfa.Reject, mfa.ReasonWrongCode)
			after.want(mfa.Reject, mfa.ReasonWrongCode)
		},
		"more than have a State": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			for range maxChallenges - 1 {
				r.send(r.request("alice")).want(mfa.Challenge, "")
			}
			waiters := r.send(r.request("alice"))
			waiters.wantWaits()
			g.decides(nil)
			r.typed(a, g).want(mfa.Accept, mfa.ReasonCodeMatch)
			waiters.want(mfa.Reject, mfa.ReasonWrongCode)
		},
		"a wrong code, while the right one is being committed": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			b := r.send(r.request("alice"))
			g.decides(nil)
			r.journal.slow = make(chan struct{})
			right := r.start(r.reply(a, string(g.Code)))
			synctest.Wait()
			wrong := r.start(r.reply(b, g.wrong()))
			synctest.Wait()
			close(r.journal.slow)
			synctest.Wait()
			right.want(mfa.Accept, mfa.ReasonCodeMatch)
			wrong.want(mfa.Reject, "")
		},
		"MS-CHAPv2 is told before its client gives up": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			q := r.mschap("alice", 7)
			q.GivesUp = time.Now().Add(10 * time.Second)
			b := r.send(q)
			g.decides(nil)
			time.Sleep(10 * time.Second)
			synctest.Wait()
			b.want(mfa.Reject, mfa.ReasonNASTimeout)
			r.typed(a, g).want(mfa.Accept, mfa.ReasonCodeMatch)
		},
		"no join of approve/deny": func(t *testing.T, r *rig) {
			r.hidesMessage(r.client)
			b := r.send(r.mschap("alice", 7)) // carries no code: approve/deny
			b.wantWaits()
			a := r.send(r.request("alice"))
			a.want(mfa.Discard, mfa.ReasonPromptPending)
			r.prompted(1).decides(nil)
			b.want(mfa.Accept, mfa.ReasonApproveDeny)
		},
		"a client that shows the message": func(t *testing.T, r *rig) {
			g, _ := r.fromDevice(t)
			c := r.newClient("portal", "edge")
			c.NumberInPrompt = true
			q := r.request("alice")
			q.Client = c
			b := r.send(q)
			if d := b.want(mfa.Challenge, ""); d.Message != messageDeviceCode {
				t.Errorf("message: got %q; want %q", d.Message, messageDeviceCode)
			}
			g.decides(nil)
			r.typed(b, g).want(mfa.Accept, mfa.ReasonCodeMatch)
		},
	})
}

// No digit of the code is likelier than another, and none is left out.
func TestMatchCode(t *testing.T) {
	p := &Pending{}
	var seen [deviceCodeDigits][10]int
	const n = 20_000
	for range n {
		code := p.random.deviceCode()
		if len(code) != deviceCodeDigits {
			t.Fatalf("%d digits", len(code))
		}
		for i, c := range []byte(code) {
			seen[i][c-'0']++
		}
	}
	for i := range seen {
		for d, got := range seen[i] {
			if got < n/10*8/10 || got > n/10*12/10 { // nine standard deviations
				t.Errorf("digit %d is %d %d times of %d", i, d, got, n)
			}
		}
	}
}
