package login

import (
	"context"
	"errors"
	"fmt"
	"github.com/radmatch/radmatch/mfa"
	"time"
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

// endsRow is what the event of a right code says where there is a row of wrong ones
// to end; nil where there is none.
func (e *Engine) endsRow(user mfa.Name) *mfa.WrongCodes {
	if e.Limits.codes.of(user.Key()).Row == 0 {
		return nil
	}
	return &mfa.WrongCodes{}
}

// codesLocked reports whether no code of the user is examined now.
func (e *Engine) codesLocked(w *pendingLogin, user mfa.User) bool {
	counted := e.Limits.codes.of(w.User.Key())
	return counted.Locked(w.Opened, user.Unblocked)
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
			w.typed = c
			return v
		}
		err = e.verify(ctx, w, code, now)
		switch {
		case err == nil:
			e.Limits.codes.right(key, now)
			w.typed = c
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
