package login

import (
	"github.com/radmatch/radmatch/mfa"
	"testing"
	"testing/synctest"
	"time"
)

// TestSpellingsAreOneUser: however a name is spelled, wrong passwords count for the
// account, stand in its trail, and end an approval that is remembered.
func TestSpellingsAreOneUser(t *testing.T) {
	spellings := []string{"alice", "alice ", "\u00a0Alice", `CORP\alice`, "\uff21lice", "ali\u00adce", "asmith"}
	names := map[string]string{"alice ": "alice", "\u00a0Alice": "alice", "\uff21lice": "alice", "ali\u00adce": "alice", "asmith": "alice"}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.primary.names = names
		delay := time.Duration(0)
		for i, name := range spellings {
			q := r.request(name)
			q.Cred = mfa.Password("wrong")
			got := r.send(q).want(mfa.Reject, mfa.ReasonWrongPassword)
			if want := slowed(time.Second, i+1); got.Delay != want {
				t.Errorf("%q: the rejection waits %s; want %s", name, got.Delay, want)
			}
			if ev := r.journal.last(t); ev.User.String() != "alice" {
				t.Errorf("%q: the event is of %q; want User \"alice\"", name, ev.User)
			}
			delay = max(delay, got.Delay)
			time.Sleep(maxRejectDelay)
		}
		if delay != maxRejectDelay {
			t.Errorf("the longest delay is: got %s; want %s", delay, maxRejectDelay)
		}
	})
	for _, name := range spellings {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.primary.names = names
			c := r.approved()
			q := r.request(name)
			q.Cred = mfa.Password("wrong")
			r.send(q).want(mfa.Reject, mfa.ReasonWrongPassword)
			r.send(r.desktop(c, "alice")).wantWaits() // its device is asked again
			r.prompted(2).decides(nil)
		})
	}
}

// TestAccentsCountAlike: where the primary does not say whom it has refused, the
// spellings that Windows takes for one name are no way to more guesses.
func TestAccentsCountAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for i, name := range []string{"alice", "\u00e1lice", "ALIC\u00c9", "al\u1ec9ce", "a\u0300\u0301lice", "\uff21l\u00efce"} {
			q := r.request(name)
			q.Cred = mfa.Password("wrong")
			got := r.send(q).want(mfa.Reject, mfa.ReasonWrongPassword)
			if want := slowed(time.Second, i+1); got.Delay != want {
				t.Errorf("%q: the rejection waits %s; want %s", name, got.Delay, want)
			}
			time.Sleep(maxRejectDelay)
		}
		q := r.request("anna")
		q.Cred = mfa.Password("wrong")
		if got := r.send(q).want(mfa.Reject, mfa.ReasonWrongPassword); got.Delay != time.Second {
			t.Errorf("another user waits: got %s; want %s", got.Delay, time.Second)
		}
	})
}
