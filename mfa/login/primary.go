package login

import (
	"context"
	"errors"
	"fmt"
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
			// Never to a primary: LDAP answers an empty password with a bind as nobody.
			return mfa.Identity{}, "", &mfa.Decision{Reason: mfa.ReasonEmptyPassword}
		}
	case mfa.MSCHAPv2, mfa.NoCredential:
	case mfa.Unsupported:
		return mfa.Identity{}, "", &mfa.Decision{Reason: mfa.ReasonUnsupported, Err: fmt.Errorf("%w: %s", mfa.ErrUnsupported, c.What)}
	default:
		return mfa.Identity{}, "", &mfa.Decision{Reason: mfa.ReasonUnsupported, Err: fmt.Errorf("%w: none sent", mfa.ErrUnsupported)}
	}
	if cred == (mfa.NoCredential{}) {
		identity, err = find(ctx, r)
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
	if f, ok := r.Client.Primary.(mfa.Forwarder); ok {
		return f.CheckForwarded(ctx, r.User, cred, r.Carrier)
	}
	return r.Client.Primary.Check(ctx, r.User, cred)
}

// bounded is the life of a question to the primary, which bounds itself too. One
// that hangs must leave time to say so before the NAS gives up.
func bounded(ctx context.Context, c *mfa.Client, r *mfa.Request) (context.Context, context.CancelFunc) {
	ctx = mfa.ForClient(ctx, c)
	if at := lastCall(r); c.HurryPrimary && !at.IsZero() {
		return context.WithDeadline(ctx, at)
	}
	return ctx, func() {}
}

// find is the first factor of a request without a password, which an RD Gateway
// has checked: the primary only says whose request it is. The intake lets such a
// request through only from a client that may send it, and signed; that is looked
// at again, because this is the one way in without a password.
func find(ctx context.Context, r *mfa.Request) (mfa.Identity, error) {
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
		// Somebody else may be at the door.
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
