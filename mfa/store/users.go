package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/radmatch/radmatch/mfa"
)

// SetDefaultMethod sets what `method default` chooses; "" goes back to what
// follows from the registered methods.
func (s *Store) SetDefaultMethod(ctx context.Context, user mfa.Name, m mfa.Method, ev mfa.Event) (err error) {
	defer wrap(&err, "store: default method")
	if m != "" && m != mfa.MethodPush && m != mfa.MethodOTP {
		return fmt.Errorf("no such method: %q", m)
	}
	return s.setUser(ctx, user, ev, `UPDATE users SET method = ?2 WHERE user = ?1`, string(m))
}

// SetBlocked blocks a user, or lifts every block of the user: then each "this was not
// me" is taken back, and wrong codes and denials from before are forgotten too. Both
// end the user's invitations: a block that a "this was not me" has set leaves them to
// the unblocking.
func (s *Store) SetBlocked(ctx context.Context, user mfa.Name, blocked bool, ev mfa.Event) (err error) {
	defer wrap(&err, "store: block")
	key := user.Key().String()
	query, args := `UPDATE users SET blocked = 1 WHERE user = ?1`, []any{key}
	if !blocked {
		query, args = `UPDATE users SET blocked = 0, unblocked = ?2 WHERE user = ?1`, []any{key, micros(s.opt.Now())}
	}
	return s.change(ctx, []string{key}, ev, func(tx *sql.Tx) error {
		if err := ensureUser(ctx, tx, user); err != nil {
			return err
		}
		if _, err := endInvitations(ctx, tx, key); err != nil {
			return err
		}
		if !blocked {
			if err := dropOdd(ctx, tx, key); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `DELETE FROM push_blocks WHERE user = ?1`, key); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	})
}

// setUser runs one statement whose first parameter is the key of the user. A user
// that is not enrolled is added: anybody can be blocked.
func (s *Store) setUser(ctx context.Context, user mfa.Name, ev mfa.Event, query string, args ...any) error {
	key := user.Key().String()
	return s.change(ctx, []string{key}, ev, func(tx *sql.Tx) error {
		if err := ensureUser(ctx, tx, user); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, query, append([]any{key}, args...)...)
		return err
	})
}

// bar notes in memory that push is off for a user at a client group, and
// that the user is blocked where that is so. wmu is held.
func (s *Store) bar(user, group string, blocked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[user]
	if a == nil {
		a = &account{name: mfa.NameOf(user)}
		s.accounts[user] = a
	}
	a.blocked = a.blocked || blocked
	if !slices.Contains(a.barred, group) {
		a.barred = append(slices.Clip(a.barred), group)
	}
}
