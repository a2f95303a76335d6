package login

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// guess sends q as someone who waits for each answer, and returns after how long
// it was rejected.
func (r *rig) guess(q *mfa.Request) time.Duration {
	r.t.Helper()
	d := r.send(q).want(mfa.Reject, "")
	delay := max(d.Delay, r.client.RejectDelay)
	time.Sleep(delay)
	return delay / time.Second
}

func (r *rig) wrong(user string) *mfa.Request {
	q := r.request(user)
	q.Cred = mfa.Password("wrong")
	return q
}

// slower is how eight wrong passwords in a row are answered, in seconds.
var slower = []time.Duration{1, 1, 2, 4, 8, 10, 10, 10}

// A rejection after the right password is as slow as one after a wrong one, each
// time and whatever the reason: otherwise guessing would find the password of who
// may not sign in, by the delay or by the one after it.
func TestRightPasswordIsAsSlowAsWrong(t *testing.T) {
	wrongMSCHAP := func(r *rig) *mfa.Request {
		q := r.mschap("bob", 1)
		q.Cred = mfa.MSCHAPv2{NTResponse: [24]byte{1}}
		return q
	}
	for name, refused := range map[string]func(r *rig) *mfa.Request{
		"wrong":           func(r *rig) *mfa.Request { return r.wrong("bob") },
		"wrong MS-CHAPv2": wrongMSCHAP,
		"unknown user":    func(r *rig) *mfa.Request { return r.wrong("nobody") },
		"cannot be checked": func(r *rig) *mfa.Request {
			r.primary.fail = func() error { return fmt.Errorf("no hash: %w", mfa.ErrUnsupported) }
			return r.mschap("bob", 1)
		},
		"blocked": func(r *rig) *mfa.Request {
			r.users.set("bob", func(u *mfa.User) { u.Blocked = true })
			return r.request("bob")
		},
		"not allowed": func(r *rig) *mfa.Request {
			r.client.AllowGroups = mfa.GroupsOf([]string{"nobody"}...)
			return r.request("bob")
		},
		"not registered":      func(r *rig) *mfa.Request { return r.request("carol") },
		"cannot carry a code": func(r *rig) *mfa.Request { return r.mschap("bob", 1) },
		"push blocked": func(r *rig) *mfa.Request {
			r.users.set("bob", func(u *mfa.User) { u.Codes, u.Devices, u.PushBlocked = 0, 1, []string{"edge"} })
			return r.request("bob")
		},
		"codes are locked": func(r *rig) *mfa.Request {
			r.Lockout.For = 24 * time.Hour
			r.lockCodes("bob")
			return r.request("bob")
		},
		"a wrong appended code": func(r *rig) *mfa.Request {
			r.appends(mfa.AppendDelimiter)
			q := r.request("bob")
			q.Cred = mfa.Password("right,000000")
			return q
		},
		"the store fails": func(r *rig) *mfa.Request {
			r.client.OnMFAError = mfa.Reject
			r.users.setFail(func() error { return errors.New("down") })
			return r.request("bob")
		},
		"the primary asks what cannot be shown": func(r *rig) *mfa.Request {
			r.asks()
			r.client.Prompts = false
			return r.request("bob")
		},
		"an account that the directory refuses": func(r *rig) *mfa.Request {
			r.primary.fail = func() error { return &mfa.AccountError{Reason: mfa.ReasonAccountDisabled, Err: errors.New("533")} }
			return r.request("bob")
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				var got []time.Duration
				for range slower {
					got = append(got, r.guess(refused(r)))
				}
				if !slices.Equal(got, slower) {
					t.Errorf("rejected after %d, want %d", got, slower)
				}
			})
		})
		t.Run(name+", then wrong ones", func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				first := refused(r)
				got := []time.Duration{r.guess(first), r.guess(refused(r))}
				r.primary.fail = nil
				for range slower[2:] {
					got = append(got, r.guess(r.wrong(first.User.String())))
				}
				if !slices.Equal(got, slower) {
					t.Errorf("rejected after %d, want %d", got, slower)
				}
			})
		})
	}
}

// Many at once tell no more than one after the other: the same number is looked
// at, and all are rejected after the same time.
func TestGuessesAtOnce(t *testing.T) {
	burst := func(t *testing.T, r *rig, q func(i int) *mfa.Request) (answers []string) {
		t.Helper()
		var all []*answer
		for i := range 2000 {
			all = append(all, r.start(q(i)))
		}
		synctest.Wait()
		for _, a := range all {
			d, _ := a.decision()
			answers = append(answers, fmt.Sprint(d.Outcome, d.Message, d.Delay))
		}
		slices.Sort(answers)
		return answers
	}
	var want []string
	bubble(t, func(t *testing.T, r *rig) {
		want = burst(t, r, func(int) *mfa.Request { return r.wrong("bob") })
		if r.primary.calls > freeTries+1 {
			t.Errorf("%d of 2,000 wrong passwords were examined", r.primary.calls)
		}
		if n := r.journal.count(mfa.ReasonTooManyAttempts); n == 0 {
			t.Error("no event says that passwords were not examined")
		}
	})
	t.Run("right, and refused", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			r.users.set("bob", func(u *mfa.User) { u.Blocked = true })
			if got := burst(t, r, func(int) *mfa.Request { return r.request("bob") }); !slices.Equal(got, want) {
				t.Errorf("2,000 at once: %v, wrong ones: %v", slices.Compact(got), slices.Compact(want))
			}
		})
	})
	t.Run("the right one among them", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			r.guess(r.wrong("bob"))
			r.guess(r.wrong("bob"))
			r.guess(r.wrong("bob"))
			got := burst(t, r, func(i int) *mfa.Request {
				if i == 1000 {
					return r.request("bob")
				}
				return r.wrong("bob")
			})
			if i := slices.IndexFunc(got, func(s string) bool { return s[0] == 'c' }); i >= 0 {
				t.Errorf("%d guesses at once found the password", len(got))
			}
			if r.primary.calls > 4 {
				t.Errorf("got %d were examined; want calls at most 4", r.primary.calls)
			}
			time.Sleep(maxRejectDelay)
			r.send(r.request("bob")).want(mfa.Challenge, "") // no user is locked out
		})
	})
	t.Run("all right", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			var all []*answer
			for range 40 {
				all = append(all, r.start(r.request("alice")))
			}
			synctest.Wait()
			r.prompted(1).decides(nil)
			for _, a := range all {
				a.want(mfa.Accept, "")
			}
			if len(r.Limits.tries.m) != 0 {
				t.Errorf("got %d keys are left; want 0", len(r.Limits.tries.m))
			}
		})
	})
	t.Run("the primary hangs", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			r.primary.fail = func() error { time.Sleep(time.Minute); return errors.New("down") }
			var all []*answer
			for range 5 {
				all = append(all, r.start(r.request("alice")))
			}
			time.Sleep(2 * time.Minute)
			for _, a := range all {
				a.want(mfa.Discard, mfa.ReasonPrimaryError)
			}
		})
	})
	t.Run("a panic", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			r.primary.fail = func() error { panic("a bug") }
			for range 5 {
				r.send(r.request("bob"))
				time.Sleep(maxRejectDelay)
			}
			r.primary.fail = nil
			r.send(r.request("bob")).want(mfa.Challenge, "")
		})
	})
}

// Wrong passwords slow down where they come from, and not the owner; by whatever
// spelling of the name.
func TestWrongPasswordsSlowTheOrigin(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for range 20 {
			q := r.wrong("alice")
			q.EndUser = "203.0.113.66"
			r.guess(q)
		}
		again := r.wrong("ALICE")
		again.EndUser = "203.0.113.66"
		if d := r.guess(again); d != maxRejectDelay/time.Second {
			t.Errorf("the 21st: %d s", d)
		}
		for name, change := range map[string]func(q *mfa.Request){
			"the same origin":    func(q *mfa.Request) {},
			"another user":       func(q *mfa.Request) { q.User, q.EndUser = mfa.NameOf("bob"), "203.0.113.66" },
			"what may be forged": func(q *mfa.Request) { q.EndUser, q.Signed = "203.0.113.66", false },
			"another client, of which no user's address is known": func(q *mfa.Request) { q.EndUser, q.Client = "", r.newClient("mail", "mail") },
		} {
			q := r.wrong("alice")
			change(q)
			if d := r.guess(q); d != 1 {
				t.Errorf("%s: %d s; want 1", name, d)
			}
		}
		r.send(r.request("alice")).wantWaits() // no user is locked out
	})
}

// What the primary calls the user is what counts: a right password under a new
// spelling, in the middle of guesses, tells nothing.
func TestTriesFollowTheUser(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.primary.names = map[string]string{}
		for i := range 20 {
			r.primary.names[fmt.Sprint("a", i)] = "bob"
		}
		r.users.set("bob", func(u *mfa.User) { u.Blocked = true })
		var got []time.Duration
		for i := range slower {
			got = append(got, r.guess(r.request(fmt.Sprint("a", i))))
		}
		if !slices.Equal(got, slower) {
			t.Errorf("rejected after %d, want %d", got, slower)
		}
		r.users.set("bob", func(u *mfa.User) { u.Blocked = false })
		for range 4 { // at once with one that is refused
			r.send(r.wrong("bob"))
		}
		r.send(r.request("a19")).want(mfa.Reject, mfa.ReasonTooManyAttempts)
	})
}

// Names that someone invents push out each other, and not the one that is guessed at.
func TestTriesBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l tries
		miss := func(name string) {
			key := tryKey{user: mfa.NameOf(name).Key()}
			if err := l.enter(t.Context(), key, time.Second); err != nil {
				t.Fatal(err)
			}
			l.leave(key, true, time.Second)
		}
		for range maxTries {
			miss("guessed")
			time.Sleep(maxRejectDelay)
		}
		for i := range 2 * maxTryKeys {
			miss(fmt.Sprint(i))
		}
		if len(l.m) > maxTryKeys {
			t.Errorf("%d keys", len(l.m))
		}
		if n := len(l.m[tryKey{user: mfa.NameOf("guessed").Key()}].wrong); n != maxTries {
			t.Errorf("of the name that is guessed at, %d are remembered", n)
		}
		for i := range 3 { // a new name is slowed in a full table
			miss("new")
			if n := len(l.m[tryKey{user: mfa.NameOf("new").Key()}].wrong); n != i+1 {
				t.Errorf("of a new name, %d of %d are remembered", n, i+1)
			}
		}
	})
}

// otherNode takes what a node tells of wrong passwords.
type otherNode struct {
	*Engine
	mu   sync.Mutex
	told int
}

func (o *otherNode) Record(_ context.Context, ev mfa.Event) error {
	o.mu.Lock()
	o.told++
	o.mu.Unlock()
	o.Apply(ev)
	return nil
}

// Wrong passwords slow down at the other node as here, under the name that was typed and the
// one of the primary, and whether the request was signed or not. A right one is not told.
func TestWrongPasswordsElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		other := &otherNode{Engine: &Engine{Pending: &Pending{}, Limits: &Limits{}, Clients: map[string]*mfa.Client{r.client.Name: r.client}}}
		r.Limits.Others = other
		r.send(r.request("bob")).want(mfa.Challenge, "")
		unsigned, nowhere := r.wrong("bob"), r.wrong("Bob")
		unsigned.Signed, nowhere.EndUser = false, ""
		for _, q := range []*mfa.Request{r.wrong("bob"), r.wrong("BOB"), unsigned, nowhere} {
			r.guess(q)
		}
		synctest.Wait()
		if len(other.Limits.tries.m) != len(r.Limits.tries.m) || len(r.Limits.tries.m) < 3 {
			t.Errorf("got %d keys at the other node; want %d", len(other.Limits.tries.m), len(r.Limits.tries.m))
		}
		for key, e := range r.Limits.tries.m {
			if far := other.Limits.tries.m[key]; far == nil || len(far.wrong) != len(e.wrong) {
				t.Errorf("%+v: got %+v at the other node; want %d wrong passwords", key, far, len(e.wrong))
			}
		}
	})
}

// Guessing at many names is told to the other nodes within bounds.
func TestWrongPasswordsAreToldWithinBounds(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		other := &otherNode{Engine: &Engine{Pending: &Pending{}, Limits: &Limits{}, Clients: map[string]*mfa.Client{r.client.Name: r.client}}}
		r.Limits.Others = other
		for range 2 {
			for i := range 3 * maxTold {
				r.send(r.wrong(fmt.Sprint("user", i)))
			}
			synctest.Wait()
			time.Sleep(toldWindow)
		}
		if other.told < 2*maxTold || other.told > 4*maxTold { // of a user two names at most
			t.Errorf("%d wrong passwords were told; want those of %d tries", other.told, 2*maxTold)
		}
	})
}
