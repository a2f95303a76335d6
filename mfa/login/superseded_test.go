package login

import (
	"github.com/radmatch/radmatch/mfa"
	"testing"
	"time"
)

// The NAS gives a packet up by using its identifier again.
func TestSuperseded(t *testing.T) {
	// giveUp opens alice's prompt and lets the NAS give up on its packet.
	giveUp := func(r *rig) *answer {
		a := r.send(r.request("alice"))
		a.req.Supersede()
		return a
	}
	unclaimed := func(t *testing.T, r *rig) {
		t.Helper()
		ev := r.journal.last(t)
		if ev.Kind != mfa.EventUnclaimed || ev.Outcome == mfa.Accept || ev.Device != "pixel" {
			t.Errorf("event: %+v", ev)
		}
	}
	table(t, map[string]func(*testing.T, *rig){
		"the new packet joins": func(t *testing.T, r *rig) {
			giveUp(r)
			a := r.send(r.request("alice"))
			r.prompted(1).decides(nil)
			a.want(mfa.Accept, "")
		},
		"the new packet comes after the approval": func(t *testing.T, r *rig) {
			giveUp(r)
			r.prompted(1).decides(nil)
			time.Sleep(9 * time.Second)
			r.send(r.request("alice")).want(mfa.Accept, mfa.ReasonApproveDeny)
			r.prompted(1)
			a := r.send(r.request("alice")) // and only once
			a.wantWaits()
			r.prompted(2)
		},
		"nobody comes": func(t *testing.T, r *rig) {
			a := giveUp(r)
			r.prompted(1).decides(nil)
			a.wantWaits()
			time.Sleep(12 * time.Second)
			unclaimed(t, r)
			r.send(r.request("alice")).wantWaits()
			r.prompted(2)
		},
		"another origin comes": func(t *testing.T, r *rig) {
			giveUp(r)
			r.prompted(1).decides(nil)
			for _, change := range []func(*mfa.Request){
				func(q *mfa.Request) { q.EndUser = "203.0.113.66" },
				func(q *mfa.Request) { q.EndUser = "" },
				func(q *mfa.Request) { q.Signed = false },
				func(q *mfa.Request) { q.Client = r.newClient("mail", "mail") },
			} {
				q := r.request("alice")
				change(q)
				if d, _ := r.send(q).decision(); d.Reason != mfa.ReasonPromptPending || d.Outcome == mfa.Accept || q.Signed && d.Outcome != mfa.Discard {
					t.Errorf("got %s %s", d.Outcome, d.Reason)
				}
			}
			time.Sleep(12 * time.Second)
			unclaimed(t, r)
		},
		"attempts to claim do not prolong it": func(t *testing.T, r *rig) {
			giveUp(r)
			r.prompted(1).decides(nil)
			for range 4 {
				time.Sleep(3 * time.Second)
				q := r.request("alice")
				q.Supersede()
				r.send(q)
			}
			time.Sleep(2 * time.Second)
			unclaimed(t, r)
		},
		"blocked after the approval": func(t *testing.T, r *rig) {
			giveUp(r)
			r.prompted(1).decides(nil)
			r.users.set("alice", func(u *mfa.User) { u.PushBlocked = []string{"edge"} })
			time.Sleep(time.Second)
			q := r.request("alice")
			r.send(q).want(mfa.Reject, "")
			if r.journal.accepted(r.prompted(1).ID) {
				t.Error("got the login accepted; want none accepted")
			}
		},
		"a number, approved before OK": func(t *testing.T, r *rig) {
			r.client.NumberInPrompt = true
			a := r.send(r.request("alice"))
			time.Sleep(20 * time.Second)
			r.prompted(1).decides(nil)
			time.Sleep(100 * time.Second) // reads it, fetches a coffee, presses OK
			r.sendAnswer(a, "").want(mfa.Accept, mfa.ReasonNumberMatch)
			if ev := r.journal.last(t); ev.Method != "number" || ev.Device != "pixel" || !ev.NumberSet {
				t.Errorf("event: got %+v; want Method \"number\", Device \"pixel\", NumberSet true", ev)
			}
		},
		"a number, approved, and nobody presses OK": func(t *testing.T, r *rig) {
			r.client.NumberInPrompt = true
			a := r.send(r.request("alice"))
			r.prompted(1).decides(nil)
			time.Sleep(3*time.Minute + 2*time.Second)
			unclaimed(t, r)
			r.sendAnswer(a, "").want(mfa.Reject, mfa.ReasonStateUnknown)
		},
		"OK is given up, and comes again": func(t *testing.T, r *rig) {
			r.client.NumberInPrompt = true
			a := r.send(r.request("alice"))
			ok := r.sendAnswer(a, "")
			ok.wantWaits()
			ok.req.Supersede()
			r.prompted(1).decides(nil)
			ok.wantWaits()
			time.Sleep(time.Second)
			r.sendAnswer(a, "").want(mfa.Accept, "")
		},
		"OK is given up, and nobody comes": func(t *testing.T, r *rig) {
			r.client.NumberInPrompt = true
			r.sendAnswer(r.send(r.request("alice")), "").req.Supersede()
			r.prompted(1).decides(nil)
			time.Sleep(12 * time.Second) // not as long as a challenge that is out
			unclaimed(t, r)
		},
		"OK comes again under many identifiers": func(t *testing.T, r *rig) {
			r.client.NumberInPrompt = true
			a := r.send(r.request("alice"))
			for i := range 3 * maxWaiters {
				ok := r.sendAnswer(a, "")
				ok.wantWaits()
				if i%2 == 0 || i > maxWaiters {
					ok.req.Supersede()
				}
			}
			last := r.sendAnswer(a, "")
			r.prompted(1).decides(nil)
			last.want(mfa.Accept, "")
		},
	})
}

// A packet that joins in the moment of the approval is not forgotten: anyone who
// comes second sees the other.
func TestJoinRacesApproval(t *testing.T) {
	for range 300 {
		bubble(t, func(t *testing.T, r *rig) {
			first := r.send(r.request("alice"))
			first.req.Supersede()
			g := r.prompted(1)
			a := r.start(r.request("alice"))
			g.decides(nil)
			if d, _ := a.decision(); d.Reason == mfa.ReasonPromptPending {
				a = r.send(r.request("alice")) // it came while the approval was looked at
			}
			a.want(mfa.Accept, "")
		})
	}
}

// The same moment, for a packet that has joined and does not wait yet: one that
// nobody else waits for gets the approval, and none hears of another decision.
func TestDecisionBetweenJoinAndHold(t *testing.T) {
	tests := []struct {
		name   string
		number bool
		decide error
		want   mfa.Outcome
	}{
		{"approved", false, nil, mfa.Accept},
		{"approved, with a number", true, nil, mfa.Accept},
		{"denied", false, mfa.ErrRejected, mfa.Discard},
		{"denied, with a number", true, mfa.ErrRejected, mfa.Discard},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.client.NumberInPrompt = tt.number
				first := r.send(r.request("alice"))
				first.req.Supersede()
				g := r.prompted(1)
				r.client.Amender = amender(func() { g.decide <- tt.decide }) // called in between
				a := r.start(r.request("alice"))
				time.Sleep(2 * time.Second)
				a.want(tt.want, "")
			})
		})
	}
}

// amender lets something happen while a packet joins.
type amender func()

func (f amender) Amend(string, []mfa.PromptRequest) {
	f()
	time.Sleep(time.Second)
}
