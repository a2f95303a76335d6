package login

import (
	"fmt"
	"github.com/radmatch/radmatch/mfa"
	"testing"
	"testing/synctest"
	"time"
)

// A user closes the passcode window, as often as they like, and tries again: the
// newest dialog works, whatever the client signs or tells of the user.
func TestNewestDialogGoesOn(t *testing.T) {
	unsigned := func(r *rig) *mfa.Request {
		q := r.request("bob")
		q.Signed, q.EndUser = false, ""
		return q
	}
	table(t, map[string]func(*testing.T, *rig){
		"unsigned": func(t *testing.T, r *rig) {
			var first, last *answer
			for range 5 {
				last = r.send(unsigned(r))
				last.want(mfa.Challenge, mfa.ReasonDefaultOTP)
				if first == nil {
					first = last
				}
			}
			if n := r.journal.count(mfa.ReasonSuperseded); n != 2 || r.Pending.Len() != maxDialogs {
				t.Errorf("%d gave way, %d are open", n, r.Pending.Len())
			}
			r.sendAnswer(first, "123456").want(mfa.Reject, mfa.ReasonStateUnknown)
			r.sendAnswer(last, "123456").want(mfa.Accept, "")
		},
		"signed, from four addresses": func(_ *testing.T, r *rig) {
			r.sendAnswer(r.dialogs(4)[3], "123456").want(mfa.Accept, "")
		},
		"after a wrong code each": func(t *testing.T, r *rig) {
			for range 4 {
				r.sendAnswer(r.send(unsigned(r)), "000000").want(mfa.Challenge, "")
			}
			r.sendAnswer(r.send(unsigned(r)), "123456").want(mfa.Accept, "")
		},
		"someone who has the password, from elsewhere, pushes out themselves": func(t *testing.T, r *rig) {
			owner := r.send(r.request("bob"))
			for range 20 {
				q := r.request("bob")
				q.EndUser, q.Signed = "203.0.113.66", false
				r.send(q).want(mfa.Challenge, "")
			}
			r.sendAnswer(owner, "123456").want(mfa.Accept, "")
		},
		"an open prompt goes on": func(t *testing.T, r *rig) {
			r.users.set("bob", func(u *mfa.User) { u.Devices, u.Codes = 1, 1 })
			prompting := r.send(r.request("bob"))
			prompting.wantWaits()
			r.users.set("bob", func(u *mfa.User) { u.Default = mfa.MethodOTP })
			r.dialogs(maxDialogs + 1)
			if n := r.journal.count(mfa.ReasonSuperseded); n != 1 {
				t.Errorf("got %d gave way; want 1", n)
			}
			r.prompted(1).decides(nil)
			prompting.want(mfa.Accept, mfa.ReasonApproveDeny)
		},
		"a prompt has a place of its own": func(t *testing.T, r *rig) {
			r.dialogs(maxDialogs)
			r.users.set("bob", func(u *mfa.User) { u.Devices, u.Default = 1, mfa.MethodPush })
			r.send(r.request("bob")).wantWaits()
			r.prompted(1)
			if n := r.journal.count(mfa.ReasonSuperseded); n != 0 {
				t.Errorf("got %d gave way; want 0", n)
			}
		},
		"what is being examined goes on": func(t *testing.T, r *rig) {
			r.codes.slow = make(chan struct{})
			var examined []*answer
			for _, a := range r.dialogs(maxDialogs) {
				examined = append(examined, r.start(r.reply(a, "123456")))
			}
			synctest.Wait()
			r.send(unsigned(r)).want(mfa.Reject, mfa.ReasonTooManyLogins)
			close(r.codes.slow)
			synctest.Wait()
			accepts := 0
			for _, a := range examined {
				if d, _ := a.decision(); d.Outcome == mfa.Accept {
					accepts++
				}
			}
			if accepts != 1 {
				t.Errorf("got %d of one code were accepted; want 1", accepts)
			}
		},
		"an appended code needs no place": func(t *testing.T, r *rig) {
			r.client.Append, r.client.AppendDelimiter = mfa.AppendDelimiter, ","
			r.dialogs(maxDialogs)
			r.sendTyped("bob", "right,123456").want(mfa.Accept, "")
			if n := r.journal.count(mfa.ReasonSuperseded); n != 0 {
				t.Errorf("got %d gave way; want 0", n)
			}
		},
		"a wrong appended code becomes a dialog": func(t *testing.T, r *rig) {
			r.client.Append, r.client.AppendDelimiter = mfa.AppendDelimiter, ","
			first := r.dialogs(maxDialogs)[0]
			a := r.sendTyped("bob", "right,000000")
			a.want(mfa.Challenge, "")
			if n := r.journal.count(mfa.ReasonSuperseded); n != 1 || r.Pending.Len() != maxDialogs {
				t.Errorf("%d gave way, %d are open", n, r.Pending.Len())
			}
			r.sendAnswer(first, "123456").want(mfa.Reject, mfa.ReasonStateUnknown)
			r.sendAnswer(a, "123456").want(mfa.Accept, "")
		},
	})
}

// Whatever comes at once, no more than the bound stay open, every login has one
// event, and the last one works.
func TestDialogsInParallel(t *testing.T) {
	for _, appended := range []bool{false, true} {
		bubble(t, func(t *testing.T, r *rig) {
			r.client.Append, r.client.AppendDelimiter = mfa.AppendDelimiter, ","
			r.Lockout.Max = 1 << 20
			for i := range 90 { // 100 wrong codes in a row lock them
				q := r.request("bob")
				q.Signed, q.EndUser = i%2 == 0, fmt.Sprint(i%7)
				if appended {
					q.Cred = mfa.Password("right,000000")
				}
				r.start(q)
			}
			synctest.Wait()
			if n := r.Pending.Len(); n == 0 || n > maxDialogs {
				t.Errorf("%d are open", n)
			}
			r.sendAnswer(r.send(r.request("bob")), "123456").want(mfa.Accept, "")
		})
	}
}

// Dialogs of a primary's own question come before any password. A user who types a name
// takes no place of its owner, nor of someone elsewhere.
func TestQuestionsCountByOrigin(t *testing.T) {
	ask := func(r *rig, endUser string) *answer {
		q := r.request("bob")
		q.Signed, q.EndUser = false, endUser
		a := r.send(q)
		a.want(mfa.Challenge, mfa.ReasonPrimaryChallenge)
		return a
	}
	table(t, map[string]func(*testing.T, *rig){
		"from elsewhere": func(t *testing.T, r *rig) {
			r.asks()
			owner := ask(r, "198.51.100.7")
			for range 3 * maxQuestions {
				ask(r, "203.0.113.66")
			}
			if n := r.Pending.Len(); n != maxQuestions+1 {
				t.Errorf("%d are open", n)
			}
			a := r.sendAnswer(r.sendAnswer(owner, "1234"), "token")
			a.want(mfa.Challenge, mfa.ReasonDefaultOTP)
			r.sendAnswer(a, "123456").want(mfa.Accept, "")
		},
		"beside the user's own dialogs": func(t *testing.T, r *rig) {
			own := r.dialogs(maxDialogs)
			r.asks()
			for range 2 * maxQuestions {
				ask(r, "203.0.113.66")
			}
			r.sendAnswer(own[0], "123456").want(mfa.Accept, "")
		},
		"where nothing tells users apart": func(t *testing.T, r *rig) {
			r.asks()
			r.Pending.MaxPerClient = 100
			first := ask(r, "")
			for range 49 {
				ask(r, "")
			}
			r.sendAnswer(first, "1234").want(mfa.Challenge, mfa.ReasonPrimaryChallenge)
			for range 50 {
				ask(r, "")
			}
			if n := r.Pending.Len(); n != 50 {
				t.Errorf("got %d are open; want 50", n)
			}
		},
		"signed ones do not give way to forged ones": func(t *testing.T, r *rig) {
			r.asks()
			signed := r.send(r.request("bob"))
			for range 2 * maxQuestions {
				ask(r, signed.req.EndUser)
			}
			r.sendAnswer(signed, "1234").want(mfa.Challenge, mfa.ReasonPrimaryChallenge)
		},
	})
}

// A client whose user cancels answers the challenge with octets that nobody typed:
// that ends the login, and nobody else's.
func TestCancelled(t *testing.T) {
	cancel := func(r *rig, a *answer) *mfa.Request {
		q := r.reply(a, "")
		q.Cred = mfa.Unsupported{What: "no text", NoText: true}
		return q
	}
	table(t, map[string]func(*testing.T, *rig){
		"a passcode dialog": func(t *testing.T, r *rig) {
			a := r.send(r.request("bob"))
			r.send(cancel(r, a)).want(mfa.Reject, mfa.ReasonCancelled)
			if r.Pending.Len() != 0 || r.codes.tries() != 0 {
				t.Errorf("got %d wait, %d codes were examined; want Len 0, tries 0", r.Pending.Len(), r.codes.tries())
			}
			r.sendAnswer(a, "123456").want(mfa.Reject, mfa.ReasonStateUnknown)
		},
		"a number": func(t *testing.T, r *rig) {
			r.client.NumberInPrompt = true
			for range r.Fatigue.Max {
				r.send(cancel(r, r.send(r.request("alice")))).want(mfa.Reject, mfa.ReasonCancelled)
			}
			if g := r.prompted(r.Fatigue.Max); !g.withdrawn() {
				t.Error("got the prompt still on the device; want it withdrawn")
			}
			r.send(r.request("alice")).want(mfa.Reject, mfa.ReasonPushLimited) // cancelled ones count
			r.forgivesNothing(t)
		},
		"others wait": func(t *testing.T, r *rig) {
			r.client.NumberInPrompt = true
			a := r.send(r.request("alice"))
			other := r.send(r.request("alice"))
			r.send(cancel(r, a)).want(mfa.Reject, mfa.ReasonUnsupported)
			r.prompted(1).decides(nil)
			r.sendAnswer(other, "").want(mfa.Accept, "")
		},
		"someone else's State": func(t *testing.T, r *rig) {
			a := r.send(r.request("bob"))
			q := cancel(r, a)
			q.User = mfa.NameOf("alice")
			r.send(q).want(mfa.Reject, mfa.ReasonUnsupported)
			r.sendAnswer(a, "123456").want(mfa.Accept, "")
		},
	})
}

// A user who hangs up and tries again, at a client that does not sign, hears that the first
// request is still open, and gets a prompt of their own when it is answered.
func TestHangUpAndRetry(t *testing.T) {
	unsigned := func(r *rig) *mfa.Request {
		q := r.request("alice")
		q.Signed, q.EndUser = false, ""
		return q
	}
	ok := func(r *rig, a *answer) *answer {
		q := r.reply(a, "")
		q.Signed, q.EndUser = false, ""
		return r.send(q)
	}
	table(t, map[string]func(*testing.T, *rig){
		"then approve both": func(t *testing.T, r *rig) {
			dead := r.send(unsigned(r))
			again := r.send(unsigned(r))
			if d := again.want(mfa.Challenge, mfa.ReasonPromptPending); d.Message != messageAnother {
				t.Errorf("message: got %q; want %q", d.Message, messageAnother)
			}
			id := again.want(mfa.Challenge, "").LoginID
			early := ok(r, again) // before it was answered
			early.want(mfa.Challenge, mfa.ReasonPromptPending)
			r.prompted(1).decides(nil)
			dead.want(mfa.Accept, "")
			last := ok(r, early)
			last.wantWaits()
			if g := r.prompted(2); g.ID != id {
				t.Errorf("login %s goes on as: got %s; want %s", id, g.ID, id)
			} else {
				g.decides(nil)
			}
			last.want(mfa.Accept, mfa.ReasonApproveDeny)
		},
		"an approval is for one": func(t *testing.T, r *rig) {
			r.send(unsigned(r))
			again := r.send(unsigned(r))
			r.prompted(1).decides(nil)
			ok(r, again) // by itself it is not accepted
			r.prompted(2).decides(mfa.ErrRejected)
			if n := r.journal.count(mfa.ReasonApproveDeny); n != 1 {
				t.Errorf("got %d were accepted; want 1", n)
			}
		},
		"blocked meanwhile": func(_ *testing.T, r *rig) {
			r.send(unsigned(r))
			again := r.send(unsigned(r))
			r.users.set("alice", func(u *mfa.User) { u.Blocked = true })
			ok(r, again).want(mfa.Reject, mfa.ReasonUserBlocked)
		},
		"not without end": func(_ *testing.T, r *rig) {
			r.client.PushTimeout = time.Hour
			r.send(unsigned(r))
			again := r.send(unsigned(r))
			for range maxAskedGone - 1 {
				again = ok(r, again)
			}
			ok(r, again).want(mfa.Reject, mfa.ReasonPromptPending)
		},
		"no prompt can be shown": func(_ *testing.T, r *rig) {
			r.client.Prompts = false
			r.send(unsigned(r))
			r.send(unsigned(r)).want(mfa.Reject, mfa.ReasonPromptPending)
		},
		"nobody answers": func(t *testing.T, r *rig) {
			r.send(unsigned(r))
			r.send(unsigned(r))
			time.Sleep(4 * time.Minute)
			if n := r.journal.count(mfa.ReasonChallengeExpired); n != 1 {
				t.Errorf("got %d expired; want 1", n)
			}
		},
	})
}

// forgivesNothing says that a server that starts now still limits alice's prompts.
func (r *rig) forgivesNothing(t *testing.T) {
	t.Helper()
	var next Limits
	next.Restore(r.journal.entries(), never, r.rules(), time.Now())
	if u, _ := r.users.User(t.Context(), mfa.NameOf("alice")); !next.PushLimited(u, time.Now()) {
		t.Error("a restart forgives prompts that were given up")
	}
}

// A prompt whose packets the NAS has given up, and that no request can join, ends for a
// newer request of its origin: what the user approves is the request that lives.
func TestDeadPrompt(t *testing.T) {
	unsigned := func(r *rig) *mfa.Request {
		q := r.request("alice")
		q.Signed = false
		return q
	}
	dead := func(r *rig) *answer {
		a := r.send(unsigned(r))
		a.req.Supersede()
		return a
	}
	table(t, map[string]func(*testing.T, *rig){
		"ends for the newer": func(t *testing.T, r *rig) {
			r.client.Prompts = false
			dead(r)
			a := r.send(unsigned(r))
			a.wantWaits()
			live := r.prompted(2)
			if !r.phone.all()[0].withdrawn() {
				t.Error("got the dead prompt still on the device; want it withdrawn")
			}
			live.decides(nil)
			a.want(mfa.Accept, mfa.ReasonApproveDeny)
			if n := r.journal.count(mfa.ReasonPushNoResponse); n != 1 {
				t.Errorf("%d events of prompts that were given up; want 1", n)
			}
		},
		"an approval of the dead one is void": func(t *testing.T, r *rig) {
			dead(r)
			r.prompted(1).decides(nil)
			r.send(unsigned(r)).want(mfa.Challenge, mfa.ReasonPromptPending)
			r.prompted(1)
		},
		"without join": func(_ *testing.T, r *rig) {
			r.client.Join = false
			a := r.send(r.request("alice"))
			a.req.Supersede()
			r.send(r.request("alice")).wantWaits()
			r.prompted(2)
		},
		"elsewhere": func(_ *testing.T, r *rig) {
			dead(r)
			q := unsigned(r)
			q.EndUser = "203.0.113.66"
			r.send(q).want(mfa.Challenge, mfa.ReasonPromptPending)
			q = r.request("alice")
			r.send(q).want(mfa.Discard, mfa.ReasonPromptPending)
			r.prompted(1)
		},
		"one that can be joined stays": func(_ *testing.T, r *rig) {
			a := r.send(r.request("alice"))
			a.req.Supersede()
			r.send(unsigned(r)).want(mfa.Challenge, mfa.ReasonPromptPending)
			r.prompted(1)
		},
		"one whose challenge is out stays": func(_ *testing.T, r *rig) {
			r.client.NumberInPrompt = true
			a := r.send(unsigned(r))
			a.req.Supersede()
			r.send(unsigned(r)).want(mfa.Challenge, mfa.ReasonPromptPending)
			r.prompted(1)
		},
		"not without end": func(t *testing.T, r *rig) {
			r.client.Prompts = false
			for range r.Fatigue.Max {
				dead(r)
			}
			r.send(unsigned(r)).want(mfa.Reject, mfa.ReasonPushLimited)
			r.prompted(r.Fatigue.Max)
			r.forgivesNothing(t)
		},
	})
}
