package main

import (
	"context"
	"fmt"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store"
)

// checkTrail reads the whole audit trail: every login that was accepted has its
// one event, and no step of a token was accepted twice. It says why others were
// refused: one honest login in a million is code_used, because the user's code
// of the step before happened to be the same digits.
func (b *bench) checkTrail(ctx context.Context) error {
	st, err := store.Open(ctx, store.Options{Dir: b.path("radmatch", "data")})
	if err != nil {
		return err
	}
	defer st.Close()
	type use struct {
		token string
		step  int64
	}
	used, refused := map[use]bool{}, map[mfa.Reason]int{}
	accepted, twice := 0, 0
	for q := (store.Query{After: 1, Limit: store.MaxLimit}); ; {
		entries, err := st.Events(ctx, q)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			if e.Event.Kind != mfa.EventLogin {
				continue
			}
			if e.Event.Outcome != mfa.Accept {
				refused[e.Event.Reason]++
				continue
			}
			accepted++
			u := use{e.Event.Token, e.Event.Step}
			if used[u] {
				twice++
			}
			used[u] = true
		}
		q.After = entries[len(entries)-1].Seq
	}
	b.note("audit trail: %d events of accepted logins for %d Access-Accepts; %d codes accepted twice", accepted, b.accepted, twice)
	for reason, n := range refused {
		b.note("audit trail: %d logins ended with %s", n, reason)
	}
	if twice > 0 || accepted < b.accepted {
		b.failures = append(b.failures, fmt.Sprintf("%d events for %d accepted logins, %d codes twice", accepted, b.accepted, twice))
	}
	return nil
}
