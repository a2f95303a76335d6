package login

import (
	"context"
	"github.com/radmatch/radmatch/mfa"
	"slices"
	"time"
)

// openDialog opens a login that an answer decides, and reports whether it may. A
// dialog whose window was closed stays open until challenge_ttl, because nothing
// tells so: the newest goes on, and the oldest that nobody has answered ends.
func (e *Engine) openDialog(ctx context.Context, w *pendingLogin, p waiter) bool {
	// The person dialled again: the dialog of the first attempt is gone.
	e.supersede(ctx, e.Pending.sameOrigin(w))
	yields, what := e.Pending.openDialog(w)
	if what != opened {
		e.shed(ctx, w, p, what)
		return false
	}
	e.supersede(ctx, yields)
	return true
}

// supersede ends a dialog in whose place there is another; nil is none.
func (e *Engine) supersede(ctx context.Context, w *pendingLogin) {
	if w == nil {
		return
	}
	e.Pending.settle(ctx, w, func() verdict {
		return w.ends(mfa.Reject, mfa.ReasonSuperseded, time.Now())
	})
}

// clear ends the prompt that is in the way of w, from the same origin, where nobody can
// be let in by it any more: the user has dialled again, and what they approve must not
// be the request that is dead.
func (e *Engine) clear(ctx context.Context, o, w *pendingLogin) (cleared bool) {
	if o.origin() != w.origin() || !e.Pending.dead(o) {
		return false
	}
	user, _ := e.Directory.User(ctx, w.User) // without an answer nothing is forgiven
	e.Pending.settle(ctx, o, func() verdict {
		if !e.Pending.dead(o) {
			return verdict{end: goesOn}
		}
		cleared = true
		return e.givenUp(o, mfa.ReasonSuperseded, user, "the client gave it up, and the user signed in anew")
	})
	return cleared
}

// givenUp ends a login whose user waits for it no more. A prompt counts, and is in the
// trail, as one that was not answered, so that nobody rings without end by giving up;
// but the user may try again at once.
func (e *Engine) givenUp(w *pendingLogin, reason mfa.Reason, user mfa.User, text string) verdict {
	now := time.Now()
	ev := w.event(mfa.Reject, reason, now)
	if w.Prompts() {
		ev = w.pushEvent(mfa.Reject, mfa.ReasonPushNoResponse, mfa.Approval{}, now)
		e.countFatigue(w, ev.Reason, user, now)
	}
	ev.Text = text
	return verdict{Decision: w.decide(mfa.Reject, reason), event: ev}
}

// dead reports whether the NAS has given up every packet of a prompt that nothing can
// join, that no challenge can lead back to, and that no device has approved.
func (t *Pending) dead(w *pendingLogin) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.done || w.approved != nil || w.client.Join && w.Key != "" {
		return false
	}
	packets := slices.Clone(w.held)
	for _, c := range w.challenges {
		if !c.answered {
			return false
		}
		packets = append(packets, c.packets...)
	}
	return len(packets) > 0 && waiting(packets) == 0 // none: it is about to be held
}

// peer is the key of a table of logins: a user or an origin.
type peer struct {
	user   mfa.NameKey
	origin string
}

// maxKnocks is how often one login may ask whether the prompt in its way is gone.
const maxKnocks = 8

// knock says at an unsigned client that another prompt of the user is open: it may be
// that of a window that was closed, and to join it the request would have to be
// signed. It reports false where the client can show no challenge. A signed request
// hears nothing, as its NAS may send it again under other identifiers.
func (e *Engine) knock(ctx context.Context, w *pendingLogin, p waiter) bool {
	if p.Signed || !p.Dialog.Codes || w.Knocks >= maxKnocks {
		return false
	}
	l := w.Login
	l.Plan, l.Reason, l.Number, l.Requests = mfa.PlanDeny, mfa.ReasonPromptPending, "", nil
	l.Knocks++
	k := newPendingLogin(l, p.Client)
	k.knocks = true
	if e.openDialog(ctx, k, p) {
		e.challenge(ctx, k, p, messageAnother)
	}
	return true
}

// knockAgain goes on with a login whose user says that the other prompt is gone: from
// the plan on, with a prompt of its own.
func (e *Engine) knockAgain(ctx context.Context, c *challenge) {
	var packets []waiter
	e.Pending.settle(ctx, c.w, func() verdict {
		packets = e.Pending.remove(c.w, mfa.Decision{})
		return verdict{end: goesOn}
	})
	if len(packets) > 0 {
		e.proceed(ctx, merge(packets, c), c.w.Identity, "", &c.w.Login)
	}
}

// cancel ends the login whose challenge p answers with what nobody typed: the user
// has closed the window. It reports false where there is no such login, or others
// wait for it.
func (e *Engine) cancel(ctx context.Context, p waiter) bool {
	c := e.Pending.takeAlone(p)
	if c == nil {
		return false
	}
	user, _ := e.Directory.User(ctx, c.w.User) // without an answer nothing is forgiven
	e.Pending.settle(ctx, c.w, func() verdict {
		return e.givenUp(c.w, mfa.ReasonAbandoned, user, "the answer to the challenge was no text: the user has cancelled")
	})
	return true
}

// takeAlone takes the challenge that p answers, where nobody else waits for its login.
func (t *Pending) takeAlone(p waiter) *challenge {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.find(p)
	if c == nil || c.answered || c.w.deciding || len(c.w.held) > 0 || len(c.w.challenges) > 1 || c.w.approved != nil {
		return nil
	}
	c.answered = true
	c.packets = append(c.packets, p)
	return c
}

// peers returns the table and the key under which w is counted: its user, or while
// a primary asks, who asks from where. The name is then what anybody can type: it
// must not take the places of its owner.
func (t *Pending) peers(w *pendingLogin) (table map[peer][]*pendingLogin, key peer) {
	if !w.asks {
		return t.users, peer{user: w.User.Key()}
	}
	return t.asked, peer{origin: w.origin()}
}

// origin tells apart where logins come from: by client, by whether the request was
// signed, and by the end-user field.
func (w *pendingLogin) origin() string {
	signed := "unsigned"
	if w.Signed {
		signed = "signed"
	}
	return w.Client + "\x00" + signed + "\x00" + w.EndUser
}

// places returns how many dialogs may be open beside w. Where nothing tells one
// user's origin from another's, all people of the client share what it may have.
func (t *Pending) places(w *pendingLogin) int {
	switch {
	case !w.asks:
		return maxDialogs
	case w.EndUser == "":
		return max(maxQuestions, t.MaxPerClient/2)
	}
	return maxQuestions
}

// openDialog registers w. The login that it returns, if any, has lost its place to
// w: it is the caller's to end.
func (t *Pending) openDialog(w *pendingLogin) (yields *pendingLogin, what opening) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.full(w) {
		return nil, overload
	}
	if !w.placeless {
		var ok bool
		if yields, ok = t.place(w); !ok {
			return nil, tooManyLogins
		}
	}
	t.Add(w)
	return yields, opened
}

// takePlace makes w a dialog after the code that came with its password was wrong;
// else it does nothing.
func (t *Pending) takePlace(w *pendingLogin) (yields *pendingLogin, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !w.placeless {
		return nil, true
	}
	yields, ok = t.place(w)
	w.placeless = !ok
	return yields, ok
}

// place reports whether there is a place for w, and which dialog gives way for it:
// the oldest from the same origin, so that somebody elsewhere who has the password
// pushes out themselves first; else the oldest. What rings and what is being
// examined never gives way. t.mu is held.
func (t *Pending) place(w *pendingLogin) (yields *pendingLogin, ok bool) {
	table, key := t.peers(w)
	open := 0
	for _, o := range table[key] {
		if o.Prompts() || o.placeless || o.yielded {
			continue
		}
		open++
		if !o.unanswered() {
			continue
		}
		if yields == nil || yields.origin() != w.origin() && o.origin() == w.origin() {
			yields = o
		}
	}
	if open < t.places(w) {
		return nil, true
	}
	if yields == nil {
		return nil, false
	}
	yields.yielded = true
	return yields, true
}

// unanswered reports whether a challenge of w is out and nothing waits for what
// becomes of an answer. Pending.mu is held.
func (w *pendingLogin) unanswered() bool {
	return !w.deciding && len(w.held) == 0 && len(w.challenges) > 0 &&
		!slices.ContainsFunc(w.challenges, func(c *challenge) bool { return c.answered })
}

// sameOrigin returns the open dialog of the same user, client and end-user field,
// which a new one of that origin replaces; nil without.
func (t *Pending) sameOrigin(w *pendingLogin) *pendingLogin {
	if w.Key == "" {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	table, key := t.peers(w)
	for _, o := range table[key] {
		if !o.Prompts() && o.Key == w.Key {
			return o
		}
	}
	return nil
}
