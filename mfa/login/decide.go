package login

import (
	"context"
	"crypto/subtle"
	"errors"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// settle has look decide a login, with its user as the directory has them now, or with
// why there is no answer: what may have changed while the user took their time counts.
// Without an answer nothing is forgiven, and no login is accepted.
func (e *Engine) settle(ctx context.Context, w *pendingLogin, look func(v view, user mfa.User, err error) verdict) {
	e.Pending.settle(ctx, w, func(v view) verdict {
		user, err := e.Directory.User(context.WithoutCancel(ctx), v.User)
		return look(v, user, err)
	})
}

// examine checks a passcode. The user's count goes up before the code is looked
// at, so that guesses in parallel are counted too.
func (e *Engine) examine(ctx context.Context, c *challenge, code string) {
	e.settle(ctx, c.w, func(v view, user mfa.User, err error) verdict {
		w, key := v.pendingLogin, v.User.Key()
		switch {
		case err != nil:
			return v.fails(err)
		case user.Blocked:
			return v.ends(mfa.Reject, mfa.ReasonUserBlocked)
		case !e.Limits.codes.take(key, v.now, user.Unblocked, e.Lockout):
			e.countFatigue(v, mfa.ReasonCodesLocked, user)
			return v.ends(mfa.Reject, mfa.ReasonCodesLocked)
		}
		if a := v.approval(); a != nil && w.isDeviceCode(mfa.Password(code)) {
			made := e.accept(ctx, v, user, a)
			if made.Outcome == mfa.Accept {
				made.event.WrongCodes = e.endsRow(w.User)
				e.Limits.codes.right(key, v.now)
			} else {
				e.Limits.codes.refund(key, v.now)
			}
			w.rightCode = c
			return made
		}
		err = e.verify(ctx, v, code)
		switch {
		case err == nil:
			e.Limits.codes.right(key, v.now)
			w.rightCode = c
			d := w.decide(mfa.Accept, w.Reason)
			d.Method = mfa.MethodOTP
			return verdict{Decision: d, end: committed}
		case !errors.Is(err, mfa.ErrRejected):
			e.Limits.codes.refund(key, v.now)
			return v.fails(err)
		}
		w.counts = &e.Limits.codes
		counted := e.Limits.codes.wrong(key, v.now, e.Lockout)
		if counted.Locked(v.now, user.Unblocked) {
			w.Wrong++
			e.countFatigue(v, mfa.ReasonCodesLocked, user)
			made := v.ends(mfa.Reject, mfa.ReasonCodesLocked)
			made.Err, made.event.WrongCodes = err, &counted
			return made
		}
		return e.wrongCode(v, c, user, err)
	})
}

// verify examines an answer as one of the user's own codes, and commits the
// accept event if it is right.
func (e *Engine) verify(ctx context.Context, v view, answer string) error {
	if v.deviceCode != "" && !e.Codes.HasForm(v.User, answer) {
		return mfa.ErrRejected // it can only have been the device's
	}
	ev := v.event(mfa.Accept, v.Reason, v.now)
	ev.WrongCodes = e.endsRow(v.User)
	return e.Codes.VerifyCode(context.WithoutCancel(ctx), v.User, answer, ev)
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
func (e *Engine) wrongCode(v view, c *challenge, user mfa.User, err error) verdict {
	w := v.pendingLogin
	w.Wrong++
	reason := mfa.ReasonWrongCode
	if errors.Is(err, mfa.ErrCodeUsed) {
		reason = mfa.ReasonCodeUsed
	}
	if w.Wrong >= maxWrongCodes || reason == mfa.ReasonCodeUsed || c.last {
		e.countFatigue(v, reason, user)
		made := v.ends(mfa.Reject, reason)
		made.Err = err
		return made
	}
	a := v.ask(hasCodes(user))
	a.Wrong = true
	return v.askAgain(c, a, nil)
}

// givenUp ends a login whose user no longer waits for it. A prompt counts, and is in the
// trail, as one that was not answered, so that giving up does not allow unlimited prompts;
// but the user may try again at once.
func (e *Engine) givenUp(v view, reason mfa.Reason, user mfa.User, text string) verdict {
	made := v.ends(mfa.Reject, reason)
	if v.Prompts() {
		made.event = v.promptEvent(mfa.Reject, mfa.ReasonPushNoResponse, mfa.Approval{}, v.now)
		e.countFatigue(v, made.event.Reason, user)
	}
	made.event.Text = text
	return made
}

// degrade answers one packet of a login that still waits for its device: with a
// challenge where that can be shown, so that the user may take longer than the
// NAS, or bring a passcode. Otherwise with a rejection, which is better than silence:
// a NAS that hears nothing takes the server for dead. The login ends with it if
// no other packet can be answered.
func (e *Engine) degrade(ctx context.Context, w *pendingLogin, r *mfa.Request) {
	e.settle(ctx, w, func(v view, user mfa.User, err error) verdict {
		if r.Dialog.Codes && err != nil {
			return v.fails(err)
		}
		return v.degrade(r, hasCodes(user))
	})
}

// pushGrace is how long a provider may take to see that its prompt is over.
// After it the login ends without it: packets must not wait forever.
const pushGrace = 3 * time.Second

var errStalled = errors.New("the push provider does not return")

// push is the goroutine of one prompt.
func (e *Engine) push(w *pendingLogin) {
	defer e.Pending.recovered(w)
	left := time.Until(w.Opened.Add(w.promptLife())) // it may be resumed
	ctx, cancel := context.WithTimeout(w.life, left)
	defer cancel()
	stalled := time.AfterFunc(left+pushGrace, func() {
		defer e.Pending.recovered(w)
		e.settle(w.life, w, func(v view, user mfa.User, _ error) verdict {
			return e.notApproved(w.life, v, user, mfa.Approval{}, errStalled)
		})
	})
	defer stalled.Stop()
	approval, err := w.client.Pusher.Push(ctx, w.prompt(e.Pending.requests(w), func(a mfa.Approval) { e.Pending.approved(w, a) }))
	if err == nil {
		e.Pending.approved(w, approval)
		e.approve(ctx, w)
		return
	}
	e.settle(ctx, w, func(v view, user mfa.User, _ error) verdict {
		return e.notApproved(ctx, v, user, approval, err)
	})
}

// approve ends a login that a device has approved: at once where a packet waits,
// otherwise when one comes in time. Where its code must be typed the login goes on
// until that expires.
func (e *Engine) approve(ctx context.Context, w *pendingLogin) {
	e.settle(ctx, w, func(v view, user mfa.User, err error) verdict {
		a := v.approval()
		if err != nil {
			return v.failsPrompt(err, *a)
		}
		made := e.accept(ctx, v, user, a)
		switch {
		case made.Outcome != mfa.Accept:
			return made
		case v.deviceCode != "":
			return v.askForCode(hasCodes(user))
		case !v.waits():
			return v.keep()
		}
		made.event.Packets = v.packets()
		return made
	})
}

// accept is the end of a login that device has approved, if nothing bars it by now.
func (e *Engine) accept(ctx context.Context, v view, user mfa.User, a *mfa.Approval) verdict {
	switch reason, err := e.barred(ctx, v.pendingLogin, user, a); {
	case err != nil:
		return v.failsPrompt(err, *a)
	case reason != "":
		made := v.endsPrompt(mfa.Reject, reason, *a)
		if reason == mfa.ReasonNoUsableMethod {
			made.event.Text = "approved by a device that is removed"
		}
		return made
	}
	return v.endsPrompt(mfa.Accept, v.Reason, *a)
}

// barred reads again, before an Accept, what may have changed while the user
// took their time, or the approval waited for a packet.
func (e *Engine) barred(ctx context.Context, w *pendingLogin, user mfa.User, a *mfa.Approval) (mfa.Reason, error) {
	switch {
	case user.Blocked:
		return mfa.ReasonUserBlocked, nil
	case user.PushBlockedIn(w.Group):
		return mfa.ReasonPushBlocked, nil
	case a.DeviceID == "": // of a provider whose devices are not ours
		return "", nil
	}
	err := e.Directory.Registered(context.WithoutCancel(ctx), a.DeviceID)
	if errors.Is(err, mfa.ErrRejected) {
		return mfa.ReasonNoUsableMethod, nil
	}
	return "", err
}

// notApproved ends a login whose prompt was denied, ran out, or could not be shown.
func (e *Engine) notApproved(ctx context.Context, v view, user mfa.User, a mfa.Approval, err error) verdict {
	d := v.decide(mfa.Reject, mfa.ReasonMFAError)
	d.Err = err
	switch {
	case errors.Is(err, mfa.ErrNotMe):
		d.Reason = mfa.ReasonNotMe
	case errors.Is(err, mfa.ErrWrongNumber):
		d.Reason = mfa.ReasonWrongNumber
	case errors.Is(err, mfa.ErrRejected):
		d.Reason = mfa.ReasonPushDenied
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		d.Reason = mfa.ReasonPushNoResponse
	default:
		d = v.noAnswer(err)
	}
	e.countFatigue(v, d.Reason, user)
	ev := v.promptEvent(d.Outcome, d.Reason, a, v.now)
	ev.BlocksUser = e.NotMeBlocks && d.Reason == mfa.ReasonNotMe
	if d.Reason == mfa.ReasonMFAError {
		ev.Text = "push: no answer was had"
	}
	return verdict{Decision: d, event: ev}
}

// countFatigue counts a prompt that nobody approved.
func (e *Engine) countFatigue(v view, reason mfa.Reason, user mfa.User) {
	if v.Prompts() && countsAsFatigue(reason) {
		e.Limits.fatigue.take(v.User.Key(), v.now, user.Unblocked, e.Fatigue)
		e.Limits.fatigue.settle(v.User.Key(), v.now, e.Fatigue)
	}
}

// bringsCode reports whether an answer is to be examined as a code: it has the
// form of one, or a device had approved and shows one. Everything else waits for the
// device.
func (e *Engine) bringsCode(c *challenge, answer mfa.Password) bool {
	if c.w.deviceCode != "" && (deviceCodeText(answer) != "" || c.approved) {
		return true
	}
	return e.Codes.HasForm(c.w.User, string(answer))
}

// Withdraw ends the pending login of the challenge that r answers, because its user
// gave up, and replies once, before it returns or from another goroutine. The State is
// bound to the user's name and the client's group as in every answer. It reports
// false, and does nothing, where there is no such login, or others wait for it.
func (e *Engine) Withdraw(ctx context.Context, r *mfa.Request, reply func(mfa.Decision)) bool {
	c := e.Pending.withdraw(waiter{Request: r, send: reply})
	if c == nil {
		return false
	}
	e.settle(ctx, c.w, func(v view, user mfa.User, _ error) verdict {
		return e.givenUp(v, mfa.ReasonCancelled, user, "the answer to the challenge was no text: the user has cancelled")
	})
	return true
}

// isDeviceCode reports whether the answer is the code that the device shows. Before a
// device has approved no code is right.
func (w *pendingLogin) isDeviceCode(answer mfa.Password) bool {
	same := subtle.ConstantTimeCompare([]byte(w.deviceCode), []byte(deviceCodeText(answer)))
	return w.deviceCode != "" && same == 1
}

// deviceCodeDigits is how many digits the code has that a device shows.
const deviceCodeDigits = 6

// deviceCodeText returns the digits of an answer that has the form of the device's
// code, or nothing.
func deviceCodeText(answer mfa.Password) string {
	s := strings.ReplaceAll(string(answer), " ", "")
	if len(s) != deviceCodeDigits || strings.Trim(s, "0123456789") != "" {
		return ""
	}
	return s
}
