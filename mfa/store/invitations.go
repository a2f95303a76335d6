package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store/op"
)

// ErrBlocked means that a user who is blocked gets no invitation.
var ErrBlocked = op.ErrBlocked

// Invite stores an invitation in the place of the user's older one. ErrBlocked
// for a user who is blocked.
func (s *Store) Invite(ctx context.Context, in device.Invitation, ev mfa.Event) (err error) {
	defer wrap(&err, "store: invitation")
	_, err = s.Apply(ctx, ev, op.Invite{Invitation: in})
	return err
}

// Uninvite ends a user's invitation. ErrNotFound where there is none.
func (s *Store) Uninvite(ctx context.Context, user mfa.Name, ev mfa.Event) (err error) {
	defer wrap(&err, "store: invitation")
	_, err = s.Apply(ctx, ev, op.Uninvite{User: user})
	return err
}

// Invitations returns those that are valid, of a user, or of everybody for no name, by user.
func (s *Store) Invitations(ctx context.Context, user mfa.Name) (list []device.Invitation, err error) {
	defer wrap(&err, "store: invitations")
	key, now := user.Key().String(), s.opt.Now()
	err = eachInvitation(ctx, s.db, func(in device.Invitation) {
		if now.Before(in.Expires) && (key == "" || in.User.Key().String() == key) {
			list = append(list, in)
		}
	})
	slices.SortFunc(list, func(a, b device.Invitation) int { return strings.Compare(a.User.Key().String(), b.User.Key().String()) })
	return list, err
}

// Invited implements device.Store.
func (s *Store) Invited(ctx context.Context, hash [32]byte) (_ device.Invitation, err error) {
	defer wrap(&err, "store: invitation")
	return s.invited(ctx, s.db, hash)
}

// invited returns a valid invitation. That of a user who is blocked is none.
func (s *Store) invited(ctx context.Context, q querier, hash [32]byte) (device.Invitation, error) {
	in := device.Invitation{Hash: hash}
	var name string
	var expires int64
	err := q.QueryRowContext(ctx, `SELECT name, expires FROM invitations WHERE hash = ? AND expires > ?`, hash[:], micros(s.opt.Now())).Scan(&name, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return device.Invitation{}, device.ErrInvitation
	}
	if err != nil {
		return device.Invitation{}, err
	}
	in.User = mfa.NameOf(name)
	if blocked, err := isBlocked(ctx, q, in.User.Key().String()); err != nil || blocked {
		return device.Invitation{}, errors.Join(err, device.ErrInvitation)
	}
	in.Expires = time.UnixMicro(expires).UTC()
	return in, nil
}

func isBlocked(ctx context.Context, q querier, key string) (blocked bool, err error) {
	err = q.QueryRowContext(ctx, `SELECT blocked FROM users WHERE user = ?`, key).Scan(&blocked)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return blocked, err
}

// endInvitations removes the invitations of a user (folded) and returns how many.
// The table has the names as they were typed, and is small.
func endInvitations(ctx context.Context, tx *sql.Tx, key string) (n int, err error) {
	var old [][32]byte
	err = eachInvitation(ctx, tx, func(in device.Invitation) {
		if in.User.Key().String() == key {
			old = append(old, in.Hash)
		}
	})
	for _, hash := range old {
		if err == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM invitations WHERE hash = ?`, hash[:])
		}
	}
	return len(old), err
}

func eachInvitation(ctx context.Context, q querier, f func(device.Invitation)) error {
	return each(ctx, q, `SELECT hash, name, expires FROM invitations`, nil, func(r *sql.Rows) error {
		var in device.Invitation
		var name string
		var hash []byte
		var expires int64
		if err := r.Scan(&hash, &name, &expires); err != nil {
			return err
		}
		copy(in.Hash[:], hash)
		in.User = mfa.NameOf(name)
		in.Expires = time.UnixMicro(expires).UTC()
		f(in)
		return nil
	})
}
