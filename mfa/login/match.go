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
// ours: the user approves, the device shows a code, and who types that code
// into the client's prompt gets in. An approval by itself lets in nobody.

// matchDigits is how many digits the code has.
const deviceCodeDigits = 6

// askDeviceForCode opens a login whose device shows a code. It rings at no device
// while the user could not type that code.
func (e *Engine) askDeviceForCode(ctx context.Context, w *pendingLogin, p waiter, user mfa.User) {
	if e.codesLocked(w, user) {
		e.end(ctx, w, p, mfa.Reject, mfa.ReasonCodesLocked)
		return
	}
	w.deviceCode = e.Pending.newDeviceCode()
	e.askDevice(ctx, w, p, user)
}

// matches reports whether the user must show that the device and the sign-in
// belong together, by a number or a code.
func (w *pendingLogin) matches() bool { return w.Number != "" || w.deviceCode != "" }

// promptLife is how long the devices ring. A code that could not be typed any more
// is not worth a ring.
func (w *pendingLogin) promptLife() time.Duration {
	if w.deviceCode == "" {
		return w.client.PushTimeout
	}
	return min(w.client.PushTimeout, w.Expires.Sub(w.Opened))
}

// bringsCode reports whether an answer is to be examined as a code: it has the
// form of one, or a device has approved and shows one. All else waits for the
// device.
func (e *Engine) bringsCode(w *pendingLogin, answer mfa.Password) bool {
	if w.deviceCode != "" && (deviceCodeText(answer) != "" || e.Pending.approval(w) != nil) {
		return true
	}
	return e.Codes.HasForm(w.User, string(answer))
}

// deviceCodeText returns the digits of an answer that has the form of the device's
// code, else nothing.
func deviceCodeText(answer mfa.Password) string {
	s := strings.ReplaceAll(string(answer), " ", "")
	if len(s) != deviceCodeDigits || strings.Trim(s, "0123456789") != "" {
		return ""
	}
	return s
}

// checkDeviceCode returns the approval of the device that shows this code, or nil. Before
// a device has approved no code is right.
func (t *Pending) checkDeviceCode(w *pendingLogin, answer mfa.Password) *mfa.Approval {
	same := subtle.ConstantTimeCompare([]byte(w.deviceCode), []byte(deviceCodeText(answer)))
	a := t.approval(w)
	if w.deviceCode == "" || a == nil || same != 1 {
		return nil
	}
	return a
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

// askForCode is what an approval leads to where its code must be typed: answers
// that waited for the device are asked again, and the login goes on until the
// code expires.
func (e *Engine) askForCode(w *pendingLogin) verdict {
	for _, c := range e.Pending.awaitingDevice(w) {
		packets, state := e.Pending.replace(c, nil)
		for _, p := range packets {
			p.reply(w.challenged(state, messageDeviceCode))
		}
	}
	e.Pending.keepUntil(w, w.Expires)
	return verdict{end: goesOn}
}

// awaitDevice notes that an answer is no code and waits for the device.
func (t *Pending) awaitDevice(c *challenge) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.awaitsDevice = true
}

// awaitingDevice returns the challenges whose answers wait for the device.
func (t *Pending) awaitingDevice(w *pendingLogin) []*challenge {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.challenges), func(c *challenge) bool { return !c.awaitsDevice })
}
