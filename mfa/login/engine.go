package login

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// Engine decides logins. It is immutable configuration: what lasts is in
// Pending, Limits and the store, so that a reload swaps engines and loses nothing.
type Engine struct {
	Pending     *Pending
	Limits      *Limits
	Refusals    *Refusals
	Directory   mfa.Directory
	Codes       mfa.CodeVerifier
	Bypasses    mfa.Bypasses             // nil: there are none
	Policy      mfa.Policy               // of all clients
	Lockout     Rule                     // wrong codes of one user
	Fatigue     Rule                     // denied or ignored prompts of one user
	PromptLimit Rule                     // all prompts of one user, however they end; For is not used, Max 0 is no bound
	Clients     map[string]*mfa.Client   // by name, for logins that were opened elsewhere or before a restart
	Watched     func(user mfa.Name) bool // a device of the user is connected here; nil: none is
	// NotMeBlocks: "this was not me" blocks the user, and not only push at the client.
	NotMeBlocks bool
}

// Authenticate is one login, top to bottom: the password, what policy decides,
// and how the second factor is asked for. It calls reply once, now or when a
// user has decided, from any goroutine. An answer to a challenge goes on
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
		e.refuse(ctx, p, mfa.UserOf(refused.Err, r.User), *refused)
	}
}

// proceed is a login from the plan on: the first factor was right. A login that
// questions came before, the primary's or ours, goes on as relayed.
func (e *Engine) proceed(ctx context.Context, p waiter, identity mfa.Identity, code string, relayed *Login) {
	p.identity = &identity
	r := p.Request
	l := e.login(r, &identity, "")
	if relayed != nil {
		l.ID, l.Started, l.Rounds, l.AskedGone = relayed.ID, relayed.Started, relayed.Rounds, relayed.AskedGone
	}
	user, err := e.Directory.User(ctx, identity.Name)
	if err != nil {
		e.refuse(ctx, p, identity.Name, mfa.Decision{LoginID: l.ID, Outcome: r.Client.OnMFAError, Reason: mfa.ReasonMFAError, Err: err})
		return
	}
	e.plan(ctx, p, &l, user, code)
	w := newPendingLogin(l, r.Client)
	w.code = code
	switch l.Plan {
	case mfa.PlanNone:
		if e.Pending.drained() { // as every other new login
			e.shed(ctx, w, p, overload)
			return
		}
		if !e.letIn(ctx, w, p, user) {
			e.proceed(ctx, p, identity, code, relayed)
		}
	case mfa.PlanOTP:
		if code != "" {
			e.examineAppended(ctx, w, p)
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
		e.end(ctx, w, p, mfa.Reject, l.Reason)
	}
}

// plan decides how the login of p goes on, whose first factor was right.
func (e *Engine) plan(ctx context.Context, p waiter, l *Login, user mfa.User, code string) {
	r := p.Request
	approved := e.remembered(ctx, l, r.Client, user)
	l.Plan, l.Reason, _ = mfa.Decide(r.Client, e.Facts(r, &FirstFactor{
		Identity: p.identity, User: user, Remembered: approved != nil, At: l.Opened,
		Appended: code != "", OwnCode: code != "" && e.Codes.HasForm(user.Name, code),
	}))
	if l.Reason == mfa.ReasonRemembered {
		l.Text = approved.text()
	}
	if err := r.Fits(p.identity); err != nil && l.Plan != mfa.PlanDeny {
		l.Plan, l.Reason, l.Text = mfa.PlanDeny, mfa.ReasonReplyTooLong, err.Error() // before the user is asked
	}
}

// login is a new login, which denies until it has a plan.
func (e *Engine) login(r *mfa.Request, identity *mfa.Identity, reason mfa.Reason) Login {
	now := time.Now()
	l := Login{
		OpenPrompt: mfa.OpenPrompt{
			ID: e.Pending.random.id(), Key: originKey(r, identity), Origin: r.Origin(identity.Name),
			Reason: reason, Started: r.Received, Opened: now,
		},
		Signed: r.Signed, Identity: *identity, Expires: now.Add(r.Client.ChallengeTTL),
	}
	l.Identity.MSCHAP = nil
	l.HideClient = !e.Policy.ShowApplicationName.Applies(identity.Groups)
	l.HidePlace = !e.Policy.ShowLocation.Applies(identity.Groups)
	return l
}

func newPendingLogin(l Login, c *mfa.Client) *pendingLogin {
	w := &pendingLogin{Login: l, client: c}
	if w.Prompts() {
		w.life, w.cancel = context.WithCancelCause(context.Background())
	}
	return w
}

// originKey is the key under which requests join a prompt and approvals are
// remembered. Only a signed request proves its end-user field, and only a present
// field tells two origins apart: without either it is empty. What a machine calls
// itself is never the address that another client vouches for.
func originKey(r *mfa.Request, identity *mfa.Identity) string {
	if !r.Signed || r.EndUser == "" {
		return ""
	}
	kind := "address"
	if r.Claimed() {
		kind = "name"
	}
	return strings.Join([]string{identity.Name.Key().String(), r.Client.Group, kind, r.EndUser}, "\x00")
}

// answer goes on with the login whose challenge the packet answers. A State that
// is not there never begins a login: its password is a passcode that must not
// reach a primary.
func (e *Engine) answer(ctx context.Context, p waiter) {
	text, ok := p.Cred.(mfa.Password)
	if u, _ := p.Cred.(mfa.Unsupported); u.NoText && e.Withdraw(ctx, p.Request, p.send) {
		return
	}
	if !ok {
		e.refuse(ctx, p, p.User, mfa.Decision{Reason: mfa.ReasonUnsupported, Err: fmt.Errorf("%w: a challenge is answered with PAP", mfa.ErrUnsupported)})
		return
	}
	c, again, err := e.Pending.answer(p, text)
	if c == nil && err == nil {
		brought, failed := e.fetch(ctx, p)
		if failed != nil {
			e.refuse(ctx, p, p.User, mfa.Decision{Outcome: p.Client.OnMFAError, Reason: mfa.ReasonMFAError, Err: failed})
			return
		}
		if brought {
			c, again, err = e.Pending.answer(p, text)
		}
		if brought && c != nil && e.Pending.ended(ctx, c.w) {
			return
		}
		if brought && c != nil && c.w.Prompts() {
			e.joins(ctx, c.w, nil)
		}
	}
	switch {
	case err != nil:
		e.refuse(ctx, p, p.User, mfa.Decision{Reason: mfa.ReasonReplyTooLong, Err: err})
	case c == nil:
		e.refuse(ctx, p, p.User, mfa.Decision{Reason: mfa.ReasonStateUnknown})
	case again, c.w.Prompts() && !e.bringsCode(c, text):
		// "OK", which now waits for the device, or the same answer again, which gets
		// the decision of the first.
		at, late := e.whenLate(c.w, p.Request)
		if e.Pending.awaitAnswer(c, p.Request, again, at, late) {
			e.approve(ctx, c.w)
		}
	case c.w.asksGone:
		e.afterOtherPrompt(ctx, c)
	case c.asks != nil:
		e.carryOn(ctx, c, p, text)
	default:
		e.examine(ctx, c, string(text))
	}
}

// refuse ends a request for which no login was opened. The user is told no more
// than everybody where d has no Message.
func (e *Engine) refuse(ctx context.Context, p waiter, user mfa.Name, d mfa.Decision) {
	if d.LoginID == "" {
		d.LoginID = e.Pending.random.id()
	}
	d.Outcome = d.Outcome.Denial()
	if d.Message == "" {
		d.Message = messageRejected
	}
	now := time.Now()
	err := e.Refusals.Record(ctx, mfa.Event{
		ID: d.LoginID, Time: now, Kind: mfa.EventLogin,
		Origin: p.Origin(user),
		Reason: d.Reason, Outcome: d.Outcome, Total: now.Sub(p.Received), Details: mfa.Details{Text: cmp.Or(p.UnsupportedText(d.Reason), npsText(d.Reason, user))},
	})
	d.Err = errors.Join(d.Err, err)
	p.reply(d)
}

// hasCodes reports whether a passcode can be the user's answer.
func hasCodes(user mfa.User) bool { return user.Codes > 0 || user.Pass }

// askCode opens a login that waits for a passcode.
func (e *Engine) askCode(ctx context.Context, w *pendingLogin, p waiter, user mfa.User) {
	if e.codesLocked(w, user) {
		e.end(ctx, w, p, mfa.Reject, mfa.ReasonCodesLocked)
		return
	}
	if e.openDialog(ctx, w, p) {
		e.challenge(ctx, w, p, true, nil)
	}
}

// codesLocked reports whether no code of the user is examined now.
func (e *Engine) codesLocked(w *pendingLogin, user mfa.User) bool {
	counted := e.Limits.codes.of(w.User.Key())
	return counted.Locked(w.Opened, user.Unblocked)
}

// openDialog opens a login that an answer decides, and reports whether it may.
func (e *Engine) openDialog(ctx context.Context, w *pendingLogin, p waiter) bool {
	_, what := e.Pending.join(ctx, w, p)
	if what != opened {
		e.shed(ctx, w, p, what)
	}
	return what == opened
}

// challenge answers p with a new State of w: codes says that a passcode can be the
// answer, and asks is the question of the primary, if it is one. Where no State is to
// be had, because the login has just ended or been approved, or too many are out, p
// waits for the device.
func (e *Engine) challenge(ctx context.Context, w *pendingLogin, p waiter, codes bool, asks *mfa.PrimaryChallenge) {
	if !e.Pending.challenge(w, p, codes, asks) {
		e.hold(ctx, w, p)
	}
}

// examineAppended examines the code that came with the password as if it
// answered a challenge.
func (e *Engine) examineAppended(ctx context.Context, w *pendingLogin, p waiter) {
	w.placeless = true
	if !e.openDialog(ctx, w, p) {
		return
	}
	if c := e.Pending.appended(w, p); c != nil {
		e.examine(ctx, c, w.code)
		return
	}
	e.hold(ctx, w, p) // it has just ended: the same origin signed in anew
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
		e.challenge(ctx, k, p, false, nil)
	}
	return true
}

// afterOtherPrompt goes on with a login whose user says that the other prompt is gone: from
// the plan on, with a prompt of its own.
func (e *Engine) afterOtherPrompt(ctx context.Context, c *challenge) {
	var packets []waiter
	e.Pending.settle(ctx, c.w, func(v view) verdict {
		packets = v.leave(nil)
		return verdict{end: goesOn}
	})
	if len(packets) > 0 {
		e.proceed(ctx, merge(packets, c), c.w.Identity, "", &c.w.Login)
	}
}

// wait lets p wait for the device: with a challenge where the login has a number
// that p can show, or a code that can be typed there, otherwise without an answer.
func (e *Engine) wait(ctx context.Context, w *pendingLogin, p waiter, user mfa.User) {
	if p.Dialog.Codes && (w.deviceCode != "" || w.Number != "" && p.Dialog.Number) {
		e.challenge(ctx, w, p, hasCodes(user), nil)
		return
	}
	e.hold(ctx, w, p)
}

// hold lets p wait for a device without an answer, and until its NAS is about to give
// up. An approval that came while no packet waited is for this one.
func (e *Engine) hold(ctx context.Context, w *pendingLogin, p waiter) {
	p.try.passed()
	at, late := e.whenLate(w, p.Request)
	if approved, _ := e.await(ctx, w, p, at, late); approved {
		e.approve(ctx, w)
	}
}

// await has p answered with the login, and reports whether it is, and whether a device
// has approved. A login that has ended in between gives it no answer: nothing joins
// after a decision.
func (e *Engine) await(ctx context.Context, w *pendingLogin, p waiter, at time.Time, late func()) (approved, ok bool) {
	approved, ok = e.Pending.await(w, p, at, late)
	if !ok {
		e.refuse(ctx, p, w.User, mfa.Decision{Outcome: mfa.Discard, Reason: mfa.ReasonPromptPending})
	}
	return approved, ok
}

// whenLate returns when a packet that waits for the device is to be answered without
// it, and how. The time is zero for a client whose NAS timeout is longer than its
// prompts live, which needs no timer.
func (e *Engine) whenLate(w *pendingLogin, r *mfa.Request) (at time.Time, late func()) {
	at = lastCall(r)
	if !w.Prompts() || at.IsZero() || at.After(w.Opened.Add(w.client.PushTimeout)) {
		return time.Time{}, nil
	}
	return at, func() {
		defer e.Pending.recovered(w)
		e.degrade(context.WithoutCancel(w.life), w, r)
	}
}

// amend shows a joined request on the devices.
func (e *Engine) amend(w *pendingLogin) {
	if w.client.Amender != nil {
		w.client.Amender.Amend(w.ID, w.shown(e.Pending.requests(w)))
	}
}

// end finishes a login that waits for no user.
func (e *Engine) end(ctx context.Context, w *pendingLogin, p waiter, o mfa.Outcome, reason mfa.Reason) {
	w.waiters = []waiter{p}
	e.Pending.settle(ctx, w, func(v view) verdict { return v.ends(o, reason) })
}

// letIn accepts a login that needs no second factor. It reports false, and answers
// nothing, where something has happened to the user that makes its plan another one.
func (e *Engine) letIn(ctx context.Context, w *pendingLogin, p waiter, user mfa.User) bool {
	w.waiters = []waiter{p}
	stands := true
	e.Pending.settle(ctx, w, func(v view) verdict {
		if v.err != nil {
			return v.fails(v.err)
		}
		if v.user.Version != user.Version {
			now := v.Login
			e.plan(ctx, p, &now, v.user, v.code)
			if stands = now.Plan == v.Plan && now.Reason == v.Reason; !stands {
				return verdict{end: goesOn}
			}
		}
		return v.ends(mfa.Accept, v.Reason)
	})
	return stands
}

// shed answers a request that may not open a login. Its event is one of its
// own: the login that is in its way goes on.
func (e *Engine) shed(ctx context.Context, w *pendingLogin, p waiter, what opening) {
	d := mfa.Decision{LoginID: w.ID}
	switch what {
	case promptPending, promptGivenUp:
		if e.askWhetherGone(ctx, w, p) {
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
	e.refuse(ctx, p, w.User, d)
}

// lastCallMargin is how long before its NAS gives up a waiting packet is answered:
// time for a commit and the way back.
const lastCallMargin = 400 * time.Millisecond

// lastCall is when a waiting packet must be answered, or the zero time where it is
// not known when its NAS gives up.
func lastCall(r *mfa.Request) time.Time {
	if r.GivesUp.IsZero() {
		return time.Time{}
	}
	return r.GivesUp.Add(-min(lastCallMargin, r.GivesUp.Sub(r.Received)/4))
}
