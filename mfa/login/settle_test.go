package login

import (
	"github.com/radmatch/radmatch/mfa"
	"testing"
)

// The zero verdict denies and ends, and so does an Accept that brings no event.
func TestZeroVerdictDenies(t *testing.T) {
	for name, v := range map[string]verdict{
		"zero":                    {},
		"an Accept without event": {Decision: mfa.Decision{Outcome: mfa.Accept}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				a := r.send(r.request("alice"))
				r.prompted(1)
				for _, w := range r.Pending.all() {
					r.Pending.settle(t.Context(), w, func(view) verdict { return v })
				}
				a.want(mfa.Reject, mfa.ReasonInternalError)
				if ev := r.journal.last(t); ev.Outcome != mfa.Reject || ev.Reason != mfa.ReasonInternalError || r.Pending.Len() != 0 {
					t.Errorf("event %v %v, %d wait; want reject internal_error, 0", ev.Outcome, ev.Reason, r.Pending.Len())
				}
			})
		})
	}
}
