package login

import (
	"errors"
	"fmt"
	"github.com/radmatch/radmatch/mfa"
	"testing"
)

// TestRefusedAccount: a directory's reason is in the event; the user is told it
// only after a right password.
func TestRefusedAccount(t *testing.T) {
	for reason, text := range accountMessages {
		for _, proven := range []bool{false, true} {
			bubble(t, func(t *testing.T, r *rig) {
				refusal := &mfa.AccountError{Reason: reason, Proven: proven, Err: errors.New("data 533")}
				r.primary.fail = func() error { return fmt.Errorf("ldap: %w", refusal) }
				a := r.send(r.request("alice"))
				d, got := a.decision()
				if got != "reject "+string(reason) {
					t.Fatalf("%s: got %q", reason, got)
				}
				want := messageRejected
				if proven {
					want = text
				}
				if d.Message != want {
					t.Errorf("%s, proven %t: the user is told %q, want %q", reason, proven, d.Message, want)
				}
				if d.Delay < r.client.RejectDelay {
					t.Errorf("%s: rejected after %v, a wrong password after %v", reason, d.Delay, r.client.RejectDelay)
				}
			})
		}
	}
}
