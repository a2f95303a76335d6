package login

import (
	"context"
	"errors"
	"github.com/radmatch/radmatch/mfa"
	"time"
)

// maxRelayed is how many questions of a primary one login may answer.
const maxRelayed = 8

// relay shows the user what the primary asks, where the refusal is such a
// question and the client can show it. The login is then opened under the name
// that was typed: who it is, the primary has yet to say.
func (e *Engine) relay(ctx context.Context, p waiter, code string, refused *mfa.Decision) bool {
	var asks *mfa.PrimaryChallenge
	_, continues := p.Client.Primary.(mfa.PrimaryContinuer)
	if !errors.As(refused.Err, &asks) || !continues || !p.Dialog.Codes {
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
// exactly as the first one would have. No turn is held meanwhile: whoever ends the
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
	identity, err = w.client.Primary.(mfa.PrimaryContinuer).Continue(ctx, w.User, asks, answer, p.Carrier)
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

// waitsFor reports whether a packet waits for what becomes of its answer to c.
func (t *Pending) waitsFor(c *challenge) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(c.packets) > 0
}

// ask makes the State of a question of the primary.
func (t *Pending) ask(w *pendingLogin, p waiter, asks *mfa.PrimaryChallenge) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.done {
		return ""
	}
	c := t.newChallenge(w, p.User.Key())
	c.asks = asks
	return c.state
}
