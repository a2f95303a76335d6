package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"net/netip"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/record"
)

// Bypasses implements store.Backend.
func (d *DB) Bypasses(ctx context.Context) ([]record.Bypass, error) { return bypasses(ctx, d.SQL) }

func bypasses(ctx context.Context, q Querier) (list []record.Bypass, err error) {
	const query = `SELECT id, grp, client, began, until, seen, reason, operator, usr FROM bypasses ORDER BY id`
	err = Each(ctx, q, query, nil, func(r *sql.Rows) error {
		var b record.Bypass
		var began, until, seen int64
		var group, user string
		err := r.Scan(&b.ID, &group, &b.Client, &began, &until, &seen, &b.Reason, &b.Operator, &user)
		b.Group, b.User = mfa.GroupOf(group), mfa.NameOf(user)
		b.Began, b.Until, b.Seen = record.FromMicros(began), record.FromMicros(until), record.FromMicros(seen)
		list = append(list, b)
		return err
	})
	return list, err
}

// Latches implements store.Backend.
func (d *DB) Latches(ctx context.Context) ([]op.Latch, error) { return latches(ctx, d.SQL) }

func latches(ctx context.Context, q Querier) (latches []op.Latch, err error) {
	err = Each(ctx, q, `SELECT client, addr, since FROM latches`, nil, func(r *sql.Rows) error {
		var l op.Latch
		var addr string
		var since int64
		err := r.Scan(&l.Client, &addr, &since)
		if err == nil {
			l.Addr, err = netip.ParseAddr(addr)
		}
		l.Since = record.FromMicros(since)
		latches = append(latches, l)
		return err
	})
	return latches, err
}

// Names implements store.Backend.
func (d *DB) Names(ctx context.Context) (names []mfa.Name, err error) {
	err = Each(ctx, d.SQL, `SELECT name FROM users ORDER BY usr`, nil, func(r *sql.Rows) error {
		var name string
		err := r.Scan(&name)
		names = append(names, mfa.NameOf(name))
		return err
	})
	return names, err
}

// Invitations implements store.Backend.
func (d *DB) Invitations(ctx context.Context) (list []device.Invitation, err error) {
	err = eachInvitation(ctx, d.SQL, func(in device.Invitation) { list = append(list, in) })
	return list, err
}

// Invitation implements store.Backend.
func (d *DB) Invitation(ctx context.Context, hash [32]byte) (device.Invitation, error) {
	return d.invited(ctx, d.SQL, hash)
}

// invited returns a valid invitation. That of a user who is blocked is none.
func (d *DB) invited(ctx context.Context, q Querier, hash [32]byte) (device.Invitation, error) {
	in := device.Invitation{Hash: hash}
	var name string
	var expires int64
	err := q.QueryRowContext(ctx, `SELECT name, expires FROM invitations WHERE hash = $1 AND expires > $2`, hash[:], record.Micros(d.Now())).Scan(&name, &expires)
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

func isBlocked(ctx context.Context, q Querier, key string) (blocked bool, err error) {
	err = q.QueryRowContext(ctx, `SELECT blocked FROM users WHERE usr = $1`, key).Scan(&blocked)
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
			_, err = tx.ExecContext(ctx, `DELETE FROM invitations WHERE hash = $1`, hash[:])
		}
	}
	return len(old), err
}

func eachInvitation(ctx context.Context, q Querier, f func(device.Invitation)) error {
	return Each(ctx, q, `SELECT hash, name, expires FROM invitations`, nil, func(r *sql.Rows) error {
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

// WrongCodes implements store.Backend.
func (d *DB) WrongCodes(ctx context.Context) (map[mfa.NameKey]mfa.WrongCodes, error) {
	all := make(map[mfa.NameKey]mfa.WrongCodes)
	err := Each(ctx, d.SQL, `SELECT usr, row, locks, last, since, until FROM wrong_codes`, nil, func(r *sql.Rows) error {
		var user string
		var w mfa.WrongCodes
		var last, since, until int64
		err := r.Scan(&user, &w.Row, &w.Locks, &last, &since, &until)
		w.Last, w.Since, w.Until = record.FromMicros(last), record.FromMicros(since), record.FromMicros(until)
		all[mfa.NameOf(user).Key()] = w
		return err
	})
	return all, err
}

// Stats implements store.Backend.
func (d *DB) Stats(ctx context.Context) (list [][]byte, err error) {
	err = Each(ctx, d.SQL, `SELECT data FROM stats ORDER BY client`, nil, func(r *sql.Rows) error {
		var data []byte
		err := r.Scan(&data)
		list = append(list, data)
		return err
	})
	return list, err
}

// ClassKey implements store.Backend.
func (d *DB) ClassKey(ctx context.Context) (key []byte, err error) {
	err = d.SQL.QueryRowContext(ctx, `SELECT key FROM class_key`).Scan(&key)
	return key, err
}

// WebPushKey implements store.Backend.
func (d *DB) WebPushKey(ctx context.Context) (sealed []byte, err error) {
	err = d.SQL.QueryRowContext(ctx, `SELECT key FROM web_push_key`).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return sealed, err
}
