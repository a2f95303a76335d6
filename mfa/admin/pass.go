package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/otp"
)

// Passes are the Temporary Access Passes. They are listed, and removed, as tokens are.
type Passes interface {
	// ReplacePass registers a pass in the place of the user's old one.
	ReplacePass(ctx context.Context, t otp.Token, ev mfa.Event) error
}

// PassOptions describe a pass that is to be issued.
type PassOptions struct {
	Lifetime time.Duration // from now
	Once     bool          // good for one login
}

// Uses says for how many logins the pass is good.
func (o PassOptions) Uses() string {
	if o.Once {
		return "one login"
	}
	return "any number of logins"
}

// Check says what is wrong with the options, or with the name of the user.
func (o PassOptions) Check(user mfa.Name) error {
	_, _, err := o.pass(user)
	return err
}

func (o PassOptions) pass(user mfa.Name) (otp.Token, string, error) {
	t, shown, err := otp.NewPass(user, time.Now(), o.Lifetime, o.Once)
	if err == nil {
		err = t.Validate()
	}
	return t, shown, err
}

// IssuePass issues a pass in the place of the user's old one, and returns it with what
// the user types, which is kept nowhere.
func (a *Admin) IssuePass(ctx context.Context, by Actor, user mfa.Name, o PassOptions) (t otp.Token, shown string, err error) {
	if t, shown, err = o.pass(user); err != nil {
		return otp.Token{}, "", err
	}
	ev, err := by.event(user, fmt.Sprintf("pass %s issued for %s, valid for %v", t.ID, o.Uses(), o.Lifetime))
	if err == nil {
		err = a.Store.ReplacePass(ctx, t, ev)
	}
	if err != nil {
		return otp.Token{}, "", err
	}
	return t, shown, nil
}

// ListPasses returns the pass of a user, or those of everybody for the zero Name,
// without what they keep secret.
func (a *Admin) ListPasses(ctx context.Context, user mfa.Name) ([]otp.Token, error) {
	tokens, err := a.Store.ListTokens(ctx, user)
	return slices.DeleteFunc(tokens, func(t otp.Token) bool { return t.Kind != otp.Pass }), err
}

// ErrNoPass means that a user has no pass.
var ErrNoPass = errors.New("has no pass")

// RevokePass removes the pass of a user. ErrNoPass where there is none.
func (a *Admin) RevokePass(ctx context.Context, by Actor, user mfa.Name) error {
	passes, err := a.ListPasses(ctx, user)
	if err != nil {
		return err
	}
	if len(passes) == 0 {
		return fmt.Errorf("%q %w", user, ErrNoPass)
	}
	ev, err := by.event(user, fmt.Sprintf("pass %s revoked", passes[0].ID))
	if err != nil {
		return err
	}
	return a.Store.RemoveToken(ctx, user, passes[0].ID, ev)
}
