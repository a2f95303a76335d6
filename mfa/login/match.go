package login

import (
	"context"
	"crypto/subtle"
	"github.com/radmatch/radmatch/mfa"
	"slices"
	"strings"
	"time"
)

// The code from the device is number matching for a client that shows no text of
// ours: the person approves, the device shows a code, and who types that code
// into the client's prompt gets in. An approval by itself lets in nobody.

// matchDigits is how many digits the code has.
const matchDigits = 6

// askDeviceForCode opens a login whose device shows a code. It rings at no device
// while the person could not type that code.
func (e *Engine) askDeviceForCode(ctx context.Context, w *wait, p packet, user mfa.User) {
	if e.codesLocked(w, user) {
		e.end(ctx, w, p, mfa.Reject, mfa.ReasonCodesLocked)
		return
	}
	w.match = e.Pending.matchCode()
	e.askDevice(ctx, w, p, user)
}

// matches reports whether the person must show that the device and the sign-in
// belong together, by a number or a code.
func (w *wait) matches() bool { return w.Number != "" || w.match != "" }

// ringsFor is how long the devices ring. A code that could not be typed any more
// is not worth a ring.
func (w *wait) ringsFor() time.Duration {
	if w.match == "" {
		return w.client.PushTimeout
	}
	return min(w.client.PushTimeout, w.Expires.Sub(w.Opened))
}

// bringsCode reports whether an answer is to be examined as a code: it has the
// form of one, or a device has approved and shows one. All else waits for the
// device.
func (e *Engine) bringsCode(w *wait, answer mfa.Password) bool {
	if w.match != "" && (matchText(answer) != "" || e.Pending.approval(w) != nil) {
		return true
	}
	return e.Codes.HasForm(w.User, string(answer))
}

// matchText returns the digits of an answer that has the form of the device's
// code, else nothing.
func matchText(answer mfa.Password) string {
	s := strings.ReplaceAll(string(answer), " ", "")
	if len(s) != matchDigits || strings.Trim(s, "0123456789") != "" {
		return ""
	}
	return s
}

// matched returns the approval of the device that shows this code, or nil. Before
// a device has approved no code is right.
func (t *Pending) matched(w *wait, answer mfa.Password) *mfa.Approval {
	same := subtle.ConstantTimeCompare([]byte(w.match), []byte(matchText(answer)))
	a := t.approval(w)
	if w.match == "" || a == nil || same != 1 {
		return nil
	}
	return a
}

// verify examines an answer as one of the user's own codes, and commits the
// accept event if it is right.
func (e *Engine) verify(ctx context.Context, w *wait, answer string, now time.Time) error {
	if w.match != "" && !e.Codes.HasForm(w.User, answer) {
		return mfa.ErrRejected // it can only have been the device's
	}
	ev := w.event(mfa.Accept, w.Reason, now)
	ev.WrongCodes = e.endsRow(w.User)
	return e.Codes.VerifyCode(context.WithoutCancel(ctx), w.User, answer, ev)
}

// askForCode is what an approval leads to where its code must be typed: answers
// that waited for the device are asked again, and the login goes on until the
// code expires.
func (e *Engine) askForCode(w *wait) (mfa.Decision, mfa.Event, ending) {
	for _, c := range e.Pending.parked(w) {
		packets, state := e.Pending.replace(c, nil)
		for _, p := range packets {
			p.reply(w.challenged(state, messageDeviceCode))
		}
	}
	e.Pending.keepUntil(w, w.Expires)
	return mfa.Decision{}, mfa.Event{}, goesOn
}

// park notes that an answer is no code and waits for the device.
func (t *Pending) park(c *challenge) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.parked = true
}

// parked returns the challenges whose answers wait for the device.
func (t *Pending) parked(w *wait) []*challenge {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.challenges), func(c *challenge) bool { return !c.parked })
}
