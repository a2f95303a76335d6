package login

import (
	"context"
	"errors"
	"fmt"
	"github.com/radmatch/radmatch/mfa"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// asker is a primary that asks questions of its own: after the right password
// "PIN?", after the PIN "Token?", after the token it knows the user. It names
// users in its own way.
type asker struct {
	*primary
	mu      sync.Mutex
	answers []string
	slow    chan struct{} // if not nil, each answer takes one
	fail    func() error  // of Continue
	endless bool
}

var _ mfa.PrimaryContinuer = (*asker)(nil)

func (a *asker) Abilities() mfa.Abilities {
	return mfa.Abilities{Finder: a, Continuer: a, FromMemory: true}
}

func (a *asker) Check(ctx context.Context, who mfa.Name, cred mfa.Credential) (mfa.Identity, error) {
	user := who.Sent()
	if _, err := a.primary.Check(ctx, mfa.NameOf(user), cred); err != nil {
		return mfa.Identity{}, err
	}
	return mfa.Identity{}, fmt.Errorf("upstream: %w", &mfa.PrimaryChallenge{Message: "PIN?", Carry: "pin"})
}

func (a *asker) Continue(ctx context.Context, who mfa.Name, c *mfa.PrimaryChallenge, answer mfa.Password, _ any) (mfa.Identity, error) {
	user := who.Sent()
	a.mu.Lock()
	a.answers = append(a.answers, string(answer))
	slow, fail := a.slow, a.fail
	a.mu.Unlock()
	if slow != nil {
		<-slow
	}
	if fail != nil {
		if err := fail(); err != nil {
			return mfa.Identity{}, err
		}
	}
	switch {
	case a.endless:
		return mfa.Identity{}, &mfa.PrimaryChallenge{Message: "Again?", Carry: "pin"}
	case c.Carry == "pin" && answer == "1234":
		return mfa.Identity{}, &mfa.PrimaryChallenge{Message: "Token?", Echo: true, Carry: "token"}
	case answer == "nobody":
		return mfa.Identity{Known: true}, nil
	case c.Carry == "token" && answer == "token":
		_, name, domain := strings.Cut(user, `\`)
		if !domain {
			name = user
		}
		return mfa.Identity{Name: mfa.NameOf(name), Known: true, Attributes: []mfa.Attribute{{Type: 11, Value: []byte("of " + name)}}}, nil
	}
	return mfa.Identity{}, fmt.Errorf("answer: %w", mfa.ErrRejected)
}

func (a *asker) seen() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.answers)
}

// asks makes the client's primary one that asks.
func (r *rig) asks() *asker {
	a := &asker{primary: r.primary}
	r.use(a)
	return a
}

// answered brings a login of the user past the primary's questions.
func (r *rig) answered(user string) *answer {
	return r.sendAnswer(r.sendAnswer(r.send(r.request(user)), "1234"), "token")
}

func TestRelay(t *testing.T) {
	table(t, map[string]func(*testing.T, *rig){
		"then a passcode": func(t *testing.T, r *rig) {
			up := r.asks()
			a := r.send(r.request("bob"))
			if d := a.want(mfa.Challenge, mfa.ReasonPrimaryChallenge); d.Message != "PIN?" || d.Ask.Echo || d.State == "" {
				t.Errorf("challenge: %+v", d)
			}
			id := a.want(mfa.Challenge, "").LoginID
			time.Sleep(5 * time.Second)
			a = r.sendAnswer(a, "1234")
			if d := a.want(mfa.Challenge, mfa.ReasonPrimaryChallenge); d.Message != "Token?" || !d.Ask.Echo {
				t.Errorf("challenge: got %+v; want Message \"Token?\", Echo true", d)
			}
			a = r.sendAnswer(a, "token")
			a.want(mfa.Challenge, mfa.ReasonDefaultOTP)
			time.Sleep(3 * time.Second)
			if d := r.sendAnswer(a, "123456").want(mfa.Accept, mfa.ReasonDefaultOTP); len(d.Identity.Attributes) != 1 || d.LoginID != id {
				t.Errorf("decision: %+v", d)
			}
			ev := r.journal.last(t)
			if ev.ID != id || ev.Rounds != 2 || ev.Primary != 5*time.Second || ev.Factor != 3*time.Second || len(r.journal.all()) != 1 {
				t.Errorf("events: %+v", r.journal.all())
			}
			if !slices.Equal(up.seen(), []string{"1234", "token"}) {
				t.Errorf("the primary saw %q; want only \"1234\", \"token\"", up.seen())
			}
		},
		"then a push": func(t *testing.T, r *rig) {
			r.asks()
			a := r.answered("alice")
			a.wantWaits()
			r.prompted(1).decides(nil)
			a.want(mfa.Accept, mfa.ReasonApproveDeny)
			if ev := r.journal.last(t); ev.Rounds != 2 || len(r.journal.all()) != 1 {
				t.Errorf("events: %+v", r.journal.all())
			}
		},
		"then a push that degrades": func(t *testing.T, r *rig) {
			r.asks()
			a := r.ok(r.sendAnswer(r.send(r.request("alice")), "1234"), "token", 10*time.Second)
			pass(10 * time.Second)
			a.want(mfa.Challenge, mfa.ReasonApproveDeny)
			r.prompted(1).decides(nil)
			r.sendAnswer(a, "").want(mfa.Accept, "")
		},
		"then nothing": func(t *testing.T, r *rig) {
			r.asks()
			r.client.ExemptClient = true
			if d := r.answered("alice").want(mfa.Accept, mfa.ReasonExemptClient); len(d.Identity.Attributes) != 1 {
				t.Errorf("attributes: got %v; want 1 Attributes", d.Identity.Attributes)
			}
		},
		"then a denial": func(t *testing.T, r *rig) {
			r.asks()
			r.users.set("alice", func(u *mfa.User) { u.Blocked = true })
			r.answered("alice").want(mfa.Reject, mfa.ReasonUserBlocked)
			if len(r.journal.all()) != 1 {
				t.Errorf("events: %+v", r.journal.all())
			}
		},
		"the primary knows the user under another name": func(t *testing.T, r *rig) {
			r.asks()
			a := r.answered(`CORP\alice`)
			if g := r.prompted(1); g.User.String() != "alice" {
				t.Errorf("the prompt is for %q; want User \"alice\"", g.User)
			} else {
				g.decides(nil)
			}
			a.want(mfa.Accept, "")
		},
		"a wrong answer counts as a wrong password": func(t *testing.T, r *rig) {
			r.asks()
			for range 3 {
				r.sendAnswer(r.send(r.request("bob")), "0000").want(mfa.Reject, mfa.ReasonWrongPassword)
				time.Sleep(maxRejectDelay)
			}
			if d := r.sendAnswer(r.send(r.request("bob")), "0000").want(mfa.Reject, mfa.ReasonWrongPassword); d.Delay <= 2*time.Second {
				t.Errorf("the fourth has a delay of %s; want Delay more than 2*time.Second", d.Delay)
			}
			if ev := r.journal.last(t); ev.Rounds != 1 || ev.User.String() != "bob" {
				t.Errorf("event: got %+v; want Rounds 1, User \"bob\"", ev)
			}
		},
		"no answer from the primary": func(t *testing.T, r *rig) {
			up := r.asks()
			up.fail = func() error { return errFire }
			r.sendAnswer(r.send(r.request("bob")), "1234").want(mfa.Discard, mfa.ReasonPrimaryError)
			r.client.OnPrimaryError = mfa.Reject
			r.sendAnswer(r.send(r.request("bob")), "1234").want(mfa.Reject, mfa.ReasonPrimaryError)
		},
		"a yes without a name": func(t *testing.T, r *rig) {
			r.asks()
			r.client.ExemptClient = true
			r.sendAnswer(r.send(r.request("bob")), "nobody").want(mfa.Reject, mfa.ReasonInternalError)
		},
		"the attributes of groups": func(t *testing.T, r *rig) {
			r.asks()
			r.client.ExemptClient = true
			r.client.GroupReplies = []mfa.GroupReply{{Group: mfa.GroupOf(mfa.AllUsers), Attributes: []mfa.Attribute{{Type: 25, Value: []byte("x")}}}}
			if d := r.answered("alice").want(mfa.Accept, ""); len(d.Identity.Attributes) != 2 {
				t.Errorf("attributes: got %v; want 2 Attributes", d.Identity.Attributes)
			}
		},
		"a panic": func(t *testing.T, r *rig) {
			up := r.asks()
			up.fail = func() error { panic("no") }
			r.sendAnswer(r.send(r.request("bob")), "1234").want(mfa.Reject, mfa.ReasonInternalError)
		},
		"an account that may not sign in": func(t *testing.T, r *rig) {
			up := r.asks()
			up.fail = func() error { return &mfa.AccountError{Reason: mfa.ReasonLogonHours, Err: errFire} }
			r.sendAnswer(r.send(r.request("bob")), "1234").want(mfa.Reject, mfa.ReasonLogonHours)
		},
		"too many questions": func(t *testing.T, r *rig) {
			up := r.asks()
			up.endless = true
			a := r.send(r.request("bob"))
			for range maxRelayed - 1 {
				a = r.sendAnswer(a, "x")
				a.want(mfa.Challenge, mfa.ReasonPrimaryChallenge)
			}
			r.sendAnswer(a, "x").want(mfa.Reject, mfa.ReasonPrimaryChallenge)
		},
		"the client cannot prompt": func(t *testing.T, r *rig) {
			r.asks()
			r.client.Prompts = false
			for range 3 {
				r.sendTyped("bob", "wrong").want(mfa.Reject, mfa.ReasonWrongPassword)
				time.Sleep(maxRejectDelay)
			}
			// It takes as long as one more wrong password would.
			if d := r.send(r.request("bob")).want(mfa.Reject, mfa.ReasonPrimaryChallenge); d.Delay != 4*time.Second {
				t.Errorf("got delay %s; want Delay 4*time.Second", d.Delay)
			}
		},
		"by MS-CHAPv2": func(t *testing.T, r *rig) {
			r.asks()
			r.send(r.mschap("bob", 1)).want(mfa.Reject, mfa.ReasonPrimaryChallenge)
		},
		"a primary that cannot go on": func(t *testing.T, r *rig) {
			r.primary.fail = func() error { return &mfa.PrimaryChallenge{Message: "PIN?"} }
			r.send(r.request("bob")).want(mfa.Reject, mfa.ReasonPrimaryChallenge)
		},
		"without a text": func(t *testing.T, r *rig) {
			up := r.asks()
			up.fail = func() error { return &mfa.PrimaryChallenge{} }
			if d := r.sendAnswer(r.send(r.request("bob")), "x").want(mfa.Challenge, ""); d.Message != messageAnswer {
				t.Errorf("challenge: %+v", d)
			}
		},
		"nobody answers": func(t *testing.T, r *rig) {
			r.asks()
			a := r.send(r.request("bob"))
			pass(3*time.Minute + 2*time.Second)
			if r.Pending.Len() != 0 || r.journal.count(mfa.ReasonChallengeExpired) != 1 {
				t.Errorf("%d wait, events %v", r.Pending.Len(), r.journal.all())
			}
			r.sendAnswer(a, "1234").want(mfa.Reject, mfa.ReasonStateUnknown)
		},
		"it expires while the primary thinks": func(t *testing.T, r *rig) {
			up := r.asks()
			a := r.sendAnswer(r.send(r.request("bob")), "1234")
			up.slow = make(chan struct{})
			pass(2*time.Minute + 59*time.Second)
			last := r.sendAnswer(a, "token")
			last.wantWaits()
			pass(3 * time.Second)
			last.want(mfa.Reject, mfa.ReasonChallengeExpired)
			close(up.slow)
			synctest.Wait()
		},
		"dialled again": func(t *testing.T, r *rig) {
			r.asks()
			old := r.send(r.request("bob"))
			r.answered("bob").want(mfa.Challenge, mfa.ReasonDefaultOTP)
			r.sendAnswer(old, "1234").want(mfa.Reject, mfa.ReasonStateUnknown)
			if r.journal.count(mfa.ReasonSuperseded) != 1 {
				t.Errorf("events: %v", r.journal.all())
			}
		},
		"an appended code": func(t *testing.T, r *rig) {
			up := r.asks()
			r.client.Append, r.client.AppendDelimiter = mfa.AppendDelimiter, ","
			a := r.sendAnswer(r.sendTyped("bob", "right,123456"), "1234")
			r.sendAnswer(a, "token").want(mfa.Accept, mfa.ReasonDefaultOTP)
			if slices.Contains(up.seen(), "123456") || slices.Contains(r.primary.seen, "123456") {
				t.Error("got the passcode at the primary; want only the password there")
			}
		},
		"shutdown while the primary thinks": func(t *testing.T, r *rig) {
			up := r.asks()
			up.slow = make(chan struct{})
			a := r.sendAnswer(r.send(r.request("bob")), "1234")
			r.Pending.Close(context.Background())
			a.want(mfa.Discard, mfa.ReasonShutdown)
			close(up.slow)
			synctest.Wait()
		},
	})
}

// TestRelayedState: a State of the primary's dialog is worth nothing to anybody
// but who got it, and once.
func TestRelayedState(t *testing.T) {
	tests := map[string]func(q *mfa.Request, r *rig){
		"another user":         func(q *mfa.Request, _ *rig) { q.User = mfa.NameOf("alice") },
		"another client group": func(q *mfa.Request, r *rig) { q.Client = r.newClient("mail", "mail") },
		"forged":               func(q *mfa.Request, _ *rig) { q.State = strings.Repeat("A", len(q.State)) },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				up := r.asks()
				a := r.send(r.request("bob"))
				q := r.reply(a, "1234")
				change(q, r)
				r.send(q).want(mfa.Reject, mfa.ReasonStateUnknown)
				if len(up.seen()) != 0 {
					t.Errorf("the primary saw %q", up.seen())
				}
				r.sendAnswer(a, "1234").want(mfa.Challenge, "")
			})
		})
	}
	table(t, map[string]func(*testing.T, *rig){
		"replayed": func(t *testing.T, r *rig) {
			up := r.asks()
			a := r.send(r.request("bob"))
			b := r.sendAnswer(a, "1234")
			r.sendAnswer(b, "token").want(mfa.Challenge, mfa.ReasonDefaultOTP)
			r.sendAnswer(a, "1234").want(mfa.Reject, mfa.ReasonStateUnknown)
			r.sendAnswer(b, "token").want(mfa.Reject, mfa.ReasonStateUnknown)
			if len(up.seen()) != 2 {
				t.Errorf("the primary saw %q", up.seen())
			}
		},
		"a hundred answers at once": func(t *testing.T, r *rig) {
			up := r.asks()
			a := r.send(r.request("bob"))
			for i := range 100 {
				r.start(r.reply(a, fmt.Sprint(i)))
			}
			synctest.Wait()
			if len(up.seen()) != 1 {
				t.Errorf("the primary saw %d answers", len(up.seen()))
			}
		},
		"the same answer twice": func(t *testing.T, r *rig) {
			up := r.asks()
			a := r.send(r.request("bob"))
			up.slow = make(chan struct{})
			first, again := r.send(r.reply(a, "1234")), r.send(r.reply(a, "1234"))
			close(up.slow)
			synctest.Wait()
			if first.want(mfa.Challenge, "").State != again.want(mfa.Challenge, "").State || len(up.seen()) != 1 {
				t.Errorf("the primary saw %q", up.seen())
			}
		},
		"the same answer again, while the prompt is open": func(t *testing.T, r *rig) {
			r.asks()
			b := r.sendAnswer(r.send(r.request("alice")), "1234")
			first := r.sendAnswer(b, "token")
			again := r.sendAnswer(b, "token")
			first.wantWaits()
			again.wantWaits()
			r.sendAnswer(b, "other").want(mfa.Reject, mfa.ReasonStateUnknown)
			r.prompted(1).decides(nil)
			first.want(mfa.Accept, "")
			again.want(mfa.Accept, "")
			if len(r.journal.all()) != 2 {
				t.Errorf("events: %+v", r.journal.all())
			}
		},
		"the NAS gave the answer up": func(t *testing.T, r *rig) {
			up := r.asks()
			b := r.sendAnswer(r.send(r.request("alice")), "1234")
			up.slow = make(chan struct{})
			first := r.sendAnswer(b, "token")
			first.req.Supersede()
			r.sendAnswer(b, "other").want(mfa.Reject, mfa.ReasonStateUnknown) // sifts it out
			close(up.slow)
			synctest.Wait()
			first.want(mfa.Discard, "")
			r.prompted(0)
			if r.journal.count(mfa.ReasonAbandoned) != 1 || r.Pending.Len() != 0 {
				t.Errorf("events: %+v", r.journal.all())
			}
		},
	})
}

// TestRelayedFailures: a login that fails after the primary's questions is not accepted.
func TestRelayedFailures(t *testing.T) {
	table(t, map[string]func(*testing.T, *rig){
		"the directory": func(t *testing.T, r *rig) {
			r.asks()
			a := r.sendAnswer(r.send(r.request("alice")), "1234")
			r.users.setFail(func() error { return errors.New("no") })
			r.sendAnswer(a, "token").want(mfa.Discard, mfa.ReasonMFAError)
		},
		"the journal": func(t *testing.T, r *rig) {
			r.asks()
			r.client.ExemptClient = true
			a := r.sendAnswer(r.send(r.request("alice")), "1234")
			r.journal.setFail(func(mfa.Event) error { return errFire })
			r.sendAnswer(a, "token").want(mfa.Discard, mfa.ReasonMFAError)
		},
		"a prompt of another origin is open": func(t *testing.T, r *rig) {
			r.send(r.request("alice"))
			r.asks()
			q := r.request("alice")
			q.EndUser = "203.0.113.66"
			a := r.send(q)
			q = r.reply(a, "1234")
			q.EndUser = "203.0.113.66"
			a = r.send(q)
			q = r.reply(a, "token")
			q.EndUser = "203.0.113.66"
			r.send(q).want(mfa.Discard, mfa.ReasonPromptPending)
		},
	})
}
