package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/radmatch/radmatch/mfa/store/seal"
)

// OpenKeys reads the keys, makes a first one for a new database, and makes sure that they fit.
// database is what errors call it.
func (d *DB) OpenKeys(ctx context.Context, database string) error {
	var sealed bool
	if err := d.SQL.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM seal_key)`).Scan(&sealed); err != nil {
		return err
	}
	there, err := d.Keys.Exist()
	if err != nil {
		return err
	}
	if !there {
		if sealed {
			return fmt.Errorf("%s is missing: the tokens in %s cannot be opened without it; restore it from its backup, or copy it from another node", d.Keys.Name, database)
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
	var proof []byte
	if err := d.SQL.QueryRowContext(ctx, `SELECT proof FROM seal_key`).Scan(&proof); err != nil {
		return err
	}
	if d.Keys.Ring().Check(proof) != nil {
		return fmt.Errorf("%s is not the key that %s was sealed with: restore the one that belongs to it", d.Keys.Name, database)
	}
	return nil
}

// proveKeys binds a new database to the key, unless another process was first.
func (d *DB) proveKeys(ctx context.Context) error {
	k := d.Keys.Ring()
	return d.Update(ctx, func(tx *sql.Tx) error {
		var sealed bool
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM seal_key)`).Scan(&sealed); err != nil || sealed {
			return err
		}
		return setKey(ctx, tx, k, k.Newest())
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
	_, err = tx.ExecContext(ctx, `INSERT INTO seal_key (id, proof) VALUES ($1, $2)`, id, proof)
	return err
}

// Sealer returns the current key's id as of tx, and keys that have it. A sealed
// secret must be written in tx: a rekey cannot come between.
func (d *DB) Sealer(ctx context.Context, tx *sql.Tx) (*seal.Ring, byte, error) {
	var id byte
	if err := tx.QueryRowContext(ctx, `SELECT id FROM seal_key`).Scan(&id); err != nil {
		return nil, 0, err
	}
	ring, err := d.Keys.With(id)
	return ring, id, err
}

// Seal seals data with the current key, bound to its place. What it returns must be written
// in tx: see Sealer.
func (d *DB) Seal(ctx context.Context, tx *sql.Tx, data, bound []byte) ([]byte, error) {
	ring, id, err := d.Sealer(ctx, tx)
	if err != nil {
		return nil, err
	}
	return ring.Seal(id, data, bound)
}

// Unseal opens what Seal has made. nil: there is nothing, or it does not open, since it was
// sealed for another place or by a key that a rekey has removed.
func (d *DB) Unseal(sealed, bound []byte) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, nil
	}
	ring, err := d.Keys.With(sealed[0])
	if err != nil {
		return nil, err
	}
	data, err := ring.Open(sealed, bound)
	if errors.Is(err, seal.ErrSeal) {
		return nil, nil
	}
	return data, err
}

// Exclusive implements store.Backend.
func (d *DB) Exclusive(ctx context.Context, f func() error) error {
	return d.Update(ctx, func(*sql.Tx) error { return f() })
}

// KeysInUse implements store.Backend.
func (d *DB) KeysInUse(ctx context.Context) (ids []byte, err error) {
	err = Each(ctx, d.SQL, `SELECT id FROM seal_key`, nil, func(r *sql.Rows) error {
		var id byte
		err := r.Scan(&id)
		ids = append(ids, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	// The first byte of what a key has sealed is its id.
	const query = `SELECT substr(secret, 1, 1) FROM tokens UNION SELECT substr(key, 1, 1) FROM web_push_key`
	err = Each(ctx, d.SQL, query, nil, func(r *sql.Rows) error {
		var first []byte
		if err := r.Scan(&first); err != nil {
			return err
		}
		if len(first) != 1 {
			return seal.ErrSeal
		}
		ids = append(ids, first[0])
		return nil
	})
	return ids, err
}

// resealTokens opens every token's secret and seals it with key id.
func resealTokens(ctx context.Context, tx *sql.Tx, ring *seal.Ring, id byte) (n int, err error) {
	sealed := make(map[string][]byte)
	err = Each(ctx, tx, `SELECT id, usr, secret FROM tokens`, nil, func(r *sql.Rows) error {
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
		if _, err := tx.ExecContext(ctx, `UPDATE tokens SET secret = $1 WHERE id = $2`, secret, token); err != nil {
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
	_, err = tx.ExecContext(ctx, `UPDATE web_push_key SET key = $1`, sealed)
	return err
}
