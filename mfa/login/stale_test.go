package login

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// Where others came first a decision is made again, on what the user is by then.
func TestDecidedAgain(t *testing.T) {
	block := func(u *mfa.User) { u.Blocked = true }
	tests := map[string]struct {
		login  func(r *rig) *answer // up to where its entry comes too late
		change func(u *mfa.User)    // by others
		want   string
	}{
		"a code, and nothing that matters":      {byCode, func(*mfa.User) {}, "accept default_otp"},
		"a code, and a block":                   {byCode, block, "reject user_blocked"},
		"no second factor, and a block":         {exempt, block, "reject user_blocked"},
		"no second factor, and a device":        {exempt, func(u *mfa.User) { u.Devices++ }, "accept exempt_client"},
		"a prompt, and a block":                 {byPush, block, "reject user_blocked"},
		"a prompt, and no push at the group":    {byPush, func(u *mfa.User) { u.PushBlocked = []string{"edge"} }, "reject push_blocked"},
		"an approval, and a block":              {byApproval, block, "reject user_blocked"},
		"an approval, and nothing that matters": {byApproval, func(*mfa.User) {}, "accept approve_deny"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.journal.before = func() {
					r.journal.before = nil
					for _, user := range []string{"alice", "bob"} {
						r.users.set(user, tt.change)
					}
				}
				a := tt.login(r)
				if _, got := a.decision(); got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			})
		})
	}
}

func byCode(r *rig) *answer {
	before := r.journal.before
	r.journal.before = nil
	a := r.send(r.request("bob"))
	r.journal.before = before
	return r.sendAnswer(a, "123456")
}

func exempt(r *rig) *answer {
	r.client.ExemptClient = true
	return r.send(r.request("bob"))
}

func byPush(r *rig) *answer { return r.send(r.request("alice")) }

func byApproval(r *rig) *answer {
	before := r.journal.before
	r.journal.before = nil
	a := r.send(r.request("alice"))
	g := r.prompted(1)
	r.journal.before = before
	g.decides(nil)
	return a
}

// Who is always behind is let in by no decision, and the trail says so.
func TestAlwaysStale(t *testing.T) {
	for name, login := range map[string]func(r *rig) *answer{"a code": byCode, "no second factor": exempt, "a prompt": byPush, "an approval": byApproval} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.journal.before = func() { r.users.set("alice", func(*mfa.User) {}); r.users.set("bob", func(*mfa.User) {}) }
				a := login(r)
				if _, got := a.decision(); got != "discard mfa_error" {
					t.Errorf("got %s, want discard mfa_error", got)
				}
				if ev := r.journal.last(t); ev.Reason != mfa.ReasonMFAError || ev.Outcome == mfa.Accept {
					t.Errorf("event %s %s, want mfa_error and no accept", ev.Outcome, ev.Reason)
				}
				r.journal.before = nil
			})
		})
	}
}

// A wrong code is in the log before its user is asked again.
func TestTryIsAnEntry(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a := r.send(r.request("bob"))
		r.sendAnswer(a, "000000").want(mfa.Challenge, "")
		i := slices.IndexFunc(r.journal.entries(), func(ev mfa.Event) bool { return ev.Kind == mfa.EventTry })
		if i < 0 {
			t.Fatal("got no entry of the wrong code; want one")
		}
		if ev := r.journal.entries()[i]; ev.Tries != 1 || ev.WrongCodes == nil || ev.WrongCodes.Row != 1 || ev.Outcome != mfa.Reject {
			t.Errorf("entry %+v; want Tries 1, Row 1, reject", ev)
		}
		if n := r.Limits.codes.counted(mfa.NameOf("bob").Key()); n != 1 {
			t.Errorf("%d wrong codes count, want 1", n)
		}
	})
}

// A wrong code that cannot be written down ends its login: otherwise it would be a free guess.
func TestTryOnABrokenDisk(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a := r.send(r.request("bob"))
		r.journal.setFail(func(ev mfa.Event) error {
			if ev.Kind == mfa.EventTry {
				return errFire
			}
			return nil
		})
		r.sendAnswer(a, "000000").want(mfa.Discard, mfa.ReasonMFAError)
		synctest.Wait()
		if r.Pending.Len() != 0 {
			t.Errorf("%d logins wait, want none", r.Pending.Len())
		}
	})
}

// What an unblocking has forgiven is forgiven at a node that made no plan since.
func TestChangeForgives(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		denied := mfa.Event{Kind: mfa.EventLogin, ID: "l", Origin: mfa.Origin{User: mfa.NameOf("alice")}, Plan: mfa.PlanPush, Reason: mfa.ReasonPushDenied}
		deny := func(n int) {
			for range n {
				denied.Time = time.Now()
				r.Apply(denied)
			}
		}
		alice := mfa.User{Name: mfa.NameOf("alice")}
		deny(r.Fatigue.Max)
		if !r.Limits.PushLimited(alice, time.Now()) {
			t.Fatal("got no limit; want one after so many denials")
		}
		time.Sleep(time.Second)
		r.users.set("alice", func(u *mfa.User) { u.Unblocked = time.Now() })
		r.Apply(mfa.Event{Kind: mfa.EventChange, Time: time.Now(), Origin: denied.Origin})
		time.Sleep(time.Second)
		deny(r.Fatigue.Max)
		if !r.Limits.PushLimited(alice, time.Now()) {
			t.Error("got no limit; want one: the denials after the unblocking count")
		}
	})
}
