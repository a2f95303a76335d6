package login

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	Bypasses    mfa.Bypasses // nil: there are none
	Policy      mfa.Policy   // of all clients
	Lockout     Rule         // wrong codes of one user
	Fatigue     Rule         // denied or ignored prompts of one user
	PromptLimit Rule         // all prompts of one user, however they end; For is not used, Max 0 is no bound
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
		plan, reason, l.Text = mfa.PlanDeny, mfa.ReasonReplyTooLong, err.Error() // before the user is asked
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
	err := e.Refusals.Record(context.WithoutCancel(ctx), mfa.Event{
		ID: d.LoginID, Time: now, Kind: mfa.EventLogin,
		Origin: p.Origin(user),
		Reason: d.Reason, Outcome: d.Outcome, Total: now.Sub(p.Received), Details: mfa.Details{Text: cmp.Or(p.UnsupportedText(d.Reason), npsText(d.Reason, user))},
	})
	d.Err = errors.Join(d.Err, err)
	p.reply(d)
}

// FirstFactor is what a right first factor tells of a login, beside its request.
type FirstFactor struct {
	Identity   *mfa.Identity
	User       mfa.User
	Appended   bool // a text that may be a passcode came with the password
	OwnCode    bool // it has the form of one of the user's codes
	Remembered bool // an approval from the same origin still counts
	At         time.Time
}

// Facts returns what the plan of a login is decided from. Of the request it reads
// Client, Cred, Dialog and Address. It is the one constructor of Facts: a login and
// `explain` call it, so that they agree.
func (e *Engine) Facts(r *mfa.Request, a *FirstFactor) *mfa.Facts {
	key := a.Identity.Name.Key()
	f := &mfa.Facts{
		Identity: a.Identity, User: a.User, Address: r.Address, Remembered: a.Remembered,
		Protocol: mfa.ProtocolOf(r.Cred), Dialog: r.Dialog, CarriesCode: r.Dialog.Codes || a.Appended, AppendedCode: a.OwnCode,
		NumberMatching: e.Policy.NumberMatching.Applies(a.Identity.Groups),
		PushLimited:    e.Limits.fatigue.Locked(key, a.At, a.User.Unblocked),
		// A request that joins a live prompt sends no new one.
		PromptLimited: e.Limits.sent.full(key, a.At, a.User.Unblocked, e.PromptLimit) && !e.Pending.hasPrompt(a.Identity.Name),
	}
	if e.Bypasses != nil {
		f.Bypasses = e.Bypasses.Bypasses()
	}
	return f
}
