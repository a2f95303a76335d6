package mfa

import (
	"context"
	"errors"
	"fmt"
)

// primary checks the first factor, and returns the passcode that came with it. A
// refusal that is not nil ends the login.
func (e *Engine) primary(ctx context.Context, p *packet) (identity Identity, code string, refused *Decision) {
	r := p.Request
	ctx, cancel := r.Client.bounded(ctx, r)
	defer cancel()
	if what := r.Client.refuses(r.Cred); what != "" {
		return Identity{}, "", &Decision{Reason: ReasonUnsupported, Err: fmt.Errorf("%w: %s is not taken from this client", ErrUnsupported, what)}
	}
	var err error
	if p.try, err = e.Limits.try(ctx, r); err != nil {
		return Identity{}, "", e.refusal(r, err)
	}
	cred, code, err := e.part(ctx, r)
	if err != nil {
		return Identity{}, "", e.refusal(r, err)
	}
	switch c := cred.(type) {
	case Password:
		if c == "" {
			// Never to a primary: LDAP answers an empty password with a bind as nobody.
			return Identity{}, "", &Decision{Reason: ReasonEmptyPassword}
		}
	case MSCHAPv2, NoCredential:
	case Unsupported:
		return Identity{}, "", &Decision{Reason: ReasonUnsupported, Err: fmt.Errorf("%w: %s", ErrUnsupported, c.What)}
	default:
		return Identity{}, "", &Decision{Reason: ReasonUnsupported, Err: fmt.Errorf("%w: none sent", ErrUnsupported)}
	}
	if cred == (NoCredential{}) {
		identity, err = find(ctx, r)
	} else {
		identity, err = r.Client.Primary.Check(ctx, r.User, cred)
	}
	if err = p.try.verdict(ctx, &identity, err); err == nil && !identity.Name.IsZero() {
		identity.Attributes = r.Client.Reply(&identity)
		return identity, code, nil
	}
	return Identity{}, code, e.refusal(r, err)
}

// clientKey finds the client in the context of a question to the primary.
type clientKey struct{}

// ForClient returns the context of a question for a login at c. What bounds
// questions is shared by name, so that no client takes all of it.
func ForClient(ctx context.Context, c *Client) context.Context {
	return context.WithValue(ctx, clientKey{}, c)
}

// ClientOf returns the name of the client whose part a question with ctx takes,
// empty where it is for none.
func ClientOf(ctx context.Context) string {
	if c, ok := ctx.Value(clientKey{}).(*Client); ok {
		return c.share()
	}
	return ""
}

// bounded is the life of a question to the primary, which bounds itself too. One
// that hangs must leave time to say so before the NAS gives up.
func (c *Client) bounded(ctx context.Context, r *Request) (context.Context, context.CancelFunc) {
	ctx = ForClient(ctx, c)
	if at := r.lastCall(); c.HurryPrimary && !at.IsZero() {
		return context.WithDeadline(ctx, at)
	}
	return ctx, func() {}
}

// find is the first factor of a request without a password, which an RD Gateway
// has checked: the primary only says whose request it is. The intake lets such a
// request through only from a client that may send it, and signed; that is looked
// at again, because this is the one way in without a password.
func find(ctx context.Context, r *Request) (Identity, error) {
	if !r.Client.NoPassword || !r.Signed || r.Client.Finder == nil {
		return Identity{}, fmt.Errorf("%w: none sent", ErrUnsupported)
	}
	identity, err := r.Client.Finder.Find(ctx, r.User)
	var account *AccountError
	if errors.Is(err, ErrRejected) && !errors.As(err, &account) {
		err = &AccountError{Reason: ReasonUnknownUser, Err: err}
	}
	return identity, err
}

// refusal is what a primary's error leads to. None is an Identity without a name.
func (e *Engine) refusal(r *Request, err error) *Decision {
	var asks *PrimaryChallenge
	var skipped *unexamined
	switch {
	case err == nil:
		return &Decision{Reason: ReasonInternalError, Err: errors.New("the primary accepted a user without a name")}
	case errors.As(err, &skipped):
		return &Decision{Reason: ReasonTooManyAttempts, Err: err, Delay: skipped.delay}
	case errors.Is(err, ErrRejected):
		// Somebody else may be at the door.
		e.Pending.memory.forget(r.User.Key())
		e.Pending.memory.forget(whose(err, r.User).Key())
		reason, message := rejection(err)
		return &Decision{Reason: reason, Message: message, Err: err}
	case errors.Is(err, ErrUnsupported):
		return &Decision{Reason: ReasonUnsupported, Err: err}
	case errors.As(err, &asks):
		return &Decision{Reason: ReasonPrimaryChallenge, Err: err}
	}
	return &Decision{Outcome: r.Client.OnPrimaryError, Reason: ReasonPrimaryError, Err: err}
}
