package admin

import (
	"context"
	"fmt"
	"strings"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/otp"
)

// Users are the users whom the store knows.
type Users interface {
	// User returns the zero User with the given name for one that is not known.
	User(ctx context.Context, user mfa.Name) (mfa.User, error)
	// SetBlocked blocks a user, or lifts every block of the user, be it one of an
	// administrator or of the user's "this was not me", and forgets wrong codes.
	SetBlocked(ctx context.Context, user mfa.Name, blocked bool, ev mfa.Event) error
	SetDefaultMethod(ctx context.Context, user mfa.Name, m mfa.Method, ev mfa.Event) error
	// Users returns the names of all who have a method or a block, or had one.
	Users(ctx context.Context) ([]mfa.Name, error)
}

// MaxReason bounds the reason of a block, in characters, and group and reason of a
// bypass, in octets.
const MaxReason = 200

// textBlocked begins the event of a block; its reason may follow.
const textBlocked = "user blocked"

// CheckReason returns an Invalid for what cannot be the reason of a block. None is
// needed.
func CheckReason(reason string) error {
	if reason != text.Printable(reason, MaxReason) {
		return &Invalid{"reason", fmt.Sprintf("must be at most %d characters that print, on one line", MaxReason)}
	}
	return nil
}

// Block lets a user in no longer, whatever password and code are typed.
func (a *Admin) Block(ctx context.Context, by Actor, user mfa.Name, reason string) error {
	if err := CheckReason(reason); err != nil {
		return err
	}
	change := textBlocked
	if reason != "" {
		change += ": " + reason
	}
	ev, err := by.event(user, change)
	if err != nil {
		return err
	}
	return a.Store.SetBlocked(ctx, user, true, ev)
}

// Unblock lifts all that keeps a user out. The server forgets wrong codes and denials
// from before when it sees the change.
func (a *Admin) Unblock(ctx context.Context, by Actor, user mfa.Name) error {
	u, err := a.Store.User(ctx, user)
	if err != nil {
		return err
	}
	change := "user unblocked"
	if len(u.PushBlocked) > 0 {
		change += ", push allowed again at " + strings.Join(u.PushBlocked, ", ")
	}
	ev, err := by.event(user, change)
	if err != nil {
		return err
	}
	return a.Store.SetBlocked(ctx, user, false, ev)
}

// CheckDefault says what is wrong with a default method for a user: an Invalid where
// it is the method.
func CheckDefault(user mfa.Name, m mfa.Method) error {
	if m != mfa.MethodPush && m != mfa.MethodOTP {
		return &Invalid{"method", fmt.Sprintf("must be push or otp; got %q", m)}
	}
	return otp.CheckUser(user)
}

// SetDefault sets the method that a login of the user asks for, for as long as the
// user has it.
func (a *Admin) SetDefault(ctx context.Context, by Actor, user mfa.Name, m mfa.Method) error {
	if err := CheckDefault(user, m); err != nil {
		return err
	}
	ev, err := by.event(user, fmt.Sprintf("default method: %s", m))
	if err != nil {
		return err
	}
	return a.Store.SetDefaultMethod(ctx, user, m, ev)
}
