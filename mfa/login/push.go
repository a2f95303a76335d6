package login

import (
	"context"
	"errors"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// askDeviceForCode opens a login whose device shows a code: number matching for a
// client that shows no text of ours. The user approves, the device shows a code, and
// the answer to the client's prompt must be that code. An approval by itself accepts no login.
// No device is asked while the user could not type that code.
func (e *Engine) askDeviceForCode(ctx context.Context, w *pendingLogin, p waiter, user mfa.User) {
	if e.codesLocked(w, user) {
		e.end(ctx, w, p, mfa.Reject, mfa.ReasonCodesLocked)
		return
	}
	w.deviceCode = e.Pending.newDeviceCode()
	e.askDevice(ctx, w, p, user)
}

// askDevice opens a prompt on the user's devices, or lets the packet join the
// one that is open for the same origin.
func (e *Engine) askDevice(ctx context.Context, w *pendingLogin, p waiter, user mfa.User) {
	if w.Plan == mfa.PlanNumber {
		w.Number = e.Pending.number()
	}
	w.Requests = []mfa.PromptRequest{p.ForPrompt()}
	o, what := e.Pending.open(w, p, p.Client.Join)
	if what == promptPending && e.clear(ctx, o, w) {
		o, what = e.Pending.open(w, p, p.Client.Join)
	}
	switch what {
	case opened:
		if e.limited(w, user) {
			if !e.join(ctx, w, p) {
				return
			}
			e.Pending.settle(ctx, w, func() verdict {
				return w.ends(mfa.Reject, mfa.ReasonPushLimited, time.Now())
			})
			return
		}
		e.Limits.sent.take(w.User.Key(), w.Opened, user.Unblocked, e.PromptLimit)
		// Deferred, so that an answer that panics leaves no login behind that has
		// no prompt to end it.
		defer func() { go e.push(w) }()
		e.wait(ctx, w, p, user)
	case joined:
		e.amend(o)
		e.wait(ctx, o, p, user)
	default:
		e.shed(ctx, w, p, what)
	}
}

// limited reads the limits again for a prompt that is to be sent: the one that was
// open when its plan was made, and that it would have joined, counts by now.
func (e *Engine) limited(w *pendingLogin, user mfa.User) bool {
	key := w.User.Key()
	return e.Limits.sent.full(key, w.Opened, user.Unblocked, e.PromptLimit) ||
		w.Reason != mfa.ReasonPushLimited && e.Limits.fatigue.Locked(key, w.Opened, user.Unblocked)
}

// clear ends the prompt that is in the way of w, from the same origin, which can no longer
// let anybody in: the user has dialled again, and what they approve must not
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

// wait lets p wait for the device: with a challenge where the login has a number
// that p can show, or a code that can be typed there, otherwise without an answer.
func (e *Engine) wait(ctx context.Context, w *pendingLogin, p waiter, user mfa.User) {
	if p.Dialog.Codes && (w.deviceCode != "" || w.Number != "" && p.Dialog.Number) {
		e.challenge(ctx, w, p, w.approveMessage(user.Codes > 0 || user.Pass))
		return
	}
	e.hold(ctx, w, p)
}

// hold lets p wait for a device without an answer.
func (e *Engine) hold(ctx context.Context, w *pendingLogin, p waiter) {
	p.try.passed()
	if e.join(ctx, w, p) {
		e.watch(w, p.Request)
		e.claim(ctx, w)
	}
}

// join has p answered with the login, and reports whether it is. One that has ended
// in between gives none: nothing joins after a decision.
func (e *Engine) join(ctx context.Context, w *pendingLogin, p waiter) bool {
	gone, ok := e.Pending.addWaiter(w, p)
	giveUp(gone)
	if !ok {
		p.reply(e.refuse(ctx, p.Request, w.User, mfa.Decision{Outcome: mfa.Discard, Reason: mfa.ReasonPromptPending}))
	}
	return ok
}

// claim is called after a packet began to wait: an approval that came while
// none did is for it. The second, packet or approval, sees the other.
func (e *Engine) claim(ctx context.Context, w *pendingLogin) {
	if e.Pending.approval(w) != nil {
		e.approve(ctx, w)
	}
}

// giveUp answers packets to which no answer can arrive, so that their
// caller can let them go.
func giveUp(packets []waiter) {
	for _, p := range packets {
		if p.timer != nil {
			p.timer.Stop()
		}
		p.reply(mfa.Decision{Outcome: mfa.Discard, Reason: mfa.ReasonSuperseded})
	}
}

// watch has a packet that waits for the device degraded before its NAS gives
// up. A client whose NAS timeout is longer than its prompts live needs no timer.
func (e *Engine) watch(w *pendingLogin, r *mfa.Request) {
	at := lastCall(r)
	if !w.Prompts() || at.IsZero() || at.After(w.Opened.Add(w.client.PushTimeout)) {
		return
	}
	e.Pending.arm(w, r, at, func() {
		defer e.Pending.recovered(w)
		e.degrade(context.WithoutCancel(w.life), w, r)
	})
}

// degrade answers one packet of a login that still waits for its device: with a
// challenge where that can be shown, so that the user may take longer than the
// NAS, or bring a passcode. Otherwise with a rejection, which is better than silence:
// a NAS that hears nothing takes the server for dead. The login ends with it if
// no other packet can be answered.
func (e *Engine) degrade(ctx context.Context, w *pendingLogin, r *mfa.Request) {
	e.Pending.settle(ctx, w, func() verdict {
		if r.Dialog.Codes {
			user, err := e.Directory.User(ctx, w.User)
			if err != nil {
				return w.fails(err, time.Now())
			}
			if p, state := e.Pending.swapForState(w, r); state != "" {
				p.reply(w.challenged(state, w.approveMessage(user.Codes > 0 || user.Pass)))
			}
			return verdict{end: goesOn}
		}
		p, last := e.Pending.dismiss(w, r)
		if last {
			return w.endsPrompt(mfa.Reject, mfa.ReasonNASTimeout, mfa.Approval{}, time.Now())
		}
		if p != nil {
			p.reply(w.decide(mfa.Reject, mfa.ReasonNASTimeout))
		}
		return verdict{end: goesOn}
	})
}

// amend shows a joined request on the devices.
func (e *Engine) amend(w *pendingLogin) {
	if w.client.Amender != nil {
		w.client.Amender.Amend(w.ID, w.shown(e.Pending.requests(w)))
	}
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
		e.Pending.settle(w.life, w, func() verdict {
			return e.notApproved(w.life, w, mfa.Approval{}, errStalled)
		})
	})
	defer stalled.Stop()
	approval, err := w.client.Pusher.Push(ctx, w.prompt(e.Pending.requests(w), func(a mfa.Approval) { e.Pending.noteApproval(w, a) }))
	if err == nil {
		e.Pending.noteApproval(w, approval)
		e.approve(ctx, w)
		return
	}
	e.Pending.settle(ctx, w, func() verdict {
		return e.notApproved(ctx, w, approval, err)
	})
}

// approve ends a login that a device has approved: at once where a packet
// waits, otherwise when one comes in time.
func (e *Engine) approve(ctx context.Context, w *pendingLogin) {
	e.Pending.settle(ctx, w, func() verdict {
		now := time.Now()
		v := e.accept(ctx, w, e.Pending.approval(w), now)
		switch {
		case v.Outcome != mfa.Accept:
			return v
		case w.deviceCode != "":
			return e.askForCode(w)
		case !e.Pending.waiting(w):
			e.Pending.keep(w, now)
			return verdict{end: goesOn}
		}
		v.event.Packets = e.Pending.packets(w)
		return v
	})
}

// accept is the end of a login that device has approved, if nothing bars it by now.
func (e *Engine) accept(ctx context.Context, w *pendingLogin, a *mfa.Approval, now time.Time) verdict {
	switch reason, err := e.barred(ctx, w, a); {
	case err != nil:
		d := w.noAnswer(err)
		return verdict{Decision: d, event: w.pushEvent(d.Outcome, d.Reason, *a, now)}
	case reason != "":
		v := w.endsPrompt(mfa.Reject, reason, *a, now)
		if reason == mfa.ReasonNoUsableMethod {
			v.event.Text = "approved by a device that is removed"
		}
		return v
	}
	return w.endsPrompt(mfa.Accept, w.Reason, *a, now)
}

// barred reads again, before an Accept, what may have changed while the user
// took their time, or the approval waited for a packet.
func (e *Engine) barred(ctx context.Context, w *pendingLogin, a *mfa.Approval) (mfa.Reason, error) {
	ctx = context.WithoutCancel(ctx)
	user, err := e.Directory.User(ctx, w.User)
	switch {
	case err != nil:
		return "", err
	case user.Blocked:
		return mfa.ReasonUserBlocked, nil
	case user.PushBlockedIn(w.Group):
		return mfa.ReasonPushBlocked, nil
	case a.DeviceID == "": // of a provider whose devices are not ours
		return "", nil
	}
	if err = e.Directory.Registered(ctx, a.DeviceID); errors.Is(err, mfa.ErrRejected) {
		return mfa.ReasonNoUsableMethod, nil
	}
	return "", err
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

// notApproved ends a login whose prompt was denied, ran out, or could not be shown.
func (e *Engine) notApproved(ctx context.Context, w *pendingLogin, a mfa.Approval, err error) verdict {
	now := time.Now()
	d := w.decide(mfa.Reject, mfa.ReasonMFAError)
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
		d = w.noAnswer(err)
	}
	// Without an answer of the directory nothing is forgiven.
	user, _ := e.Directory.User(context.WithoutCancel(ctx), w.User)
	e.countFatigue(w, d.Reason, user, now)
	ev := w.pushEvent(d.Outcome, d.Reason, a, now)
	ev.BlocksUser = e.NotMeBlocks && d.Reason == mfa.ReasonNotMe
	if d.Reason == mfa.ReasonMFAError {
		ev.Text = "push: no answer was had"
	}
	return verdict{Decision: d, event: ev}
}

// countFatigue counts a prompt that nobody approved.
func (e *Engine) countFatigue(w *pendingLogin, reason mfa.Reason, user mfa.User, now time.Time) {
	if w.Prompts() && countsAsFatigue(reason) {
		e.Limits.fatigue.take(w.User.Key(), now, user.Unblocked, e.Fatigue)
		e.Limits.fatigue.settle(w.User.Key(), now, e.Fatigue)
	}
}

// bringsCode reports whether an answer is to be examined as a code: it has the
// form of one, or a device has approved and shows one. Everything else waits for the
// device.
func (e *Engine) bringsCode(w *pendingLogin, answer mfa.Password) bool {
	if w.deviceCode != "" && (deviceCodeText(answer) != "" || e.Pending.approval(w) != nil) {
		return true
	}
	return e.Codes.HasForm(w.User, string(answer))
}
