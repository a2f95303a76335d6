package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/op"
)

// Bypasses spare groups and users the second factor.
type Bypasses interface {
	// BeginBypass begins b, which lasts from now for d, and returns it as it is stored.
	BeginBypass(ctx context.Context, b mfa.Bypass, d time.Duration, ev mfa.Event) (mfa.Bypass, error)
	// EndBypass returns op.ErrNotFound where there is none with this id.
	EndBypass(ctx context.Context, id int64, ev mfa.Event) error
	// StoredBypasses returns what is stored, with the time that is left; at or below 0
	// it is over.
	StoredBypasses(ctx context.Context) (list []mfa.Bypass, left []time.Duration, err error)
}

// CheckBypass returns an Invalid for a bypass that is not for one group or one user,
// has no reason or lasts too long.
func CheckBypass(b *mfa.Bypass, d time.Duration) error {
	whom := struct{ field, text string }{"group or user", b.Group.String()}
	switch {
	case !b.User.IsZero() && !b.Group.IsZero():
		return &Invalid{"group and user", "must not stand together"}
	case !b.User.IsZero():
		whom.field, whom.text = "user", b.User.String()
	case strings.TrimSpace(whom.text) != "":
		whom.field = "group"
	}
	for _, x := range []struct{ field, text string }{whom, {"reason", b.Reason}} {
		switch {
		case strings.TrimSpace(x.text) == "":
			return &Invalid{x.field, "must be there"}
		case len(x.text) > MaxReason:
			return &Invalid{x.field, fmt.Sprintf("must be at most %d octets long", MaxReason)}
		case strings.ContainsFunc(x.text, func(r rune) bool { return !unicode.IsGraphic(r) || r == unicode.ReplacementChar }):
			return &Invalid{x.field, "must be plain text on one line"}
		}
	}
	if b.Group.Everyone() {
		return &Invalid{"group", "must be one group, not everyone"}
	}
	if d < time.Second || d > mfa.MaxBypass {
		return &Invalid{"for", fmt.Sprintf("must be from 1s to %v", mfa.MaxBypass)}
	}
	return nil
}

// BeginBypass spares one user, or the members of one group, the second factor from now
// for d, at most mfa.MaxBypass, and returns the bypass as it is in force.
func (a *Admin) BeginBypass(ctx context.Context, by Actor, b mfa.Bypass, d time.Duration) (mfa.Bypass, error) {
	if err := CheckBypass(&b, d); err != nil {
		return mfa.Bypass{}, err
	}
	ev, err := by.event(mfa.Name{}, "") // the store, which gives it its times, says what it is
	if err != nil {
		return mfa.Bypass{}, err
	}
	b.Operator = by.Name
	return a.Store.BeginBypass(ctx, b, d, ev)
}

// EndBypass ends a bypass before its time. op.ErrNotFound where there is none with
// this id.
func (a *Admin) EndBypass(ctx context.Context, by Actor, id int64) error {
	ev, err := by.event(mfa.Name{}, "")
	if err != nil {
		return err
	}
	return a.Store.EndBypass(ctx, id, ev)
}

// EndBypasses ends all, each with an event of its own, and returns the ids of those
// that it has ended, also where the error says why it could not end the next.
func (a *Admin) EndBypasses(ctx context.Context, by Actor) (ended []int64, err error) {
	list, _, err := a.Store.StoredBypasses(ctx)
	if err != nil {
		return nil, err
	}
	for _, b := range list {
		switch err := a.EndBypass(ctx, by, b.ID); {
		case errors.Is(err, op.ErrNotFound): // its time was over meanwhile
		case err != nil:
			return ended, err
		default:
			ended = append(ended, b.ID)
		}
	}
	return ended, nil
}
