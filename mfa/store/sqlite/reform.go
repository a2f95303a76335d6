package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/seal"
	"github.com/radmatch/radmatch/mfa/store/sqlstore"
	"github.com/radmatch/radmatch/otp"
)

// reform brings the keys of users into their form, once: before, a key was the name
// in lower case. Two users who now have one form are not made one: what is under
// the other keys counts for no user, and the user is blocked until an operator has
// looked.
func (d *DB) reform(ctx context.Context) error {
	const done = `SELECT value FROM meta WHERE key = 'names'`
	var is int
	if err := d.SQL.QueryRowContext(ctx, done).Scan(&is); err != nil || is != 0 {
		return err
	}
	return d.Update(ctx, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, done).Scan(&is); err != nil || is != 0 {
			return err
		}
		odd, err := sqlstore.OddKeys(ctx, tx)
		if err != nil {
			return err
		}
		for form, keys := range odd {
			if err := d.reformUser(ctx, tx, form, keys); err != nil {
				return err
			}
		}
		if err := reformTrail(ctx, tx); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE meta SET value = 1 WHERE key = 'names'`)
		return err
	})
}

// reformUser moves what is under one odd key to the form, or blocks the user where
// there is more than one user to become it.
func (d *DB) reformUser(ctx context.Context, tx *sql.Tx, form string, keys []string) error {
	there := 0
	for _, table := range sqlstore.Keyed {
		var n int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM `+table+` WHERE usr = ?`, form).Scan(&n); err != nil {
			return err
		}
		there += n
	}
	if form != "" && there == 0 && len(keys) == 1 {
		moved, err := d.moveUser(ctx, tx, keys[0], form)
		if err != nil || moved {
			return err
		}
	}
	if form == "" {
		return nil // no name at all: no user can sign in with it
	}
	name := mfa.NameOf(form)
	_, err := tx.ExecContext(ctx, `INSERT INTO users (usr, name, blocked) VALUES (?, ?, 1) ON CONFLICT (usr) DO UPDATE SET blocked = 1`, form, name.String())
	if err != nil {
		return err
	}
	had := make([]string, len(keys))
	for i, key := range keys {
		if had[i], err = d.shelve(ctx, tx, key); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("blocked: %s, which directories take for the same name, had methods or blocks apart; they are not used now, and go with `radmatch user unblock`", strings.Join(had, ", "))
	return d.insertAdmin(ctx, tx, mfa.Event{Origin: mfa.Origin{User: name}, Details: mfa.Details{Text: text, Operator: "radmatch"}})
}

// shelve lets the tokens of an odd key be registered anew, with what was used of them,
// and says what there is.
func (d *DB) shelve(ctx context.Context, tx *sql.Tx, key string) (text string, err error) {
	sealed := map[*otp.Token][]byte{}
	err = sqlstore.Each(ctx, tx, `SELECT id, kind, period, next, secret FROM tokens WHERE usr = ?`, []any{key}, func(r *sql.Rows) error {
		t, secret := new(otp.Token), []byte(nil)
		err := r.Scan(&t.ID, &t.Kind, &t.Period, &t.Next, &secret)
		sealed[t] = secret
		return err
	})
	for t, secret := range sealed {
		if err == nil {
			err = d.KeepUsed(ctx, tx, key, *t, secret)
		}
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, `UPDATE tokens SET serial = '' WHERE usr = ?`, key)
	}
	devices := 0
	if err == nil {
		err = tx.QueryRowContext(ctx, `SELECT count(*) FROM devices WHERE usr = ?`, key).Scan(&devices)
	}
	return fmt.Sprintf("%q (tokens: %d, devices: %d)", key, len(sealed), devices), err
}

// moveUser gives the secrets of a user their new owner. It moves nothing where one
// does not open.
func (d *DB) moveUser(ctx context.Context, tx *sql.Tx, from, to string) (moved bool, err error) {
	ring, key, err := d.Sealer(ctx, tx)
	if err != nil {
		return false, err
	}
	sealed := map[string][]byte{}
	opens := true
	err = sqlstore.Each(ctx, tx, `SELECT id, secret FROM tokens WHERE usr = ?`, []any{from}, func(r *sql.Rows) error {
		var id string
		var old []byte
		if err := r.Scan(&id, &old); err != nil {
			return err
		}
		secret, err := ring.Open(old, seal.Bound(from, id))
		if err != nil {
			opens = false
			return nil
		}
		sealed[id], err = ring.Seal(key, secret, seal.Bound(to, id))
		return err
	})
	if err != nil || !opens {
		return false, err
	}
	for id, secret := range sealed {
		if _, err := tx.ExecContext(ctx, `UPDATE tokens SET secret = ? WHERE id = ?`, secret, id); err != nil {
			return false, err
		}
	}
	for _, table := range sqlstore.Keyed {
		if _, err := tx.ExecContext(ctx, `UPDATE `+table+` SET usr = ? WHERE usr = ?`, to, from); err != nil {
			return false, err
		}
	}
	return true, nil
}

// reformTrail brings the index of the trail into the new form. It only says whose
// events there are.
func reformTrail(ctx context.Context, tx *sql.Tx) error {
	odd := map[string]string{}
	err := sqlstore.Each(ctx, tx, `SELECT DISTINCT usr FROM event_user`, nil, func(r *sql.Rows) error {
		var key string
		err := r.Scan(&key)
		if form := mfa.NameOf(key).Key().String(); err == nil && form != key {
			odd[key] = form
		}
		return err
	})
	for key, form := range odd {
		if err == nil {
			_, err = tx.ExecContext(ctx, `UPDATE OR REPLACE event_user SET usr = ? WHERE usr = ?`, form, key)
		}
	}
	return err
}
