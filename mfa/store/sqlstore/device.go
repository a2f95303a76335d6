package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/record"
)

func invite(ctx context.Context, tx *sql.Tx, o op.Invite) error {
	in, key := o.Invitation, o.Invitation.User.Key().String()
	if blocked, err := isBlocked(ctx, tx, key); err != nil || blocked {
		return errors.Join(err, op.ErrBlocked)
	}
	if _, err := endInvitations(ctx, tx, key); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO invitations (hash, name, expires) VALUES ($1, $2, $3)`,
		in.Hash[:], in.User.String(), record.Micros(in.Expires))
	return err
}

func uninvite(ctx context.Context, tx *sql.Tx, o op.Uninvite) error {
	n, err := endInvitations(ctx, tx, o.User.Key().String())
	if err == nil && n == 0 {
		err = fmt.Errorf("invitation of user %q: %w", o.User, op.ErrNotFound)
	}
	return err
}

func (d *DB) enroll(ctx context.Context, tx *sql.Tx, o op.Enroll) error {
	dev, key := o.Device, o.Device.User.Key()
	in, err := d.invited(ctx, tx, o.Invitation)
	if err == nil && in.User.Key() != key {
		err = device.ErrInvitation
	}
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM invitations WHERE hash = $1`, o.Invitation[:]); err != nil {
		return err
	}
	if err := ensureUser(ctx, tx, dev.User); err != nil {
		return err
	}
	if err := freeName(ctx, tx, dev.User, "", dev.Name); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO devices (id, usr, name, key, version, added, seen) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		dev.ID, key.String(), dev.Name, dev.Key, dev.Version, record.Micros(dev.Added), record.Micros(dev.Seen))
	return err
}

func insertDevice(ctx context.Context, tx *sql.Tx, o op.AddDevice) error {
	d, key := o.Device, o.Device.User.Key().String()
	var n int
	err := tx.QueryRowContext(ctx, `SELECT count(*) FROM devices WHERE usr = $1 AND provider = $2`, key, d.Provider).Scan(&n)
	switch {
	case err != nil:
		return err
	case n >= op.MaxRegistrations:
		return fmt.Errorf("user %q has %d devices at %q already", d.User, n, d.Provider)
	}
	if err := freeName(ctx, tx, d.User, "", d.Name); err != nil {
		return fmt.Errorf("%w: %q", err, d.Name)
	}
	if err := ensureUser(ctx, tx, d.User); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO devices (id, usr, name, key, version, added, seen, provider) VALUES ($1, $2, $3, $6, 0, $4, 0, $5)`,
		d.ID, key, d.Name, record.Micros(d.Added), d.Provider, []byte{})
	return err
}

// freeName returns device.ErrNameTaken where a device of the user has the name, except
// for one of them.
func freeName(ctx context.Context, tx *sql.Tx, user mfa.Name, except, name string) error {
	names, err := deviceNames(ctx, tx, user.Key().String(), except)
	if err == nil && slices.ContainsFunc(names, func(other string) bool { return device.SameName(name, other) }) {
		err = device.ErrNameTaken
	}
	return err
}

// deviceNames returns the names of a user's devices, except for one of them.
func deviceNames(ctx context.Context, q Querier, key, except string) (names []string, err error) {
	err = Each(ctx, q, `SELECT name FROM devices WHERE usr = $1 AND id <> $2`, []any{key, except}, func(r *sql.Rows) error {
		var name string
		err := r.Scan(&name)
		names = append(names, name)
		return err
	})
	return names, err
}

func removeDevice(ctx context.Context, tx *sql.Tx, o op.RemoveDevice) error {
	key := o.User.Key().String()
	var ids []string
	const query = `SELECT id FROM devices WHERE usr = $1 AND id = $2
		UNION ALL SELECT id FROM devices WHERE usr = $1 AND name = $3 AND $3 <> '' AND NOT EXISTS (SELECT 1 FROM devices WHERE usr = $1 AND id = $2)`
	err := Each(ctx, tx, query, []any{key, o.ID, o.Name}, func(r *sql.Rows) error {
		var id string
		err := r.Scan(&id)
		ids = append(ids, id)
		return err
	})
	switch {
	case err != nil:
		return err
	case len(ids) == 0:
		return fmt.Errorf("%w: %q of user %q", device.ErrNoDevice, o.ID, o.User)
	case len(ids) > 1:
		return fmt.Errorf("%d devices of user %q are named %q: name one by its id", len(ids), o.User, o.Name)
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM devices WHERE id = $1`, ids[0]); err != nil {
		return err
	}
	_, err = endInvitations(ctx, tx, key)
	return err
}

func renameDevice(ctx context.Context, tx *sql.Tx, o op.RenameDevice) error {
	if err := freeName(ctx, tx, o.User, o.ID, o.Name); err != nil {
		return err
	}
	r, err := tx.ExecContext(ctx, `UPDATE devices SET name = $1 WHERE id = $2 AND usr = $3`, o.Name, o.ID, o.User.Key().String())
	return Changed(r, err, device.ErrNoDevice)
}

func addPasskey(ctx context.Context, tx *sql.Tx, o op.AddPasskey) error {
	data, err := json.Marshal(o.Passkey)
	if err != nil {
		return err
	}
	var has bool
	err = tx.QueryRowContext(ctx, `SELECT passkey IS NOT NULL FROM devices WHERE id = $1`, o.Device).Scan(&has)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return device.ErrNoDevice
	case err != nil:
		return err
	case has:
		return device.ErrPasskeyExists
	}
	const query = `UPDATE devices SET passkey = $1, passkey_id = $2 WHERE id = $3 AND NOT EXISTS (SELECT 1 FROM devices WHERE passkey_id = $2)`
	r, err := tx.ExecContext(ctx, query, data, o.Passkey.ID, o.Device)
	return Changed(r, err, device.ErrPasskeyExists)
}

// seeDevice leaves out a device that memory does not have yet.
func seeDevice(ctx context.Context, tx *sql.Tx, n op.SeeDevice) error {
	passkey, err := passkeyColumn(n.Passkey)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE devices SET version = $1, seen = $2, passkey = coalesce($3, passkey) WHERE id = $4`, n.Version, record.Micros(n.At), passkey, n.ID)
	return err
}

func subscribeDevice(ctx context.Context, tx *sql.Tx, n op.SubscribeDevice) error {
	r, err := tx.ExecContext(ctx, `UPDATE devices SET endpoint = $2, web_key = $3, web_auth = $4 WHERE id = $1`,
		n.ID, n.Subscription.Endpoint, n.Subscription.Key, n.Subscription.Auth)
	return Changed(r, err, device.ErrNoDevice) // a command may have removed it just now
}
