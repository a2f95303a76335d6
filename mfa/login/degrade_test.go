package login

import (
	"github.com/radmatch/radmatch/mfa"
	"testing"
	"testing/synctest"
	"time"
)

// patient is alice's request over a NAS that waits so long.
func (r *rig) patient(nasTimeout time.Duration) *mfa.Request {
	q := r.request("alice")
	q.GivesUp = q.Received.Add(nasTimeout)
	return q
}

// ok answers the challenge in a over a NAS that waits so long.
func (r *rig) ok(a *answer, text string, nasTimeout time.Duration) *answer {
	q := r.reply(a, text)
	q.GivesUp = q.Received.Add(nasTimeout)
	return r.send(q)
}

// pass lets time pass, and what it brings happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// TestDegrade: a request waits as long as its NAS does, and not longer.
func TestDegrade(t *testing.T) {
	// degraded opens alice's prompt and waits until the client shows a challenge.
	degraded := func(r *rig) (*shownPrompt, *answer) {
		a := r.send(r.patient(10 * time.Second))
		pass(9500 * time.Millisecond)
		a.wantWaits()
		pass(100 * time.Millisecond)
		a.want(mfa.Challenge, mfa.ReasonApproveDeny)
		return r.prompted(1), a
	}
	table(t, map[string]func(*testing.T, *rig){
		"approved before the OK": func(t *testing.T, r *rig) {
			g, a := degraded(r)
			if d := a.want(mfa.Challenge, ""); d.Message != messageApprove || d.State == "" {
				t.Errorf("challenge: %+v", d)
			}
			g.decides(nil)
			pass(20 * time.Second) // longer than an approval is kept that nobody can claim
			if d := r.ok(a, "", 10*time.Second).want(mfa.Accept, mfa.ReasonApproveDeny); len(d.Identity.Attributes) != 1 {
				t.Errorf("attributes: got %v; want 1 Attributes", d.Identity.Attributes)
			}
			if ev := r.journal.last(t); ev.Method != "push" || len(r.journal.all()) != 1 {
				t.Errorf("events: %+v", r.journal.all())
			}
		},
		"approved after the OK": func(t *testing.T, r *rig) {
			g, a := degraded(r)
			a = r.ok(a, "", 10*time.Second)
			a.wantWaits()
			g.decides(nil)
			a.want(mfa.Accept, mfa.ReasonApproveDeny)
		},
		"approved while it waits": func(t *testing.T, r *rig) {
			a := r.send(r.patient(10 * time.Second))
			pass(9 * time.Second)
			r.prompted(1).decides(nil)
			a.want(mfa.Accept, "")
			pass(10 * time.Second)
		},
		"twice and thrice": func(t *testing.T, r *rig) {
			g, a := degraded(r)
			seen := map[string]bool{a.want(mfa.Challenge, "").State: true}
			for range 3 {
				next := r.ok(a, "ok", 10*time.Second)
				next.wantWaits()
				pass(9600 * time.Millisecond)
				if d := next.want(mfa.Challenge, mfa.ReasonApproveDeny); seen[d.State] {
					t.Error("got the State of an earlier challenge; want a new one")
				} else {
					seen[d.State] = true
				}
				r.sendAnswer(a, "ok").want(mfa.Reject, mfa.ReasonStateUnknown) // used
				a = next
			}
			g.decides(nil)
			r.ok(a, "", time.Minute).want(mfa.Accept, "")
		},
		"a code": func(t *testing.T, r *rig) {
			g, a := degraded(r)
			r.ok(a, "123456", 10*time.Second).want(mfa.Accept, mfa.ReasonApproveDeny)
			if ev := r.journal.last(t); ev.Method != "totp" || !g.withdrawn() {
				t.Errorf("event: got %+v; want Method \"totp\", withdrawn true", ev)
			}
		},
		"the challenge offers a code to who has one": func(t *testing.T, r *rig) {
			r.users.set("alice", func(u *mfa.User) { u.Codes = 1 })
			_, a := degraded(r)
			if d := a.want(mfa.Challenge, ""); d.Message != messageApproveCode {
				t.Errorf("challenge: %+v", d)
			}
		},
		"a wrong code, then approved": func(t *testing.T, r *rig) {
			g, a := degraded(r)
			a = r.ok(a, "000000", 10*time.Second)
			if d := a.want(mfa.Challenge, ""); d.Message != messageApproveBad {
				t.Errorf("challenge: %+v", d)
			}
			g.decides(nil)
			r.ok(a, "", 10*time.Second).want(mfa.Accept, "")
		},
		"denied": func(t *testing.T, r *rig) {
			g, a := degraded(r)
			g.decides(mfa.ErrRejected)
			r.ok(a, "", 10*time.Second).want(mfa.Reject, mfa.ReasonStateUnknown)
			r.ok(a, "123456", 10*time.Second).want(mfa.Reject, mfa.ReasonStateUnknown)
			if r.codes.tries() != 0 || r.journal.count(mfa.ReasonPushDenied) != 1 {
				t.Errorf("events: %+v", r.journal.all())
			}
		},
		"denied after the OK": func(t *testing.T, r *rig) {
			g, a := degraded(r)
			a = r.ok(a, "", 10*time.Second)
			g.decides(errNotMe)
			a.want(mfa.Reject, mfa.ReasonNotMe)
		},
		"blocked between approval and OK": func(t *testing.T, r *rig) {
			g, a := degraded(r)
			g.decides(nil)
			r.users.set("alice", func(u *mfa.User) { u.Blocked = true })
			r.ok(a, "", 10*time.Second).want(mfa.Reject, mfa.ReasonUserBlocked)
		},
		"approved, and nobody presses OK": func(t *testing.T, r *rig) {
			g, _ := degraded(r)
			g.decides(nil)
			pass(4 * time.Minute)
			if ev := r.journal.last(t); ev.Kind != mfa.EventUnclaimed || r.Pending.Len() != 0 {
				t.Errorf("event: got %+v; want Kind mfa.EventUnclaimed, Len 0", ev)
			}
		},
		"nobody does anything": func(t *testing.T, r *rig) {
			_, a := degraded(r)
			pass(time.Minute)
			if ev := r.journal.last(t); ev.Reason != mfa.ReasonPushNoResponse || r.Pending.Len() != 0 {
				t.Errorf("event: got %+v; want Reason mfa.ReasonPushNoResponse, Len 0", ev)
			}
			r.ok(a, "", 10*time.Second).want(mfa.Reject, mfa.ReasonStateUnknown)
		},
		"another user's and another client's OK": func(t *testing.T, r *rig) {
			g, a := degraded(r)
			q := r.reply(a, "")
			q.User = mfa.NameOf("bob")
			r.send(q).want(mfa.Reject, mfa.ReasonStateUnknown)
			q = r.reply(a, "")
			q.Client = r.newClient("mail", "mail")
			r.send(q).want(mfa.Reject, mfa.ReasonStateUnknown)
			g.decides(nil)
			r.ok(a, "", 10*time.Second).want(mfa.Accept, "")
		},
		"each packet by its own NAS timeout": func(t *testing.T, r *rig) {
			first := r.send(r.patient(10 * time.Second))
			pass(5 * time.Second)
			second := r.send(r.patient(10 * time.Second))
			pass(4700 * time.Millisecond)
			first.want(mfa.Challenge, "")
			second.wantWaits()
			r.prompted(1).decides(nil)
			second.want(mfa.Accept, "")
		},
		"a packet that its NAS gave up": func(t *testing.T, r *rig) {
			a := r.send(r.patient(10 * time.Second))
			a.req.Supersede()
			pass(20 * time.Second)
			a.wantWaits()
		},
		"no NAS timeout known": func(t *testing.T, r *rig) {
			a := r.send(r.request("alice"))
			pass(54 * time.Second)
			a.wantWaits()
		},
		"a NAS timeout longer than the prompt lives": func(t *testing.T, r *rig) {
			a := r.send(r.patient(time.Minute))
			pass(55 * time.Second)
			a.want(mfa.Reject, mfa.ReasonPushNoResponse)
		},
		"a very short NAS timeout": func(t *testing.T, r *rig) {
			a := r.send(r.patient(time.Second))
			pass(740 * time.Millisecond)
			a.wantWaits()
			pass(20 * time.Millisecond)
			a.want(mfa.Challenge, "")
		},
		"a NAS timeout that is over": func(t *testing.T, r *rig) {
			q := r.patient(time.Second)
			pass(5 * time.Second)
			r.send(q).want(mfa.Challenge, "")
		},
		"a number": func(t *testing.T, r *rig) {
			g, a := r.number(t)
			shown := a.want(mfa.Challenge, "").Message
			a = r.ok(a, "", 10*time.Second)
			a.wantWaits()
			pass(9700 * time.Millisecond)
			if d := a.want(mfa.Challenge, mfa.ReasonNumberMatch); d.Message != shown {
				t.Errorf("%q, then: got %q; want %q", shown, d.Message, shown)
			}
			g.decides(nil)
			r.ok(a, "", 10*time.Second).want(mfa.Accept, "")
		},
		"more States than a login may have": func(t *testing.T, r *rig) {
			for range maxChallenges + 2 {
				r.send(r.patient(10 * time.Second))
			}
			pass(11 * time.Second)
			if n := len(r.Pending.states); n != maxChallenges {
				t.Errorf("%d States are out", n)
			}
			r.prompted(1).decides(nil)
		},
	})
}

// TestDegradeToReject: where no challenge can be shown, a rejection is better
// than silence.
func TestDegradeToReject(t *testing.T) {
	table(t, map[string]func(*testing.T, *rig){
		"the client cannot prompt": func(t *testing.T, r *rig) {
			r.client.Prompts = false
			a := r.send(r.patient(10 * time.Second))
			pass(9500 * time.Millisecond)
			a.wantWaits()
			pass(200 * time.Millisecond)
			a.want(mfa.Reject, mfa.ReasonNASTimeout)
			ev := r.journal.last(t)
			if ev.Reason != mfa.ReasonNASTimeout || ev.Method != "push" || !r.prompted(1).withdrawn() || r.Pending.Len() != 0 {
				t.Errorf("event: %+v", ev)
			}
			if _, counted := r.Limits.fatigue.m.Get(mfa.NameOf("alice").Key(), time.Now()); counted {
				t.Error("the user is taken to have ignored it")
			}
			r.send(r.patient(10*time.Second)).want(mfa.Reject, mfa.ReasonRecentlyDenied)
		},
		"by MS-CHAPv2": func(t *testing.T, r *rig) {
			q := r.mschap("alice", 1)
			q.GivesUp = q.Received.Add(10 * time.Second)
			a := r.send(q)
			pass(10 * time.Second)
			a.want(mfa.Reject, mfa.ReasonNASTimeout)
		},
		"another request waits": func(t *testing.T, r *rig) {
			r.client.Prompts = false
			first := r.send(r.patient(10 * time.Second))
			pass(5 * time.Second)
			second := r.send(r.patient(10 * time.Second))
			pass(5 * time.Second)
			first.want(mfa.Reject, mfa.ReasonNASTimeout)
			second.wantWaits()
			r.prompted(1).decides(nil)
			second.want(mfa.Accept, mfa.ReasonApproveDeny)
			if n := len(r.journal.all()); n != 1 {
				t.Errorf("got %d events; want 1", n)
			}
		},
		"all requests give up": func(t *testing.T, r *rig) {
			r.client.Prompts = false
			r.send(r.patient(10 * time.Second))
			pass(5 * time.Second)
			second := r.send(r.patient(10 * time.Second))
			pass(10 * time.Second)
			second.want(mfa.Reject, mfa.ReasonNASTimeout)
			if n := len(r.journal.all()); n != 1 || r.Pending.Len() != 0 {
				t.Errorf("got %d events; want 1, Len 0", n)
			}
		},
		"the other was given up": func(t *testing.T, r *rig) {
			r.client.Prompts = false
			old := r.send(r.patient(10 * time.Second))
			old.req.Supersede()
			pass(time.Second)
			a := r.send(r.patient(10 * time.Second))
			pass(10 * time.Second)
			a.want(mfa.Reject, mfa.ReasonNASTimeout)
			if r.Pending.Len() != 0 {
				t.Error("got a login that still waits; want it ended")
			}
		},
		"a State is out": func(t *testing.T, r *rig) {
			a := r.send(r.patient(5 * time.Second))
			q := r.mschap("alice", 1)
			q.GivesUp = q.Received.Add(10 * time.Second)
			other := r.send(q)
			pass(11 * time.Second)
			a.want(mfa.Challenge, "")
			other.want(mfa.Reject, mfa.ReasonNASTimeout)
			r.prompted(1).decides(nil)
			r.ok(a, "", 10*time.Second).want(mfa.Accept, "")
		},
		"the store fails": func(t *testing.T, r *rig) {
			r.client.Prompts = false
			a := r.send(r.patient(10 * time.Second))
			r.users.setFail(func() error { return errFire })
			r.journal.setFail(func(mfa.Event) error { return errFire })
			pass(10 * time.Second)
			a.want(mfa.Reject, mfa.ReasonNASTimeout)
		},
	})
}

// A device approves in the moment in which a packet would be degraded, while a
// code is examined: the approval answers the packet.
func TestDegradeBehindApproval(t *testing.T) {
	for _, protocol := range []string{"PAP", "MS-CHAPv2"} {
		t.Run(protocol, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				shown := r.send(r.patient(10 * time.Second))
				pass(5 * time.Second)
				q := r.patient(10 * time.Second)
				if protocol != "PAP" {
					q.Cred = mfa.MSCHAPv2{}
				}
				waiters := r.send(q)
				pass(9 * time.Second)
				r.codes.slow = make(chan struct{})
				wrong := r.ok(shown, "000000", time.Minute) // its examination holds the turn
				pass(time.Second)                           // the waiting one waits for the turn to degrade
				r.prompted(1).decides(nil)                  // and behind it the approval
				close(r.codes.slow)
				synctest.Wait()
				wrong.want(mfa.Challenge, "")
				waiters.want(mfa.Accept, mfa.ReasonApproveDeny)
			})
		})
	}
}

// The moment of degrading and the approval: one of them is first, and either way
// the user gets in once.
func TestDegradeAndApproval(t *testing.T) {
	for range 50 {
		bubble(t, func(t *testing.T, r *rig) {
			a := r.send(r.patient(10 * time.Second))
			time.Sleep(9600 * time.Millisecond)
			r.prompted(1).decide <- nil
			synctest.Wait()
			if d, _ := a.decision(); d.Outcome == mfa.Challenge {
				a = r.ok(a, "", 10*time.Second)
			}
			a.want(mfa.Accept, "")
		})
	}
}

// A passcode that is examined for longer than the NAS waits is no push that
// degrades.
func TestSameAnswerTwiceInTime(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a := r.send(r.request("bob"))
		r.codes.slow = make(chan struct{})
		first, again := r.ok(a, "123456", 2*time.Second), r.ok(a, "123456", 2*time.Second)
		pass(5 * time.Second)
		first.wantWaits()
		again.wantWaits()
		close(r.codes.slow)
		synctest.Wait()
		first.want(mfa.Accept, "")
		again.want(mfa.Accept, "")
		if r.panics != 0 {
			t.Errorf("got %d panics; want 0", r.panics)
		}
	})
}
