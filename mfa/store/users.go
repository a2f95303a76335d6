package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/record"
)

// SetDefaultMethod sets what `method default` chooses; "" goes back to what
// follows from the registered methods.
func (s *Store) SetDefaultMethod(ctx context.Context, user mfa.Name, m mfa.Method, ev mfa.Event) (err error) {
	defer wrap(&err, "store: default method")
	if m != "" && m != mfa.MethodPush && m != mfa.MethodOTP {
		return fmt.Errorf("no such method: %q", m)
	}
	_, err = s.Apply(ctx, ev, op.SetDefaultMethod{User: user, Method: m})
	return err
}

// SetBlocked blocks a user, or lifts every block of the user: then each "this was not
// me" is taken back, and wrong codes and denials from before are forgotten too. Both
// end the user's invitations: a block that a "this was not me" has set leaves them to
// the unblocking.
func (s *Store) SetBlocked(ctx context.Context, user mfa.Name, blocked bool, ev mfa.Event) (err error) {
	defer wrap(&err, "store: block")
	if blocked {
		_, err = s.Apply(ctx, ev, op.Block{User: user})
	} else {
		_, err = s.Apply(ctx, ev, op.Unblock{User: user, At: s.opt.Now()})
	}
	return err
}

// Clash is a user who was several before names had a form.
type Clash struct {
	User   mfa.Name
	Others []string // keys whose methods and blocks count for no user
}

// Clashes returns the users whose names were kept apart and are one.
func (s *Store) Clashes(ctx context.Context) (list []Clash, err error) {
	defer wrap(&err, "store: names")
	odd, err := s.db.OddKeys(ctx)
	for form, keys := range odd {
		if form != "" { // no name at all: it blocks no other name
			list = append(list, Clash{mfa.NameOf(form), keys})
		}
	}
	slices.SortFunc(list, func(a, b Clash) int { return strings.Compare(a.User.String(), b.User.String()) })
	return list, err
}

// bar notes in memory that push is off for a user at a client group, and
// that the user is blocked where that is so. wmu is held.
func (s *Store) bar(user, group string, blocked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[user]
	if a == nil {
		a = &record.Account{Name: mfa.NameOf(user)}
		s.accounts[user] = a
	}
	a.Blocked = a.Blocked || blocked
	if !slices.Contains(a.Barred, group) {
		a.Barred = append(slices.Clip(a.Barred), group)
	}
}
