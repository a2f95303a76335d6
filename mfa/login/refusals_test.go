package login

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// TestDatabaseHangs: a wrong password is rejected while no commit returns, and its event
// is written when one does. A right one with a right code waits for its entry.
func TestDatabaseHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		asked := r.send(r.request("bob"))
		r.journal.slow = make(chan struct{})
		wrong := r.request("alice")
		wrong.Cred = mfa.Password("wrong")
		begun := time.Now()
		rejected := r.send(wrong)
		rejected.wantWaits()
		right := r.sendAnswer(asked, "123456")
		time.Sleep(refusalWait)
		synctest.Wait()
		d := rejected.want(mfa.Reject, mfa.ReasonWrongPassword)
		if took := time.Since(begun); took != refusalWait || !errors.Is(d.Err, errLate) {
			t.Errorf("rejected after %s, error %v; want %s, %v", took, d.Err, refusalWait, errLate)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		right.wantWaits()
		close(r.journal.slow)
		synctest.Wait()
		right.want(mfa.Accept, "")
		if n := r.journal.count(mfa.ReasonWrongPassword); n != 1 {
			t.Errorf("got %d events of the wrong password; want 1", n)
		}
	})
}

// TestRefusalsMissed: what cannot be written is counted until it can be.
func TestRefusalsMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("the disk is full")
		j := &journal{fail: func(mfa.Event) error { return broken }}
		r := &Refusals{Journal: j}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go r.Run(ctx)
		const all = refusalsKept + 20
		for i := range all {
			err := r.Record(ctx, mfa.Event{ID: fmt.Sprint(i), Time: time.Now(), Origin: mfa.Origin{Client: "vpn"}, Reason: mfa.ReasonWrongPassword})
			if want := i < refusalsKept; errors.Is(err, broken) != want {
				t.Fatalf("refusal %d: got %v; want an error: %t", i, err, want)
			}
		}
		time.Sleep(3 * refusalWindow)
		synctest.Wait()
		if n := len(j.all()); n != 0 {
			t.Fatalf("got %d events on a full disk; want none", n)
		}
		j.setFail(nil)
		time.Sleep(refusalWindow)
		synctest.Wait()
		if ev := j.last(t); len(j.all()) != 1 || ev.Count != all {
			t.Errorf("got %d events, the last %+v; want one with Count %d", len(j.all()), ev, all)
		}
	})
}
