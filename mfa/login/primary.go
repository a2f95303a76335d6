package login

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/radmatch/radmatch/mfa"
)

// primary checks the first factor, and returns the passcode that came with it. A
// refusal that is not nil ends the login.
func (e *Engine) primary(ctx context.Context, p *waiter) (identity mfa.Identity, code string, refused *mfa.Decision) {
	r := p.Request
	ctx, cancel := bounded(ctx, r.Client, r)
	defer cancel()
	if p := mfa.ProtocolOf(r.Cred); p != "" && !r.Client.Takes(p) {
		return mfa.Identity{}, "", &mfa.Decision{Reason: mfa.ReasonUnsupported, Err: fmt.Errorf("%w: %s is not taken from this client", mfa.ErrUnsupported, p)}
	}
	var err error
	if p.try, err = e.Limits.try(ctx, r); err != nil {
		return mfa.Identity{}, "", e.refusal(r, err)
	}
	cred, code, err := e.part(ctx, r)
	if err != nil {
		return mfa.Identity{}, "", e.refusal(r, err)
	}
	switch c := cred.(type) {
	case mfa.Password:
		if c == "" {
			// Never to a primary: LDAP answers an empty password with an anonymous bind.
			return mfa.Identity{}, "", &mfa.Decision{Reason: mfa.ReasonEmptyPassword}
		}
	case mfa.MSCHAPv2, mfa.NoCredential:
	case mfa.Unsupported:
		return mfa.Identity{}, "", &mfa.Decision{Reason: mfa.ReasonUnsupported, Err: fmt.Errorf("%w: %s", mfa.ErrUnsupported, c.What)}
	default:
		return mfa.Identity{}, "", &mfa.Decision{Reason: mfa.ReasonUnsupported, Err: fmt.Errorf("%w: none sent", mfa.ErrUnsupported)}
	}
	if cred == (mfa.NoCredential{}) {
		identity, err = findUser(ctx, r)
	} else {
		identity, err = check(ctx, r, cred)
	}
	if err = p.try.verdict(ctx, &identity, err); err == nil && !identity.Name.IsZero() {
		identity.Attributes = r.Client.Reply(&identity)
		return identity, code, nil
	}
	return mfa.Identity{}, code, e.refusal(r, err)
}

// check asks the primary whether the credential is the user's.
func check(ctx context.Context, r *mfa.Request, cred mfa.Credential) (mfa.Identity, error) {
	if f := r.Client.Forwarder; f != nil {
		return f.CheckForwarded(ctx, r.User, cred, r.Carrier)
	}
	return r.Client.Primary.Check(ctx, r.User, cred)
}

// findUser is the first factor of a request without a password, which an RD Gateway
// has checked: the primary only says whose request it is. The intake lets such a
// request through only from a client that may send it, and signed; that is looked
// at again, because this is the one way in without a password.
func findUser(ctx context.Context, r *mfa.Request) (mfa.Identity, error) {
	if !r.Client.NoPassword || !r.Signed || r.Client.Finder == nil {
		return mfa.Identity{}, fmt.Errorf("%w: none sent", mfa.ErrUnsupported)
	}
	identity, err := r.Client.Finder.Find(ctx, r.User)
	var account *mfa.AccountError
	if errors.Is(err, mfa.ErrRejected) && !errors.As(err, &account) {
		err = &mfa.AccountError{Reason: mfa.ReasonUnknownUser, Err: err}
	}
	return identity, err
}

// bounded is the life of a question to the primary, which bounds itself too. One
// that hangs must leave time to say so before the NAS gives up.
func bounded(ctx context.Context, c *mfa.Client, r *mfa.Request) (context.Context, context.CancelFunc) {
	ctx = mfa.ForClient(ctx, c)
	if at := lastCall(r); !c.FromMemory && !at.IsZero() {
		return context.WithDeadline(ctx, at)
	}
	return ctx, func() {}
}

// refusal is what a primary's error leads to. None is an Identity without a name.
func (e *Engine) refusal(r *mfa.Request, err error) *mfa.Decision {
	var asks *mfa.PrimaryChallenge
	var skipped *unexamined
	switch {
	case err == nil:
		return &mfa.Decision{Reason: mfa.ReasonInternalError, Err: errors.New("the primary accepted a user without a name")}
	case errors.As(err, &skipped):
		return &mfa.Decision{Reason: mfa.ReasonTooManyAttempts, Err: err, Delay: skipped.delay}
	case errors.Is(err, mfa.ErrRejected):
		// Someone else may be using this account.
		e.Pending.memory.forget(r.User.Key())
		e.Pending.memory.forget(mfa.UserOf(err, r.User).Key())
		reason, message := rejection(err)
		return &mfa.Decision{Reason: reason, Message: message, Err: err}
	case errors.Is(err, mfa.ErrUnsupported):
		return &mfa.Decision{Reason: mfa.ReasonUnsupported, Err: err}
	case errors.As(err, &asks):
		return &mfa.Decision{Reason: mfa.ReasonPrimaryChallenge, Err: err}
	}
	return &mfa.Decision{Outcome: r.Client.OnPrimaryError, Reason: mfa.ReasonPrimaryError, Err: err}
}

// maxRelayed is how many questions of a primary one login may answer.
const maxRelayed = 8

// relay shows the user what the primary asks, where the refusal is such a
// question and the client can show it. The login is then opened under the name
// that was typed: who it is, the primary has yet to say.
func (e *Engine) relay(ctx context.Context, p waiter, code string, refused *mfa.Decision) bool {
	var asks *mfa.PrimaryChallenge
	if !errors.As(refused.Err, &asks) || p.Client.Continuer == nil || !p.Dialog.Codes {
		return false
	}
	w := newPendingLogin(e.login(p.Request, &mfa.Identity{Name: p.User}, mfa.ReasonPrimaryChallenge), p.Client)
	w.code, w.asks = code, true
	if e.openDialog(ctx, w, p) {
		e.challenge(ctx, w, p, false, asks)
	}
	return true
}

// carryOn brings the answer to the primary that asked, whose verdict goes on
// exactly as the first one would have. No turn is held meanwhile: anyone who ends the
// login first wins.
func (e *Engine) carryOn(ctx context.Context, c *challenge, p waiter, answer mfa.Password) {
	w := c.w
	returned := false
	defer func() {
		if !returned { // a panic, which goes on
			e.Pending.settle(ctx, w, func(v view) verdict {
				return v.conclude(&mfa.Decision{Reason: mfa.ReasonInternalError})
			})
		}
	}()
	defer func() { p.try.end(mfa.Reject) }()
	identity, err := e.continued(ctx, w, &p, c.asks, answer)
	returned = true
	var packets []waiter
	e.Pending.settle(ctx, w, func(v view) verdict {
		w.Rounds++
		var asks *mfa.PrimaryChallenge
		switch {
		case !v.waitsOn(c): // the NAS gave the answer up
			return v.conclude(&mfa.Decision{Reason: mfa.ReasonAbandoned})
		case err == nil && !identity.Name.IsZero():
			packets = v.leave(nil) // it goes on as the login of whom the primary named
			return verdict{end: goesOn}
		case errors.As(err, &asks) && w.Rounds < maxRelayed:
			return verdict{end: goesOn, then: func() func() {
				defer p.try.passed()
				return v.askAgain(c, mfa.Ask{}, asks)
			}}
		}
		d := e.refusal(p.Request, err)
		d.Delay = max(d.Delay, p.try.end(d.Outcome))
		return v.conclude(d)
	})
	if len(packets) > 0 {
		all := merge(packets, c)
		all.try = p.try
		e.proceed(ctx, all, identity, w.code, &w.Login)
	}
}

func (e *Engine) continued(ctx context.Context, w *pendingLogin, p *waiter, asks *mfa.PrimaryChallenge, answer mfa.Password) (identity mfa.Identity, err error) {
	ctx, cancel := bounded(ctx, w.client, p.Request)
	defer cancel()
	if p.try, err = e.Limits.try(ctx, p.Request); err != nil {
		return mfa.Identity{}, err
	}
	identity, err = w.client.Continuer.Continue(ctx, w.User, asks, answer, p.Carrier)
	if err = p.try.verdict(ctx, &identity, err); err == nil {
		identity.Attributes = w.client.Reply(&identity)
	}
	return identity, err
}

// conclude ends an opened login with what the primary's error leads to.
func (v view) conclude(refused *mfa.Decision) verdict {
	d := *refused
	d.LoginID, d.Outcome = v.ID, d.Outcome.Denial()
	if d.Message == "" {
		d.Message = messageRejected
	}
	ev := v.event(d.Outcome, d.Reason, v.now)
	ev.User = mfa.UserOf(refused.Err, v.User)
	return verdict{Decision: d, event: ev}
}

// merge makes one packet of those that brought the same answer under several
// identifiers. It stays known by the State that it answered: the answer may come
// once more while the user looks for the phone.
func merge(packets []waiter, c *challenge) waiter {
	p := packets[len(packets)-1]
	p.answered = c
	p.send = func(d mfa.Decision) {
		for _, q := range packets {
			q.reply(d)
		}
	}
	return p
}

// staticPrefix begins what OpenVPN makes of a password and the answer to its
// static challenge: SCRV1:base64(password):base64(answer).
const staticPrefix = "SCRV1:"

var errStaticForm = errors.New("malformed SCRV1")

// part splits what came as a password into the password, which is all that may reach
// the primary, and the passcode, which never does; code is empty where none came.
//
// The one split is made before the primary is asked and is never tried anew, so
// that one login is one bind and counts once in a directory's lockout. What
// decides it is whether the tail has the form of one of the user's codes: the
// password of someone without one is touched only where it ends in the delimiter
// and "push".
func (e *Engine) part(ctx context.Context, r *mfa.Request) (cred mfa.Credential, code string, err error) {
	typed, ok := r.Cred.(mfa.Password)
	if !ok {
		return r.Cred, "", nil
	}
	if r.Client.StaticChallenge && strings.HasPrefix(string(typed), staticPrefix) {
		password, answer, err := parseStatic(string(typed))
		if err != nil {
			return mfa.Unsupported{What: err.Error()}, "", nil // its passcode must not reach the primary
		}
		if strings.EqualFold(answer, mfa.AppendedPush) {
			answer = ""
		}
		return mfa.Password(password), answer, nil
	}
	var user *mfa.Name // whose codes these may be, once known
	for password, tail := range r.Client.Splits(string(typed)) {
		if strings.EqualFold(tail, mfa.AppendedPush) {
			return mfa.Password(password), "", nil
		}
		if user == nil {
			name, err := codeOwner(ctx, r)
			if err != nil {
				return nil, "", err
			}
			user = &name
		}
		if e.Codes.HasForm(*user, tail) {
			return mfa.Password(password), tail, nil
		}
	}
	return typed, "", nil
}

// parseStatic reads the answer to OpenVPN's static challenge. Each octet must be
// as OpenVPN writes it.
func parseStatic(s string) (password, answer string, err error) {
	first, second, ok := strings.Cut(strings.TrimPrefix(s, staticPrefix), ":")
	if !ok {
		return "", "", errStaticForm
	}
	if password, ok = parseBase64(first); !ok {
		return "", "", errStaticForm
	}
	if answer, ok = parseBase64(second); !ok {
		return "", "", errStaticForm
	}
	return password, answer, nil
}

// parseBase64 reads text that is UTF-8 without NUL.
func parseBase64(s string) (string, bool) {
	b, err := base64.StdEncoding.DecodeString(s)
	// The decoder skips line ends and is lax about the last bits.
	if err != nil || base64.StdEncoding.EncodeToString(b) != s {
		return "", false
	}
	return string(b), utf8.Valid(b) && !strings.Contains(string(b), "\x00")
}

// codeOwner is the name under which the codes of the request's user are
// registered, as far as it is known before the password is checked. A wrong
// guess is not accepted: the code is examined as the code of whom the primary names.
func codeOwner(ctx context.Context, r *mfa.Request) (mfa.Name, error) {
	switch {
	case r.Client.Namer != nil:
		return r.Client.Namer.CanonicalName(r.User), nil
	case r.Client.Finder == nil:
		return r.User, nil
	}
	identity, err := r.Client.Finder.Find(ctx, r.User)
	switch {
	case err == nil:
		return identity.Name, nil
	case errors.Is(err, mfa.ErrRejected), errors.Is(err, mfa.ErrUnsupported):
		return r.User, nil // Check will say no
	}
	return mfa.Name{}, err
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
