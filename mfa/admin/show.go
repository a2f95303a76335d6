package admin

import (
	"context"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/otp"
)

// Trail is the audit trail.
type Trail interface {
	// EventsOf returns the newest events of a user, at most n, oldest first.
	EventsOf(ctx context.Context, user mfa.Name, n int) ([]mfa.Event, error)
}

// Limits knows what wrong codes and denied prompts have led to.
type Limits interface {
	// CodesLocked returns the zero Time where the codes are locked until an unblocking.
	CodesLocked(u mfa.User, now time.Time) (until time.Time, locked bool)
	PushLimited(u mfa.User, now time.Time) bool
}

// UserReport is all that there is to know of a user's second factor.
type UserReport struct {
	mfa.User
	Devices []device.Device
	Tokens  []otp.Token // without their secrets, and without the pass
	Pass    *otp.Token  // be it valid or not; nil: none
	// Block is who blocked a user who is blocked, as far as the trail has it; nil: it
	// does not.
	Block *Block
	// CodesLocked and PushLimited hold now, where the limits are known.
	CodesLocked bool
	LockedUntil time.Time // zero: until an unblocking
	PushLimited bool
	// LastLogin was accepted, and LastRefusal was not; nil: none in the trail.
	LastLogin, LastRefusal *mfa.Event
}

// Block is how a user came to be blocked.
type Block struct {
	Since  time.Time
	By     string // an operator, or "the user"
	Reason string // may be empty
}

// maxLooked is how many of a user's events are looked through.
const maxLooked = 2000

// Show reports on a user. Without limits, nil, it does not know of locked codes.
func (a *Admin) Show(ctx context.Context, user mfa.Name, limits Limits) (*UserReport, error) {
	u, err := a.Store.User(ctx, user)
	if err != nil {
		return nil, err
	}
	r := &UserReport{User: u}
	if r.Devices, err = a.Store.ListDevices(ctx, user); err != nil {
		return nil, err
	}
	if r.Tokens, err = a.ListTokens(ctx, user); err != nil {
		return nil, err
	}
	passes, err := a.ListPasses(ctx, user)
	if err != nil {
		return nil, err
	}
	if len(passes) > 0 {
		r.Pass = &passes[0]
	}
	trail, err := a.Store.EventsOf(ctx, user, maxLooked)
	if err != nil {
		return nil, err
	}
	r.readTrail(trail)
	if limits != nil {
		now := time.Now()
		r.LockedUntil, r.CodesLocked = limits.CodesLocked(u, now)
		r.PushLimited = limits.PushLimited(u, now)
	}
	return r, nil
}

// readTrail takes from the events of a user, oldest first, what happened last.
func (r *UserReport) readTrail(trail []mfa.Event) {
	for i := range trail {
		ev := &trail[i]
		switch {
		case ev.Kind == mfa.EventAdmin && r.Blocked && strings.HasPrefix(ev.Text, textBlocked):
			r.Block = &Block{ev.Time, ev.Operator, strings.TrimPrefix(strings.TrimPrefix(ev.Text, textBlocked), ": ")}
		case ev.Kind == mfa.EventLogin && ev.BlocksUser && r.Blocked:
			r.Block = &Block{ev.Time, "the user", string(mfa.ReasonNotMe)}
		}
		switch {
		case ev.Kind != mfa.EventLogin:
		case ev.Outcome == mfa.Accept:
			r.LastLogin = ev
		default:
			r.LastRefusal = ev
		}
	}
}
