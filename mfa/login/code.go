package login

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// askCode opens a login that waits for a passcode.
func (e *Engine) askCode(ctx context.Context, w *pendingLogin, p waiter, user mfa.User) {
	if e.codesLocked(w, user) {
		e.end(ctx, w, p, mfa.Reject, mfa.ReasonCodesLocked)
		return
	}
	if e.openDialog(ctx, w, p) {
		e.challenge(ctx, w, p, messageEnterCode)
	}
}

// codesLocked reports whether no code of the user is examined now.
func (e *Engine) codesLocked(w *pendingLogin, user mfa.User) bool {
	counted := e.Limits.codes.of(w.User.Key())
	return counted.Locked(w.Opened, user.Unblocked)
}

// openDialog opens a login that an answer decides, and reports whether it may. A
// dialog whose window was closed stays open until challenge_ttl, because nothing
// tells so: the newest goes on, and the oldest unanswered one ends.
func (e *Engine) openDialog(ctx context.Context, w *pendingLogin, p waiter) bool {
	// The user dialled again: the dialog of the first login is gone.
	e.supersede(ctx, e.Pending.sameOrigin(w))
	yields, what := e.Pending.addDialog(w)
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

// challenge answers p with a new State of w. Where none is to be had, because
// the login has just ended or been approved, or too many are out, p waits for the device.
func (e *Engine) challenge(ctx context.Context, w *pendingLogin, p waiter, message string) {
	if state := e.Pending.newState(w, p); state != "" {
		p.reply(w.challenged(state, message))
		return
	}
	e.hold(ctx, w, p)
}

// examineAppended examines the code that came with the password as if it
// answered a challenge.
func (e *Engine) examineAppended(ctx context.Context, w *pendingLogin, p waiter, code string) {
	w.placeless = true
	if !e.openDialog(ctx, w, p) {
		return
	}
	if c := e.Pending.answered(w, p, code); c != nil {
		e.examine(ctx, c, code)
		return
	}
	e.hold(ctx, w, p) // it has just ended: the same origin signed in anew
}

// examine checks a passcode. The user's count goes up before the code is looked
// at, so that guesses in parallel are counted too.
func (e *Engine) examine(ctx context.Context, c *challenge, code string) {
	w := c.w
	e.Pending.settle(ctx, w, func() verdict {
		now := time.Now()
		key := w.User.Key()
		user, err := e.Directory.User(context.WithoutCancel(ctx), w.User)
		switch {
		case err != nil:
			return w.fails(err, now)
		case user.Blocked:
			return w.ends(mfa.Reject, mfa.ReasonUserBlocked, now)
		case !e.Limits.codes.take(key, now, user.Unblocked, e.Lockout):
			e.countFatigue(w, mfa.ReasonCodesLocked, user, now)
			return w.ends(mfa.Reject, mfa.ReasonCodesLocked, now)
		}
		if a := e.Pending.checkDeviceCode(w, mfa.Password(code)); a != nil {
			v := e.accept(ctx, w, a, now)
			if v.Outcome == mfa.Accept {
				v.event.WrongCodes = e.endsRow(w.User)
				e.Limits.codes.right(key, now)
			} else {
				e.Limits.codes.refund(key, now)
			}
			w.rightCode = c
			return v
		}
		err = e.verify(ctx, w, code, now)
		switch {
		case err == nil:
			e.Limits.codes.right(key, now)
			w.rightCode = c
			return verdict{Decision: w.decide(mfa.Accept, w.Reason), end: committed}
		case !errors.Is(err, mfa.ErrRejected):
			e.Limits.codes.refund(key, now)
			return w.fails(err, now)
		}
		w.counts = &e.Limits.codes
		counted := e.Limits.codes.wrong(key, now, e.Lockout)
		if counted.Locked(now, user.Unblocked) {
			w.Wrong++
			e.countFatigue(w, mfa.ReasonCodesLocked, user, now)
			v := w.ends(mfa.Reject, mfa.ReasonCodesLocked, now)
			v.Err, v.event.WrongCodes = err, &counted
			return v
		}
		return e.wrongCode(c, user, err, now)
	})
}

// verify examines an answer as one of the user's own codes, and commits the
// accept event if it is right.
func (e *Engine) verify(ctx context.Context, w *pendingLogin, answer string, now time.Time) error {
	if w.deviceCode != "" && !e.Codes.HasForm(w.User, answer) {
		return mfa.ErrRejected // it can only have been the device's
	}
	ev := w.event(mfa.Accept, w.Reason, now)
	ev.WrongCodes = e.endsRow(w.User)
	return e.Codes.VerifyCode(context.WithoutCancel(ctx), w.User, answer, ev)
}

// endsRow is what the event of a right code says where there is a row of wrong ones
// to end; nil where there is none.
func (e *Engine) endsRow(user mfa.Name) *mfa.WrongCodes {
	if e.Limits.codes.of(user.Key()).Row == 0 {
		return nil
	}
	return &mfa.WrongCodes{}
}

// wrongCode asks again, or ends the login after the third. A code that was
// accepted before ends it at once: no slip of the fingers types one, and the
// right next step is a new login with a new code.
func (e *Engine) wrongCode(c *challenge, user mfa.User, err error, now time.Time) verdict {
	w := c.w
	w.Wrong++
	reason := mfa.ReasonWrongCode
	if errors.Is(err, mfa.ErrCodeUsed) {
		reason = mfa.ReasonCodeUsed
	}
	if w.Wrong >= maxWrongCodes || reason == mfa.ReasonCodeUsed || c.last {
		e.countFatigue(w, reason, user, now)
		v := w.ends(mfa.Reject, reason, now)
		v.Err = err
		return v
	}
	message := messageWrongCode
	switch {
	case w.Number != "":
		message = fmt.Sprintf(messageNumberWrong, w.Number)
	case w.deviceCode != "":
		message = messageDeviceBad
	case w.Prompts():
		message = messageApproveBad
	}
	yields, ok := e.Pending.takePlace(w)
	if !ok {
		return w.ends(mfa.Reject, mfa.ReasonTooManyLogins, now)
	}
	e.supersede(context.Background(), yields)
	packets, state := e.Pending.replace(c, nil)
	for _, p := range packets {
		p.reply(w.challenged(state, message))
	}
	return verdict{end: goesOn}
}

// cancel ends the login whose challenge p answers with no text: the user
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

// givenUp ends a login whose user no longer waits for it. A prompt counts, and is in the
// trail, as one that was not answered, so that giving up does not allow unlimited prompts;
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

// maxAskedGone is how often one login may ask whether the prompt in its way is gone.
const maxAskedGone = 8

// askWhetherGone says at an unsigned client that another prompt of the user is open: it may be
// that of a window that was closed, and to join it the request would have to be
// signed. It reports false where the client can show no challenge. A signed request
// hears nothing, as its NAS may send it again under other identifiers.
func (e *Engine) askWhetherGone(ctx context.Context, w *pendingLogin, p waiter) bool {
	if p.Signed || !p.Dialog.Codes || w.AskedGone >= maxAskedGone {
		return false
	}
	l := w.Login
	l.Plan, l.Reason, l.Number, l.Requests = mfa.PlanDeny, mfa.ReasonPromptPending, "", nil
	l.AskedGone++
	k := newPendingLogin(l, p.Client)
	k.asksGone = true
	if e.openDialog(ctx, k, p) {
		e.challenge(ctx, k, p, messageAnother)
	}
	return true
}

// afterOtherPrompt goes on with a login whose user says that the other prompt is gone: from
// the plan on, with a prompt of its own.
func (e *Engine) afterOtherPrompt(ctx context.Context, c *challenge) {
	var packets []waiter
	e.Pending.settle(ctx, c.w, func() verdict {
		packets = e.Pending.remove(c.w, mfa.Decision{})
		return verdict{end: goesOn}
	})
	if len(packets) > 0 {
		e.proceed(ctx, merge(packets, c), c.w.Identity, "", &c.w.Login)
	}
}
