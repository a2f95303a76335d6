package login

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// primary checks the first factor, and returns the passcode that came with it. A
// refusal that is not nil ends the login.
func (e *Engine) primary(ctx context.Context, p *waiter) (identity mfa.Identity, code string, refused *mfa.Decision) {
	r := p.Request
	ctx, cancel := bounded(ctx, r.Client, r)
	defer cancel()
	if p := mfa.ProtocolOf(r.Cred); p != "" && !r.Client.Takes(p) {
		return mfa.Identity{}, "", &mfa.Decision{Reason: mfa.ReasonUnsupported, Err: fmt.Errorf("%w: %s is not taken from this client", mfa.ErrUnsupported, p)}
	}
	var err error
	if p.try, err = e.Limits.try(ctx, r); err != nil {
		return mfa.Identity{}, "", e.refusal(r, err)
	}
	cred, code, err := e.part(ctx, r)
	if err != nil {
		return mfa.Identity{}, "", e.refusal(r, err)
	}
	switch c := cred.(type) {
	case mfa.Password:
		if c == "" {
			// Never to a primary: LDAP answers an empty password with an anonymous bind.
			return mfa.Identity{}, "", &mfa.Decision{Reason: mfa.ReasonEmptyPassword}
		}
	case mfa.MSCHAPv2, mfa.NoCredential:
	case mfa.Unsupported:
		return mfa.Identity{}, "", &mfa.Decision{Reason: mfa.ReasonUnsupported, Err: fmt.Errorf("%w: %s", mfa.ErrUnsupported, c.What)}
	default:
		return mfa.Identity{}, "", &mfa.Decision{Reason: mfa.ReasonUnsupported, Err: fmt.Errorf("%w: none sent", mfa.ErrUnsupported)}
	}
	if cred == (mfa.NoCredential{}) {
		identity, err = findUser(ctx, r)
	} else {
		identity, err = check(ctx, r, cred)
	}
	if err = p.try.verdict(ctx, &identity, err); err == nil && !identity.Name.IsZero() {
		identity.Attributes = r.Client.Reply(&identity)
		return identity, code, nil
	}
	return mfa.Identity{}, code, e.refusal(r, err)
}

// check asks the primary whether the credential is the user's.
func check(ctx context.Context, r *mfa.Request, cred mfa.Credential) (mfa.Identity, error) {
	if f := r.Client.Forwarder; f != nil {
		return f.CheckForwarded(ctx, r.User, cred, r.Carrier)
	}
	return r.Client.Primary.Check(ctx, r.User, cred)
}

// findUser is the first factor of a request without a password, which an RD Gateway
// has checked: the primary only says whose request it is. The intake lets such a
// request through only from a client that may send it, and signed; that is looked
// at again, because this is the one way in without a password.
func findUser(ctx context.Context, r *mfa.Request) (mfa.Identity, error) {
	if !r.Client.NoPassword || !r.Signed || r.Client.Finder == nil {
		return mfa.Identity{}, fmt.Errorf("%w: none sent", mfa.ErrUnsupported)
	}
	identity, err := r.Client.Finder.Find(ctx, r.User)
	var account *mfa.AccountError
	if errors.Is(err, mfa.ErrRejected) && !errors.As(err, &account) {
		err = &mfa.AccountError{Reason: mfa.ReasonUnknownUser, Err: err}
	}
	return identity, err
}

// bounded is the life of a question to the primary, which bounds itself too. One
// that hangs must leave time to say so before the NAS gives up.
func bounded(ctx context.Context, c *mfa.Client, r *mfa.Request) (context.Context, context.CancelFunc) {
	ctx = mfa.ForClient(ctx, c)
	if at := lastCall(r); !c.FromMemory && !at.IsZero() {
		return context.WithDeadline(ctx, at)
	}
	return ctx, func() {}
}

// lastCallMargin is how long before its NAS gives up a waiting packet is answered:
// time for a commit and the way back.
const lastCallMargin = 400 * time.Millisecond

// lastCall is when a waiting packet must be answered, or the zero time where it is
// not known when its NAS gives up.
func lastCall(r *mfa.Request) time.Time {
	if r.GivesUp.IsZero() {
		return time.Time{}
	}
	return r.GivesUp.Add(-min(lastCallMargin, r.GivesUp.Sub(r.Received)/4))
}

// refusal is what a primary's error leads to. None is an Identity without a name.
func (e *Engine) refusal(r *mfa.Request, err error) *mfa.Decision {
	var asks *mfa.PrimaryChallenge
	var skipped *unexamined
	switch {
	case err == nil:
		return &mfa.Decision{Reason: mfa.ReasonInternalError, Err: errors.New("the primary accepted a user without a name")}
	case errors.As(err, &skipped):
		return &mfa.Decision{Reason: mfa.ReasonTooManyAttempts, Err: err, Delay: skipped.delay}
	case errors.Is(err, mfa.ErrRejected):
		// Someone else may be using this account.
		e.Pending.memory.forget(r.User.Key())
		e.Pending.memory.forget(mfa.UserOf(err, r.User).Key())
		reason, message := rejection(err)
		return &mfa.Decision{Reason: reason, Message: message, Err: err}
	case errors.Is(err, mfa.ErrUnsupported):
		return &mfa.Decision{Reason: mfa.ReasonUnsupported, Err: err}
	case errors.As(err, &asks):
		return &mfa.Decision{Reason: mfa.ReasonPrimaryChallenge, Err: err}
	}
	return &mfa.Decision{Outcome: r.Client.OnPrimaryError, Reason: mfa.ReasonPrimaryError, Err: err}
}

// maxRelayed is how many questions of a primary one login may answer.
const maxRelayed = 8

// relay shows the user what the primary asks, where the refusal is such a
// question and the client can show it. The login is then opened under the name
// that was typed: who it is, the primary has yet to say.
func (e *Engine) relay(ctx context.Context, p waiter, code string, refused *mfa.Decision) bool {
	var asks *mfa.PrimaryChallenge
	if !errors.As(refused.Err, &asks) || p.Client.Continuer == nil || !p.Dialog.Codes {
		return false
	}
	w := newPendingLogin(e.login(p.Request, &mfa.Identity{Name: p.User}, mfa.ReasonPrimaryChallenge), p.Client)
	w.code, w.asks = code, true
	if e.openDialog(ctx, w, p) {
		if state := e.Pending.ask(w, p, asks); state != "" {
			p.reply(w.asked(state, asks))
		} else {
			e.hold(ctx, w, p) // it has just ended: the same origin signed in anew
		}
	}
	return true
}

// asked is the Access-Challenge with a question of the primary.
func (w *pendingLogin) asked(state string, asks *mfa.PrimaryChallenge) mfa.Decision {
	message := asks.Message
	if message == "" {
		message = messageAnswer // ocserv and pam_radius fail without one
	}
	d := w.challenged(state, message)
	d.Echo = asks.Echo
	return d
}

// carryOn brings the answer to the primary that asked, whose verdict goes on
// exactly as the first one would have. No turn is held meanwhile: anyone who ends the
// login first wins.
func (e *Engine) carryOn(ctx context.Context, c *challenge, p waiter, answer mfa.Password) {
	w := c.w
	returned := false
	defer func() {
		if !returned { // a panic, which goes on
			e.Pending.settle(ctx, w, func() verdict {
				return w.conclude(&mfa.Decision{Reason: mfa.ReasonInternalError})
			})
		}
	}()
	defer func() { p.try.end(mfa.Reject) }()
	identity, err := e.continued(ctx, w, &p, c.asks, answer)
	returned = true
	var packets []waiter
	e.Pending.settle(ctx, w, func() verdict {
		w.Rounds++
		var asks *mfa.PrimaryChallenge
		switch {
		case !e.Pending.waitsFor(c): // the NAS gave the answer up
			return w.conclude(&mfa.Decision{Reason: mfa.ReasonAbandoned})
		case err == nil && !identity.Name.IsZero():
			packets = e.Pending.remove(w, mfa.Decision{}) // it goes on as the login of whom the primary named
			return verdict{end: goesOn}
		case errors.As(err, &asks) && w.Rounds < maxRelayed:
			waiting, state := e.Pending.replace(c, asks)
			for _, p := range waiting {
				p.reply(w.asked(state, asks))
			}
			p.try.passed()
			return verdict{end: goesOn}
		}
		d := e.refusal(p.Request, err)
		d.Delay = max(d.Delay, p.try.end(d.Outcome))
		return w.conclude(d)
	})
	if len(packets) > 0 {
		all := merge(packets, c)
		all.try = p.try
		e.proceed(ctx, all, identity, w.code, &w.Login)
	}
}

func (e *Engine) continued(ctx context.Context, w *pendingLogin, p *waiter, asks *mfa.PrimaryChallenge, answer mfa.Password) (identity mfa.Identity, err error) {
	ctx, cancel := bounded(ctx, w.client, p.Request)
	defer cancel()
	if p.try, err = e.Limits.try(ctx, p.Request); err != nil {
		return mfa.Identity{}, err
	}
	identity, err = w.client.Continuer.Continue(ctx, w.User, asks, answer, p.Carrier)
	if err = p.try.verdict(ctx, &identity, err); err == nil {
		identity.Attributes = w.client.Reply(&identity)
	}
	return identity, err
}

// conclude ends an opened login with what the primary's error leads to.
func (w *pendingLogin) conclude(refused *mfa.Decision) verdict {
	d := *refused
	d.LoginID, d.Outcome = w.ID, d.Outcome.Denial()
	if d.Message == "" {
		d.Message = messageRejected
	}
	ev := w.event(d.Outcome, d.Reason, time.Now())
	ev.User = mfa.UserOf(refused.Err, w.User)
	return verdict{Decision: d, event: ev}
}

// merge makes one packet of those that brought the same answer under several
// identifiers. It stays known by the State that it answered: the answer may come
// once more while the user looks for the phone.
func merge(packets []waiter, c *challenge) waiter {
	p := packets[len(packets)-1]
	p.answered = c
	p.send = func(d mfa.Decision) {
		for _, q := range packets {
			q.reply(d)
		}
	}
	return p
}
