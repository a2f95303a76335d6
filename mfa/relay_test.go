package mfa

import (
	"context"
	"errors"
	"fmt"
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

var _ PrimaryContinuer = (*asker)(nil)

func (a *asker) Check(ctx context.Context, who Name, cred Credential) (Identity, error) {
	user := who.Sent()
	if _, err := a.primary.Check(ctx, NameOf(user), cred); err != nil {
		return Identity{}, err
	}
	return Identity{}, fmt.Errorf("upstream: %w", &PrimaryChallenge{Message: "PIN?", Carry: "pin"})
}

func (a *asker) Continue(ctx context.Context, who Name, c *PrimaryChallenge, answer Password) (Identity, error) {
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
			return Identity{}, err
		}
	}
	switch {
	case a.endless:
		return Identity{}, &PrimaryChallenge{Message: "Again?", Carry: "pin"}
	case c.Carry == "pin" && answer == "1234":
		return Identity{}, &PrimaryChallenge{Message: "Token?", Echo: true, Carry: "token"}
	case answer == "nobody":
		return Identity{Known: true}, nil
	case c.Carry == "token" && answer == "token":
		_, name, domain := strings.Cut(user, `\`)
		if !domain {
			name = user
		}
		return Identity{Name: NameOf(name), Known: true, Attributes: []Attribute{{Type: 11, Value: []byte("of " + name)}}}, nil
	}
	return Identity{}, fmt.Errorf("answer: %w", ErrRejected)
}

func (a *asker) seen() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.answers)
}

// asks makes the client's primary one that asks.
func (r *rig) asks() *asker {
	a := &asker{primary: r.primary}
	r.client.Primary = a
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
			if d := a.want(Challenge, ReasonPrimaryChallenge); d.Message != "PIN?" || d.Echo || d.State == "" {
				t.Errorf("challenge: %+v", d)
			}
			id := a.want(Challenge, "").LoginID
			time.Sleep(5 * time.Second)
			a = r.sendAnswer(a, "1234")
			if d := a.want(Challenge, ReasonPrimaryChallenge); d.Message != "Token?" || !d.Echo {
				t.Errorf("challenge: %+v", d)
			}
			a = r.sendAnswer(a, "token")
			a.want(Challenge, ReasonDefaultOTP)
			time.Sleep(3 * time.Second)
			if d := r.sendAnswer(a, "123456").want(Accept, ReasonDefaultOTP); len(d.Attributes) != 1 || d.LoginID != id {
				t.Errorf("decision: %+v", d)
			}
			ev := r.journal.last(t)
			if ev.ID != id || ev.Rounds != 2 || ev.Primary != 5*time.Second || ev.Factor != 3*time.Second || len(r.journal.all()) != 1 {
				t.Errorf("events: %+v", r.journal.all())
			}
			if !slices.Equal(up.seen(), []string{"1234", "token"}) {
				t.Errorf("the primary saw %q", up.seen())
			}
		},
		"then a push": func(t *testing.T, r *rig) {
			r.asks()
			a := r.answered("alice")
			a.wantWaits()
			r.rings(1).decides(nil)
			a.want(Accept, ReasonApproveDeny)
			if ev := r.journal.last(t); ev.Rounds != 2 || len(r.journal.all()) != 1 {
				t.Errorf("events: %+v", r.journal.all())
			}
		},
		"then a push that degrades": func(t *testing.T, r *rig) {
			r.asks()
			a := r.ok(r.sendAnswer(r.send(r.request("alice")), "1234"), "token", 10*time.Second)
			pass(10 * time.Second)
			a.want(Challenge, ReasonApproveDeny)
			r.rings(1).decides(nil)
			r.sendAnswer(a, "").want(Accept, "")
		},
		"then nothing": func(t *testing.T, r *rig) {
			r.asks()
			r.client.ExemptClient = true
			if d := r.answered("alice").want(Accept, ReasonExemptClient); len(d.Attributes) != 1 {
				t.Errorf("attributes: %v", d.Attributes)
			}
		},
		"then a denial": func(t *testing.T, r *rig) {
			r.asks()
			r.users.set("alice", func(u *User) { u.Blocked = true })
			r.answered("alice").want(Reject, ReasonUserBlocked)
			if len(r.journal.all()) != 1 {
				t.Errorf("events: %+v", r.journal.all())
			}
		},
		"the primary knows the user under another name": func(t *testing.T, r *rig) {
			r.asks()
			a := r.answered(`CORP\alice`)
			if g := r.rings(1); g.User.String() != "alice" {
				t.Errorf("the prompt is for %q", g.User)
			} else {
				g.decides(nil)
			}
			a.want(Accept, "")
		},
		"a wrong answer counts as a wrong password": func(t *testing.T, r *rig) {
			r.asks()
			for range 3 {
				r.sendAnswer(r.send(r.request("bob")), "0000").want(Reject, ReasonWrongPassword)
				time.Sleep(maxRejectDelay)
			}
			if d := r.sendAnswer(r.send(r.request("bob")), "0000").want(Reject, ReasonWrongPassword); d.Delay <= 2*time.Second {
				t.Errorf("the fourth has a delay of %s", d.Delay)
			}
			if ev := r.journal.last(t); ev.Rounds != 1 || ev.User.String() != "bob" {
				t.Errorf("event: %+v", ev)
			}
		},
		"no answer from the primary": func(t *testing.T, r *rig) {
			up := r.asks()
			up.fail = func() error { return errFire }
			r.sendAnswer(r.send(r.request("bob")), "1234").want(Discard, ReasonPrimaryError)
			r.client.OnPrimaryError = Reject
			r.sendAnswer(r.send(r.request("bob")), "1234").want(Reject, ReasonPrimaryError)
		},
		"a yes without a name": func(t *testing.T, r *rig) {
			r.asks()
			r.client.ExemptClient = true
			r.sendAnswer(r.send(r.request("bob")), "nobody").want(Reject, ReasonInternalError)
		},
		"the attributes of groups": func(t *testing.T, r *rig) {
			r.asks()
			r.client.ExemptClient = true
			r.client.GroupReplies = []GroupReply{{GroupOf(AllUsers), []Attribute{{Type: 25, Value: []byte("x")}}}}
			if d := r.answered("alice").want(Accept, ""); len(d.Attributes) != 2 {
				t.Errorf("attributes: %v", d.Attributes)
			}
		},
		"a panic": func(t *testing.T, r *rig) {
			up := r.asks()
			up.fail = func() error { panic("no") }
			r.sendAnswer(r.send(r.request("bob")), "1234").want(Reject, ReasonInternalError)
		},
		"an account that may not sign in": func(t *testing.T, r *rig) {
			up := r.asks()
			up.fail = func() error { return &AccountError{Reason: ReasonLogonHours, Err: errFire} }
			r.sendAnswer(r.send(r.request("bob")), "1234").want(Reject, ReasonLogonHours)
		},
		"too many questions": func(t *testing.T, r *rig) {
			up := r.asks()
			up.endless = true
			a := r.send(r.request("bob"))
			for range maxRelayed - 1 {
				a = r.sendAnswer(a, "x")
				a.want(Challenge, ReasonPrimaryChallenge)
			}
			r.sendAnswer(a, "x").want(Reject, ReasonPrimaryChallenge)
		},
		"the client cannot prompt": func(t *testing.T, r *rig) {
			r.asks()
			r.client.Prompts = false
			for range 3 {
				r.sendTyped("bob", "wrong").want(Reject, ReasonWrongPassword)
				time.Sleep(maxRejectDelay)
			}
			// It takes as long as one more wrong password would.
			if d := r.send(r.request("bob")).want(Reject, ReasonPrimaryChallenge); d.Delay != 4*time.Second {
				t.Errorf("delay %s", d.Delay)
			}
		},
		"by MS-CHAPv2": func(t *testing.T, r *rig) {
			r.asks()
			r.send(r.mschap("bob", 1)).want(Reject, ReasonPrimaryChallenge)
		},
		"a primary that cannot go on": func(t *testing.T, r *rig) {
			r.primary.fail = func() error { return &PrimaryChallenge{Message: "PIN?"} }
			r.send(r.request("bob")).want(Reject, ReasonPrimaryChallenge)
		},
		"without a text": func(t *testing.T, r *rig) {
			up := r.asks()
			up.fail = func() error { return &PrimaryChallenge{} }
			if d := r.sendAnswer(r.send(r.request("bob")), "x").want(Challenge, ""); d.Message != messageAnswer {
				t.Errorf("challenge: %+v", d)
			}
		},
		"nobody answers": func(t *testing.T, r *rig) {
			r.asks()
			a := r.send(r.request("bob"))
			pass(3*time.Minute + 2*time.Second)
			if r.Pending.Len() != 0 || r.journal.count(ReasonChallengeExpired) != 1 {
				t.Errorf("%d wait, events %v", r.Pending.Len(), r.journal.all())
			}
			r.sendAnswer(a, "1234").want(Reject, ReasonStateUnknown)
		},
		"it expires while the primary thinks": func(t *testing.T, r *rig) {
			up := r.asks()
			a := r.sendAnswer(r.send(r.request("bob")), "1234")
			up.slow = make(chan struct{})
			pass(2*time.Minute + 59*time.Second)
			last := r.sendAnswer(a, "token")
			last.wantWaits()
			pass(3 * time.Second)
			last.want(Reject, ReasonChallengeExpired)
			close(up.slow)
			synctest.Wait()
		},
		"dialled again": func(t *testing.T, r *rig) {
			r.asks()
			old := r.send(r.request("bob"))
			r.answered("bob").want(Challenge, ReasonDefaultOTP)
			r.sendAnswer(old, "1234").want(Reject, ReasonStateUnknown)
			if r.journal.count(ReasonSuperseded) != 1 {
				t.Errorf("events: %v", r.journal.all())
			}
		},
		"an appended code": func(t *testing.T, r *rig) {
			up := r.asks()
			r.client.Append, r.client.AppendDelimiter = AppendDelimiter, ","
			a := r.sendAnswer(r.sendTyped("bob", "right,123456"), "1234")
			r.sendAnswer(a, "token").want(Accept, ReasonDefaultOTP)
			if slices.Contains(up.seen(), "123456") || slices.Contains(r.primary.seen, "123456") {
				t.Error("the primary saw the code")
			}
		},
		"shutdown while the primary thinks": func(t *testing.T, r *rig) {
			up := r.asks()
			up.slow = make(chan struct{})
			a := r.sendAnswer(r.send(r.request("bob")), "1234")
			r.Pending.Close(context.Background())
			a.want(Discard, ReasonShutdown)
			close(up.slow)
			synctest.Wait()
		},
	})
}

// TestRelayedState: a State of the primary's dialog is worth nothing to anybody
// but who got it, and once.
func TestRelayedState(t *testing.T) {
	tests := map[string]func(q *Request, r *rig){
		"another user":         func(q *Request, _ *rig) { q.User = NameOf("alice") },
		"another client group": func(q *Request, r *rig) { q.Client = r.newClient("mail", "mail") },
		"forged":               func(q *Request, _ *rig) { q.State = strings.Repeat("A", len(q.State)) },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				up := r.asks()
				a := r.send(r.request("bob"))
				q := r.reply(a, "1234")
				change(q, r)
				r.send(q).want(Reject, ReasonStateUnknown)
				if len(up.seen()) != 0 {
					t.Errorf("the primary saw %q", up.seen())
				}
				r.sendAnswer(a, "1234").want(Challenge, "")
			})
		})
	}
	table(t, map[string]func(*testing.T, *rig){
		"replayed": func(t *testing.T, r *rig) {
			up := r.asks()
			a := r.send(r.request("bob"))
			b := r.sendAnswer(a, "1234")
			r.sendAnswer(b, "token").want(Challenge, ReasonDefaultOTP)
			r.sendAnswer(a, "1234").want(Reject, ReasonStateUnknown)
			r.sendAnswer(b, "token").want(Reject, ReasonStateUnknown)
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
			if first.want(Challenge, "").State != again.want(Challenge, "").State || len(up.seen()) != 1 {
				t.Errorf("the primary saw %q", up.seen())
			}
		},
		"the same answer again, while the device rings": func(t *testing.T, r *rig) {
			r.asks()
			b := r.sendAnswer(r.send(r.request("alice")), "1234")
			first := r.sendAnswer(b, "token")
			again := r.sendAnswer(b, "token")
			first.wantWaits()
			again.wantWaits()
			r.sendAnswer(b, "other").want(Reject, ReasonStateUnknown)
			r.rings(1).decides(nil)
			first.want(Accept, "")
			again.want(Accept, "")
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
			r.sendAnswer(b, "other").want(Reject, ReasonStateUnknown) // sifts it out
			close(up.slow)
			synctest.Wait()
			first.want(Discard, "")
			r.rings(0)
			if r.journal.count(ReasonAbandoned) != 1 || r.Pending.Len() != 0 {
				t.Errorf("events: %+v", r.journal.all())
			}
		},
	})
}

// TestRelayedFailures: what fails after the primary's questions lets nobody in.
func TestRelayedFailures(t *testing.T) {
	table(t, map[string]func(*testing.T, *rig){
		"the directory": func(t *testing.T, r *rig) {
			r.asks()
			a := r.sendAnswer(r.send(r.request("alice")), "1234")
			r.users.setFail(func() error { return errors.New("no") })
			r.sendAnswer(a, "token").want(Discard, ReasonMFAError)
		},
		"the journal": func(t *testing.T, r *rig) {
			r.asks()
			r.client.ExemptClient = true
			a := r.sendAnswer(r.send(r.request("alice")), "1234")
			r.journal.setFail(func(Event) error { return errFire })
			r.sendAnswer(a, "token").want(Discard, ReasonMFAError)
		},
		"a prompt of another seat is open": func(t *testing.T, r *rig) {
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
			r.send(q).want(Discard, ReasonPromptPending)
		},
	})
}
