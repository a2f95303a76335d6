package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"github.com/radmatch/radmatch/mfa/store/datadir"
	"github.com/radmatch/radmatch/mfa/store/seal"
)

// openKeys reads the key file, or makes it for a new database, and makes sure
// that it fits.
func (d *DB) openKeys(ctx context.Context) error {
	var sealed bool
	if err := d.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM seal_key)`).Scan(&sealed); err != nil {
		return err
	}
	there, err := datadir.Exists(d.path(seal.File))
	if err != nil {
		return err
	}
	if !there {
		if sealed {
			return fmt.Errorf("%s is missing: the tokens in %s cannot be opened without it; restore it from its backup", seal.File, File)
		}
		if err := d.Keys.Create(); err != nil {
			return err
		}
	}
	if err := d.Keys.Load(); err != nil {
		return err
	}
	if !sealed {
		if err := d.proveKeys(ctx); err != nil {
			return err
		}
	}
	return d.checkKeys(ctx)
}

// proveKeys binds a new database to the key.
func (d *DB) proveKeys(ctx context.Context) error {
	k := d.Keys.Ring()
	id := k.Newest()
	return d.update(ctx, func(tx *sql.Tx) error {
		var sealed bool
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM seal_key)`).Scan(&sealed); err != nil || sealed {
			return err
		}
		return setKey(ctx, tx, k, id)
	})
}

// setKey makes id the key that seals from now on.
func setKey(ctx context.Context, tx *sql.Tx, k *seal.Ring, id byte) error {
	proof, err := k.Prove(id)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM seal_key`); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO seal_key (id, proof) VALUES (?, ?)`, id, proof)
	return err
}

func (d *DB) checkKeys(ctx context.Context) error {
	var proof []byte
	if err := d.db.QueryRowContext(ctx, `SELECT proof FROM seal_key`).Scan(&proof); err != nil {
		return err
	}
	if d.Keys.Ring().Check(proof) != nil {
		return fmt.Errorf("%s is not the key that %s was sealed with: restore the one that belongs to it", seal.File, File)
	}
	return nil
}

// sealer returns the current key's id as of tx, and keys that have it. A sealed
// secret must be written in tx: a rekey cannot come between.
func (d *DB) sealer(ctx context.Context, tx *sql.Tx) (*seal.Ring, byte, error) {
	var id byte
	if err := tx.QueryRowContext(ctx, `SELECT id FROM seal_key`).Scan(&id); err != nil {
		return nil, 0, err
	}
	ring, err := d.Keys.With(id)
	return ring, id, err
}

// Exclusive implements store.Backend.
func (d *DB) Exclusive(ctx context.Context, f func() error) error {
	return d.update(ctx, func(*sql.Tx) error { return f() })
}

// KeysInUse implements store.Backend.
func (d *DB) KeysInUse(ctx context.Context) (ids []byte, err error) {
	const query = `SELECT id FROM seal_key UNION SELECT DISTINCT substr(secret, 1, 1) FROM tokens UNION SELECT substr(key, 1, 1) FROM web_push_key`
	err = each(ctx, d.db, query, nil, func(r *sql.Rows) error {
		var v any
		if err := r.Scan(&v); err != nil {
			return err
		}
		id, err := keyID(v)
		ids = append(ids, id)
		return err
	})
	return ids, err
}

// keyID is the id of a key, as a number or as the first byte of what it sealed.
func keyID(v any) (byte, error) {
	switch v := v.(type) {
	case int64:
		return byte(v), nil
	case []byte:
		if len(v) == 1 {
			return v[0], nil
		}
	}
	return 0, seal.ErrSeal
}

// resealTokens opens every token's secret and seals it with key id.
func resealTokens(ctx context.Context, tx *sql.Tx, ring *seal.Ring, id byte) (n int, err error) {
	sealed := make(map[string][]byte)
	err = each(ctx, tx, `SELECT id, usr, secret FROM tokens`, nil, func(r *sql.Rows) error {
		var token, user string
		var old []byte
		if err := r.Scan(&token, &user, &old); err != nil {
			return err
		}
		secret, err := ring.Open(old, seal.Bound(user, token))
		if err != nil {
			return fmt.Errorf("token %s of user %q: %w; remove it first", token, user, err)
		}
		sealed[token], err = ring.Seal(id, secret, seal.Bound(user, token))
		return err
	})
	if err != nil {
		return 0, err
	}
	for token, secret := range sealed {
		if _, err := tx.ExecContext(ctx, `UPDATE tokens SET secret = ? WHERE id = ?`, secret, token); err != nil {
			return 0, err
		}
	}
	return len(sealed), nil
}

// resealWebPush seals the key with key id of the keyring, if there is one.
func resealWebPush(ctx context.Context, tx *sql.Tx, ring *seal.Ring, id byte) error {
	var old []byte
	err := tx.QueryRowContext(ctx, `SELECT key FROM web_push_key`).Scan(&old)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	secret, err := ring.Open(old, seal.WebPushBound())
	if err != nil {
		return fmt.Errorf("key of Web Push: %w", err)
	}
	sealed, err := ring.Seal(id, secret, seal.WebPushBound())
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE web_push_key SET key = ?`, sealed)
	return err
}
