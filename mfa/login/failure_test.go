package login

import (
	"context"
	"errors"
	"github.com/radmatch/radmatch/mfa"
	"sync/atomic"
	"testing"
	"time"
)

// TestFailures breaks each seam at each of its calls, by an error and by a
// panic, in each way to sign in: no login is accepted without all of them, and the
// login ends.
func TestFailures(t *testing.T) {
	ways := map[string]func(r *rig){
		"passcode": func(r *rig) {
			a := r.send(r.request("bob"))
			if d, _ := a.decision(); d.Outcome == mfa.Challenge {
				r.sendAnswer(a, "123456")
			}
		},
		"push": func(r *rig) {
			r.send(r.request("alice"))
			for _, g := range r.phone.all() {
				g.decides(nil)
			}
		},
		"number": func(r *rig) {
			r.client.NumberInPrompt = true
			a := r.send(r.request("alice"))
			if d, _ := a.decision(); d.Outcome == mfa.Challenge {
				r.sendAnswer(a, "")
			}
			for _, g := range r.phone.all() {
				g.decides(nil)
			}
		},
		"number, by a code": func(r *rig) {
			r.client.NumberInPrompt = true
			a := r.send(r.request("alice"))
			if d, _ := a.decision(); d.Outcome == mfa.Challenge {
				r.sendAnswer(a, "123456")
			}
		},
		"passcode with the password": func(r *rig) {
			r.client.Append, r.client.Prompts = mfa.AppendSuffix, false
			q := r.request("bob")
			q.Cred = mfa.Password("right123456")
			r.send(q)
		},
		"a push that degrades": func(r *rig) {
			a := r.send(r.patient(10 * time.Second))
			pass(10 * time.Second)
			for _, g := range r.phone.all() {
				g.decides(nil)
			}
			if d, _ := a.decision(); d.Outcome == mfa.Challenge {
				r.sendAnswer(a, "")
			}
		},
		"a primary that asks": func(r *rig) {
			up := r.asks()
			up.fail = r.primary.fail
			r.client.ExemptClient = true
			a := r.send(r.request("alice"))
			for _, answer := range []string{"1234", "token"} {
				if d, _ := a.decision(); d.Outcome == mfa.Challenge {
					a = r.sendAnswer(a, answer)
				}
			}
		},
		"none": func(r *rig) {
			r.client.ExemptClient = true
			r.send(r.request("alice"))
		},
	}
	seams := map[string]func(r *rig, fail func() error){
		"primary":   func(r *rig, fail func() error) { r.primary.fail = fail },
		"directory": func(r *rig, fail func() error) { r.users.fail = fail },
		"codes":     func(r *rig, fail func() error) { r.codes.fail = fail },
		"journal":   func(r *rig, fail func() error) { r.journal.fail = func(mfa.Event) error { return fail() } },
		"push":      func(r *rig, fail func() error) { r.phone.fail = fail },
	}
	kinds := map[string]func() error{
		"error": func() error { return errFire },
		"panic": func() error { panic("disk on fire") },
	}
	for way, login := range ways {
		t.Run(way, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) { // that it works when nothing fails
				login(r)
				if !accepts(r) {
					t.Fatal("got no login accepted; want one where nothing fails")
				}
			})
			for seam, inject := range seams {
				for kind, failure := range kinds {
					for call := int32(1); ; call++ {
						reached := false
						bubble(t, func(t *testing.T, r *rig) {
							var n atomic.Int32
							inject(r, func() error {
								if n.Add(1) == call {
									reached = true
									return failure()
								}
								return nil
							})
							login(r)
							if reached && accepts(r) {
								t.Errorf("%s: call %d of %s: %s, and someone got in", way, call, seam, kind)
							}
							time.Sleep(5 * time.Minute)
							if n := r.Pending.Len(); n != 0 {
								t.Errorf("%s: call %d of %s: %s, and %d logins wait without end; want all ended", way, call, seam, kind, n)
							}
						})
						if !reached {
							break
						}
					}
				}
			}
		})
	}
}

func accepts(r *rig) bool {
	for _, a := range r.answers {
		if d, _ := a.decision(); d.Outcome == mfa.Accept {
			return true
		}
	}
	return false
}

func TestOnMFAError(t *testing.T) {
	tests := []struct{ set, want mfa.Outcome }{{mfa.Discard, mfa.Discard}, {mfa.Reject, mfa.Reject}, {mfa.Accept, mfa.Reject}, {mfa.Challenge, mfa.Reject}}
	for _, tt := range tests {
		t.Run(tt.set.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.client.OnMFAError = tt.set
				a := r.send(r.request("bob"))
				r.codes.fail = func() error { return errFire }
				r.sendAnswer(a, "123456").want(tt.want, mfa.ReasonMFAError)
				if ev := r.journal.last(t); ev.Outcome != tt.want || ev.Reason != mfa.ReasonMFAError {
					t.Errorf("event: %+v", ev)
				}
				r.phone.fail = func() error { return errors.New("no route to host") }
				r.send(r.request("alice")).want(tt.want, mfa.ReasonMFAError)
				r.users.fail = func() error { return errFire }
				r.send(r.request("alice")).want(tt.want, mfa.ReasonMFAError)
			})
		})
	}
}

// A code that could not be examined is not a wrong one.
func TestVerifierErrorDoesNotCount(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for range 20 {
			r.codes.fail = func() error { return errFire }
			r.sendAnswer(r.send(r.request("bob")), "123456").want(mfa.Discard, mfa.ReasonMFAError)
		}
		r.codes.fail = nil
		r.sendAnswer(r.send(r.request("bob")), "123456").want(mfa.Accept, "")
	})
}

var errFire = errors.New("disk on fire")

// hung is a primary that never answers, but gives up with its context.
type hung struct{ *asker }

func (h hung) Abilities() mfa.Abilities { return mfa.Abilities{Finder: h, Continuer: h} }

func (hung) Check(ctx context.Context, _ mfa.Name, _ mfa.Credential) (mfa.Identity, error) {
	<-ctx.Done()
	return mfa.Identity{}, ctx.Err()
}

func (hung) Find(ctx context.Context, _ mfa.Name) (mfa.Identity, error) {
	<-ctx.Done()
	return mfa.Identity{}, ctx.Err()
}

func (hung) Continue(ctx context.Context, _ mfa.Name, _ *mfa.PrimaryChallenge, _ mfa.Password, _ any) (mfa.Identity, error) {
	<-ctx.Done()
	return mfa.Identity{}, ctx.Err()
}

// TestHung: who gives no answer ends the login in time, in the way that the
// operator chose.
func TestHung(t *testing.T) {
	for _, outcome := range []mfa.Outcome{mfa.Discard, mfa.Reject} {
		t.Run(outcome.String(), func(t *testing.T) {
			table(t, map[string]func(*testing.T, *rig){
				"primary": func(t *testing.T, r *rig) {
					r.use(hung{})
					r.client.OnPrimaryError = outcome
					a := r.send(r.patient(5 * time.Second))
					pass(4500 * time.Millisecond)
					a.wantWaits()
					pass(200 * time.Millisecond)
					a.want(outcome, mfa.ReasonPrimaryError)
					if ev := r.journal.last(t); ev.Reason != mfa.ReasonPrimaryError || ev.Outcome != outcome {
						t.Errorf("event: %+v", ev)
					}
				},
				"primary, asked for the name": func(t *testing.T, r *rig) {
					r.appends(mfa.AppendSuffix)
					r.use(hung{})
					r.client.OnPrimaryError = outcome
					q := r.request("bob")
					q.Cred, q.GivesUp = mfa.Password("right123456"), q.Received.Add(5*time.Second)
					a := r.send(q)
					pass(5100 * time.Millisecond)
					a.want(outcome, mfa.ReasonPrimaryError)
				},
				"primary, in its own dialog": func(t *testing.T, r *rig) {
					up := r.asks()
					r.client.FromMemory, r.client.OnPrimaryError = false, outcome
					a := r.send(r.request("bob"))
					r.use(hung{up})
					a = r.ok(a, "1234", 5*time.Second)
					pass(5100 * time.Millisecond)
					a.want(outcome, mfa.ReasonPrimaryError)
				},
				"push provider": func(t *testing.T, r *rig) {
					stuck := make(chan struct{})
					r.phone.fail = func() error { <-stuck; return nil }
					r.client.OnMFAError = outcome
					a := r.send(r.request("alice"))
					pass(56 * time.Second)
					a.wantWaits()
					pass(3 * time.Second)
					a.want(outcome, mfa.ReasonMFAError)
					if r.Pending.Len() != 0 {
						t.Error("got a login that still waits; want it ended")
					}
					close(stuck)
				},
			})
		})
	}
}
