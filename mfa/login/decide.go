package login

import (
	"context"
	"crypto/subtle"
	"errors"
	"strings"
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
	w.deviceCode = e.Pending.deviceCode(w.ID)
	e.askDevice(ctx, w, p, user)
}

// askDevice opens a prompt on the user's devices, or lets the packet join the
// one that is open for the same origin.
func (e *Engine) askDevice(ctx context.Context, w *pendingLogin, p waiter, user mfa.User) {
	if w.Plan == mfa.PlanNumber {
		w.Number = e.Pending.number(w.ID)
	}
	w.Requests, w.Until = []mfa.PromptRequest{p.ForPrompt()}, w.Opened.Add(w.promptLife())
	if e.Pending.Site != nil {
		w.Node = e.Pending.Site.Run()
	}
	for range maxAgain {
		if w = e.tryPrompt(ctx, w, p, user); w == nil {
			return
		}
	}
	e.refuse(ctx, p, user.Name, mfa.Decision{Outcome: p.Client.OnMFAError, Reason: mfa.ReasonMFAError, Err: mfa.ErrStale})
}

// tryPrompt opens or joins a prompt. It answers nothing, and returns what to try next, where
// another node was first: its prompt is to be joined, or is in the way.
func (e *Engine) tryPrompt(ctx context.Context, w *pendingLogin, p waiter, user mfa.User) (next *pendingLogin) {
	o, what := e.Pending.join(ctx, w, p)
	if what == promptGivenUp && e.clear(ctx, o) {
		o, what = e.Pending.join(ctx, w, p)
	}
	switch what {
	case opened:
		end, first := e.open(ctx, w)
		switch {
		case !first:
			e.Pending.drop(w, mfa.ReasonPromptPending)
			next = newPendingLogin(w.Login, w.client)
			next.deviceCode = w.deviceCode
			return next
		case end.ended:
			p.reply(w.decisionFor(p, end.d))
			return nil
		}
		// Deferred, so that an answer that panics leaves no login behind that has
		// no prompt to end it.
		defer func() { go e.push(w, true) }()
		e.wait(ctx, w, p, user)
	case joined:
		if end := e.joins(ctx, o, []mfa.PromptRequest{p.ForPrompt()}); end.ended || end.err != nil {
			e.refuse(ctx, p, w.User, mfa.Decision{Outcome: mfa.Discard, Reason: mfa.ReasonPromptPending, Err: end.err})
			return nil
		}
		e.amend(o)
		e.wait(ctx, o, p, user)
	case promptElsewhereOpen:
		if k := e.Pending.promptElsewhere(w.User); k != nil && !e.bringPrompt(*k) {
			e.shed(ctx, w, p, promptPending)
			return nil
		}
		return w
	default:
		e.shed(ctx, w, p, what)
	}
	return nil
}

// open writes a prompt down before the devices show it. It reads the limits and the blocks
// again: the prompt that was open when the plan was made, and that this one would have
// joined, counts by now. It is not the first where another node has opened one meanwhile.
func (e *Engine) open(ctx context.Context, w *pendingLogin) (end outcome, first bool) {
	first = true
	end = e.Pending.settle(ctx, w, func(v view) verdict {
		switch {
		case e.Pending.isSecond(w):
			first = false
			return verdict{end: goesOn}
		case v.err != nil:
			return v.fails(v.err)
		case v.user.Blocked:
			return v.ends(mfa.Reject, mfa.ReasonUserBlocked)
		case v.user.PushBlockedIn(v.Group):
			return v.ends(mfa.Reject, mfa.ReasonPushBlocked)
		case e.limited(w, v.user):
			return v.ends(mfa.Reject, mfa.ReasonPushLimited)
		}
		made := v.ends(mfa.Reject, v.Reason)
		made.end, made.event.Kind, made.event.Time = step, mfa.EventOpen, v.Opened
		made.event.Prompt = e.Pending.promptOf(w)
		return made
	})
	return end, first
}

// joins writes down that more requests wait for a prompt: nothing joins after a decision,
// wherever that was made. Where the node that notified the devices is dead, the entry says
// that this one notifies them once more: of several nodes, the one whose entry comes first.
func (e *Engine) joins(ctx context.Context, w *pendingLogin, requests []mfa.PromptRequest) outcome {
	gone := e.orphaned(ctx, w)
	return e.Pending.settle(ctx, w, func(v view) verdict {
		k := e.Pending.promptOf(w)
		takesOver := gone != "" && k.Node == gone
		if len(requests) == 0 && !takesOver {
			return verdict{end: goesOn}
		}
		made := v.ends(mfa.Reject, v.Reason)
		made.end, made.event.Kind = note, mfa.EventJoin
		made.event.Requests, made.event.Prompt = requests, k
		if takesOver {
			k.Node = e.Pending.Site.Run()
			made.then = func() func() {
				e.Pending.setNode(w, k.Node)
				e.notifyAgain(w)
				return nil
			}
		}
		return made
	})
}

// orphaned returns the run that notified the devices of w, where that is over.
func (e *Engine) orphaned(ctx context.Context, w *pendingLogin) string {
	if w.copied && w.Prompts() {
		if k := e.Pending.promptOf(w); k.Node != "" && k.Node != e.Pending.Site.Run() && e.Pending.Site.Gone(ctx, k.Node) {
			return k.Node
		}
	}
	return ""
}

// notifyAgain has the devices of a prompt of another node notified here, once. The holder of
// its turn calls it.
func (e *Engine) notifyAgain(w *pendingLogin) {
	select {
	case <-w.again:
		return
	default:
		close(w.again)
	}
	if !w.client.Resumes {
		go e.push(w, true) // the links of the other node are dead with it
	}
}

// limited reports whether the limits stop a prompt that is to be sent.
func (e *Engine) limited(w *pendingLogin, user mfa.User) bool {
	key := w.User.Key()
	return e.Limits.sent.full(key, w.Opened, user.Unblocked, e.PromptLimit) ||
		w.Reason != mfa.ReasonPushLimited && e.Limits.fatigue.Locked(key, w.Opened, user.Unblocked)
}

// clear ends the prompt that is in the way, from the same origin, and can no longer
// let anybody in: the user has dialled again, and what they approve must not
// be the request that is dead.
func (e *Engine) clear(ctx context.Context, w *pendingLogin) (cleared bool) {
	e.Pending.settle(ctx, w, func(v view) verdict {
		if !v.isDead() {
			return verdict{end: goesOn}
		}
		cleared = true
		return v.givenUp(mfa.ReasonSuperseded, "the client gave it up, and the user signed in anew")
	})
	return cleared
}

// examine checks a passcode. Whether it may be examined, what it uses up or how it counts
// stands and falls with the entry: of guesses in parallel each follows the one before.
func (e *Engine) examine(ctx context.Context, c *challenge, code string) {
	e.Pending.settle(ctx, c.w, func(v view) verdict {
		switch {
		case v.err != nil:
			return v.fails(v.err)
		case v.spent(c):
			return e.refuseSpent(ctx, v, c)
		case v.user.Blocked:
			return v.ends(mfa.Reject, mfa.ReasonUserBlocked)
		case !e.Limits.codes.examines(v.User.Key(), v.now, v.user.Unblocked, e.Lockout):
			return v.ends(mfa.Reject, mfa.ReasonCodesLocked)
		}
		if a := v.approval(); a != nil && v.isDeviceCode(mfa.Password(code)) {
			made := e.accept(ctx, v, a)
			if made.Outcome == mfa.Accept {
				made.event.WrongCodes = e.endsRow(v.User)
			}
			made.right = c
			made.event.Answer = e.Pending.answerMAC(c)
			return made
		}
		use, err := e.verify(ctx, v, code)
		switch {
		case err == nil:
			made := v.ends(mfa.Accept, v.Reason)
			made.Method, made.right = mfa.MethodOTP, c
			made.event.Take(use)
			made.event.Answer = e.Pending.answerMAC(c)
			made.event.WrongCodes = e.endsRow(v.User)
			return made
		case !errors.Is(err, mfa.ErrRejected):
			return v.fails(err)
		}
		return e.wrongCode(v, c, err)
	})
}

// verify examines an answer as one of the user's own codes.
func (e *Engine) verify(ctx context.Context, v view, answer string) (mfa.Use, error) {
	if v.deviceCode != "" && !e.Codes.HasForm(v.User, answer) {
		return mfa.Use{}, mfa.ErrRejected // it can only have been the device's
	}
	return e.Codes.CheckCode(context.WithoutCancel(ctx), v.User, answer)
}

// endsRow is what the event of a right code says where there is a row of wrong ones
// to end; nil where there is none.
func (e *Engine) endsRow(user mfa.Name) *mfa.WrongCodes {
	if e.Limits.codes.of(user.Key()).Row == 0 {
		return nil
	}
	return &mfa.WrongCodes{}
}

// wrongCode asks again, or ends the login after the third, or where the codes are locked
// with this one. A code that was accepted before ends it at once: no slip of the fingers
// types one, and the right next step is a new login with a new code.
func (e *Engine) wrongCode(v view, c *challenge, err error) verdict {
	counted := e.Limits.codes.wrong(v.User.Key(), v.now, v.user.Unblocked, e.Lockout)
	made := v.ends(mfa.Reject, mfa.ReasonWrongCode)
	switch tries := v.Wrong + 1; {
	case counted.Locked(v.now, v.user.Unblocked):
		made = v.ends(mfa.Reject, mfa.ReasonCodesLocked)
	case errors.Is(err, mfa.ErrCodeUsed):
		made = v.ends(mfa.Reject, mfa.ReasonCodeUsed)
	case tries < maxWrongCodes && !c.last:
		made.end, made.event.Kind = step, mfa.EventTry
		made.then = func() func() {
			v.setWrong(tries)
			a := v.ask(hasCodes(v.user))
			a.Wrong = true
			return v.askAgain(c, a, nil)
		}
	}
	made.Err, made.event.Tries, made.event.WrongCodes = err, v.Wrong+1, &counted
	return made
}

// givenUp ends a login whose user no longer waits for it. A prompt counts, and is in the
// trail, as one that was not answered, so that giving up does not allow unlimited prompts;
// but the user may try again at once.
func (v view) givenUp(reason mfa.Reason, text string) verdict {
	made := v.ends(mfa.Reject, reason)
	if v.Prompts() {
		made.event = v.promptEvent(mfa.Reject, mfa.ReasonPushNoResponse, mfa.Approval{}, v.now)
		made.event.GivenUp = true
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
	e.Pending.settle(ctx, w, func(v view) verdict {
		if r.Dialog.Codes && v.err != nil {
			return v.fails(v.err)
		}
		return v.degrade(r, hasCodes(v.user))
	})
}

// pushGrace is how long a provider may take to see that its prompt is over.
// After it the login ends without it: packets must not wait forever.
const pushGrace = 3 * time.Second

var errStalled = errors.New("the push provider does not return")

// push is the goroutine of one prompt. notifies: its devices have not been notified, or by a
// node that is dead.
func (e *Engine) push(w *pendingLogin, notifies bool) {
	defer e.Pending.recovered(w)
	left := time.Until(w.Opened.Add(w.promptLife())) // it may be resumed
	ctx, cancel := context.WithTimeout(w.life, left)
	defer cancel()
	ends := !w.copied || notifies // a copy that is only shown ends where it was opened
	if ends {
		stalled := time.AfterFunc(left+pushGrace, func() {
			defer e.Pending.recovered(w)
			e.Pending.settle(w.life, w, func(v view) verdict {
				return e.notApproved(w.life, v, mfa.Approval{}, errStalled)
			})
		})
		defer stalled.Stop()
	}
	prompt := w.prompt(e.Pending.requests(w), func(a mfa.Approval) { e.Pending.approved(w, a) })
	prompt.Resumed = !notifies
	approval, err := w.client.Pusher.Push(ctx, prompt)
	switch {
	case err == nil:
		e.Pending.approved(w, approval)
		e.approve(ctx, w)
	case ends || errors.Is(err, mfa.ErrRejected):
		e.Pending.settle(ctx, w, func(v view) verdict {
			return e.notApproved(ctx, v, approval, err)
		})
	}
}

// approve ends a login that a device has approved: at once where a packet waits,
// otherwise when one comes in time. Where its code must be typed the login goes on
// until that expires.
func (e *Engine) approve(ctx context.Context, w *pendingLogin) {
	e.Pending.settle(ctx, w, func(v view) verdict {
		a := v.approval()
		if v.err != nil {
			return v.failsPrompt(v.err, *a)
		}
		made := e.accept(ctx, v, a)
		switch {
		case made.Outcome != mfa.Accept:
			return made
		case v.deviceCode != "":
			return v.askForCode(hasCodes(v.user))
		case !v.waits():
			return v.keeps()
		}
		made.event.Packets = v.packets()
		return made
	})
}

// accept is the end of a login that device has approved, if nothing bars it by now.
func (e *Engine) accept(ctx context.Context, v view, a *mfa.Approval) verdict {
	switch reason, err := e.barred(ctx, v.pendingLogin, v.user, a); {
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
func (e *Engine) notApproved(ctx context.Context, v view, a mfa.Approval, err error) verdict {
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
	ev := v.promptEvent(d.Outcome, d.Reason, a, v.now)
	ev.BlocksUser = e.NotMeBlocks && d.Reason == mfa.ReasonNotMe
	if d.Reason == mfa.ReasonMFAError {
		ev.Text = "push: no answer was had"
	}
	return verdict{Decision: d, event: ev}
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
	e.Pending.settle(ctx, c.w, func(v view) verdict {
		return v.givenUp(mfa.ReasonCancelled, "the answer to the challenge was no text: the user has cancelled")
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
