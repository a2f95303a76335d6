package login

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"github.com/radmatch/radmatch/mfa"
	"time"
)

// Engine decides logins. It is immutable configuration: what lasts is in
// Pending, Limits and the store, so that a reload swaps engines and loses nothing.
type Engine struct {
	Pending     *Pending
	Limits      *Limits
	Refusals    *Refusals
	Directory   mfa.Directory
	Codes       mfa.CodeVerifier
	Bypasses    mfa.Bypasses // nil: there are none
	Lockout     Rule         // wrong codes of one user
	Fatigue     Rule         // denied or ignored prompts of one user
	PromptLimit Rule         // all prompts of one user, however they end; For is not used, Max 0 is no bound
	// NotMeBlocks: "this was not me" blocks the user, and not only push at the client.
	NotMeBlocks bool
}

// Authenticate is one login, top to bottom: the password, what policy decides,
// and how the second factor is asked for. It calls reply once, now or when a
// person has decided, from any goroutine. An answer to a challenge goes on
// where its login waits.
func (e *Engine) Authenticate(ctx context.Context, r *mfa.Request, reply func(mfa.Decision)) {
	p := waiter{Request: r, send: reply}
	if r.State != "" {
		e.answer(ctx, p)
		return
	}
	defer func() { p.try.end(mfa.Reject) }() // a panic is no free guess
	identity, code, refused := e.primary(ctx, &p)
	switch {
	case refused == nil:
		e.proceed(ctx, p, identity, code, nil)
	case !e.relay(ctx, p, code, refused):
		p.reply(e.refuse(ctx, r, mfa.UserOf(refused.Err, r.User), *refused))
	}
}

// proceed is a login from the plan on: the first factor was right. A login that
// questions came before, the primary's or ours, goes on as relayed.
func (e *Engine) proceed(ctx context.Context, p waiter, identity mfa.Identity, code string, relayed *Login) {
	p.identity = &identity
	r := p.Request
	l := e.login(r, &identity, "")
	if relayed != nil {
		l.ID, l.Started, l.Rounds, l.Knocks = relayed.ID, relayed.Started, relayed.Rounds, relayed.Knocks
	}
	user, err := e.Directory.User(ctx, identity.Name)
	if err != nil {
		p.reply(e.refuse(ctx, r, identity.Name, mfa.Decision{LoginID: l.ID, Outcome: r.Client.OnMFAError, Reason: mfa.ReasonMFAError, Err: err}))
		return
	}
	approved := e.remembered(ctx, r, &identity, user, l.Opened)
	plan, reason, _ := mfa.Decide(r.Client, e.Facts(r, &FirstFactor{
		Identity: &identity, User: user, Remembered: approved != nil, At: l.Opened,
		Appended: code != "", OwnCode: code != "" && e.Codes.HasForm(user.Name, code),
	}))
	l.Plan, l.Reason = plan, reason
	if reason == mfa.ReasonRemembered {
		l.Text = approved.text()
	}
	if err := r.Fits(&identity); err != nil && plan != mfa.PlanDeny {
		plan, reason, l.Text = mfa.PlanDeny, mfa.ReasonReplyTooLong, err.Error() // before anybody is asked
		l.Plan, l.Reason = plan, reason
	}
	w := newPendingLogin(l, r.Client)
	switch plan {
	case mfa.PlanNone:
		if e.Pending.drained() { // as every other new login
			e.shed(ctx, w, p, overload)
			return
		}
		e.end(ctx, w, p, mfa.Accept, reason)
	case mfa.PlanOTP:
		if code != "" {
			e.examineAppended(ctx, w, p, code)
		} else {
			e.askCode(ctx, w, p, user)
		}
	case mfa.PlanPush, mfa.PlanNumber:
		if relayed == nil && e.repeat(ctx, w, p, user) {
			return
		}
		e.askDevice(ctx, w, p, user)
	case mfa.PlanCode:
		e.askDeviceForCode(ctx, w, p, user)
	default:
		e.end(ctx, w, p, mfa.Reject, reason)
	}
}

// refuse ends a request for which no login was opened. The user is told no more
// than everybody where d has no Message.
func (e *Engine) refuse(ctx context.Context, r *mfa.Request, user mfa.Name, d mfa.Decision) mfa.Decision {
	if d.LoginID == "" {
		d.LoginID = e.Pending.id()
	}
	d.Outcome = d.Outcome.Denial()
	if d.Message == "" {
		d.Message = messageRejected
	}
	now := time.Now()
	err := e.Refusals.Record(context.WithoutCancel(ctx), mfa.Event{
		ID: d.LoginID, Time: now, Kind: mfa.EventLogin,
		Origin: r.Origin(user),
		Reason: d.Reason, Outcome: d.Outcome, Total: now.Sub(r.Received), Details: mfa.Details{Text: cmp.Or(r.UnsupportedText(d.Reason), npsText(d.Reason, user))},
	})
	d.Err = errors.Join(d.Err, err)
	return d
}

// login is a new login, which denies until it has a plan.
func (e *Engine) login(r *mfa.Request, identity *mfa.Identity, reason mfa.Reason) Login {
	now := time.Now()
	l := Login{
		OpenPrompt: mfa.OpenPrompt{
			ID: e.Pending.id(), Key: originKey(r, identity), Origin: r.Origin(identity.Name),
			Reason: reason, Started: r.Received, Opened: now,
		},
		Signed: r.Signed, Identity: *identity, Expires: now.Add(r.Client.ChallengeTTL),
	}
	l.Identity.MSCHAP = nil
	l.HideClient = !r.Client.ShowApplicationName.Applies(identity.Groups)
	l.HidePlace = !r.Client.ShowLocation.Applies(identity.Groups)
	return l
}

// end finishes a login that waits for nobody.
func (e *Engine) end(ctx context.Context, w *pendingLogin, p waiter, o mfa.Outcome, reason mfa.Reason) {
	w.held = []waiter{p}
	e.Pending.settle(ctx, w, func() verdict {
		return w.ends(o, reason, time.Now())
	})
}

// challenge answers p with a new State of w. Where none is to be had, because
// the login has just ended or been approved, or too many are out, p is held.
func (e *Engine) challenge(ctx context.Context, w *pendingLogin, p waiter, message string) {
	if state := e.Pending.challenge(w, p); state != "" {
		p.reply(w.challenged(state, message))
		return
	}
	e.hold(ctx, w, p)
}

// shed answers a request that may not open a login. Its event is one of its
// own: the login that is in its way goes on.
func (e *Engine) shed(ctx context.Context, w *pendingLogin, p waiter, what opening) {
	d := mfa.Decision{LoginID: w.ID}
	switch what {
	case promptPending:
		if e.knock(ctx, w, p) {
			return
		}
		d.Reason = mfa.ReasonPromptPending
		if p.Signed {
			d.Outcome = mfa.Discard
		}
	case recentlyDenied:
		d.Reason = mfa.ReasonRecentlyDenied
	case tooManyLogins:
		d.Reason = mfa.ReasonTooManyLogins
	default:
		d.Outcome, d.Reason = mfa.Discard, mfa.ReasonOverload
	}
	p.reply(e.refuse(ctx, p.Request, w.User, d))
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

// limited reads the limits again for a prompt that is to ring: the one that was
// open when its plan was made, and that it would have joined, counts by now.
func (e *Engine) limited(w *pendingLogin, user mfa.User) bool {
	key := w.User.Key()
	return e.Limits.sent.full(key, w.Opened, user.Unblocked, e.PromptLimit) ||
		w.Reason != mfa.ReasonPushLimited && e.Limits.fatigue.Locked(key, w.Opened, user.Unblocked)
}

// wait lets p wait for the device: with a challenge where the login has a number
// that p can show, or a code that can be typed there, else held without an answer.
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
	gone, ok := e.Pending.hold(w, p)
	giveUp(gone)
	if !ok {
		p.reply(e.refuse(ctx, p.Request, w.User, mfa.Decision{Outcome: mfa.Discard, Reason: mfa.ReasonPromptPending}))
	}
	return ok
}

// claim is called after a packet began to wait: an approval that came while
// none did is for it. Whoever comes second, packet or approval, sees the other.
func (e *Engine) claim(ctx context.Context, w *pendingLogin) {
	if e.Pending.approval(w) != nil {
		e.approve(ctx, w)
	}
}

// giveUp answers packets to which no answer can arrive, so that whoever counts
// them is rid of them.
func giveUp(packets []waiter) {
	for _, p := range packets {
		if p.timer != nil {
			p.timer.Stop()
		}
		p.reply(mfa.Decision{Outcome: mfa.Discard, Reason: mfa.ReasonSuperseded})
	}
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
// waits, else when one comes in time.
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

// answer goes on with the login whose challenge the packet answers. A State
// that is not there is never a first attempt: its password is a passcode that
// must not reach a primary.
func (e *Engine) answer(ctx context.Context, p waiter) {
	text, ok := p.Cred.(mfa.Password)
	if u, _ := p.Cred.(mfa.Unsupported); u.NoText && e.cancel(ctx, p) {
		return
	}
	if !ok {
		p.reply(e.refuse(ctx, p.Request, p.User, mfa.Decision{Reason: mfa.ReasonUnsupported, Err: fmt.Errorf("%w: a challenge is answered with PAP", mfa.ErrUnsupported)}))
		return
	}
	if err := p.Fits(e.Pending.promised(p.State)); err != nil { // with more Proxy-State than the packet before it
		p.reply(e.refuse(ctx, p.Request, p.User, mfa.Decision{Reason: mfa.ReasonReplyTooLong, Err: err}))
		return
	}
	c, gone, waits := e.Pending.answer(p, text)
	giveUp(gone)
	switch {
	case c == nil:
		p.reply(e.refuse(ctx, p.Request, p.User, mfa.Decision{Reason: mfa.ReasonStateUnknown}))
	case waits, c.w.Prompts() && !e.bringsCode(c.w, text):
		// "OK", which now waits for the device, or the same answer again, which gets
		// the decision of the first.
		if !waits {
			e.Pending.awaitDevice(c)
		}
		e.watch(c.w, p.Request)
		e.claim(ctx, c.w)
	case c.w.knocks:
		e.knockAgain(ctx, c)
	case c.asks != nil:
		e.carryOn(ctx, c, p, text)
	default:
		e.examine(ctx, c, string(text))
	}
}
