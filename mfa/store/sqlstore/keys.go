package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/radmatch/radmatch/mfa/store/seal"
)

// SetKey makes id the key that seals from now on.
func SetKey(ctx context.Context, tx *sql.Tx, k *seal.Ring, id byte) error {
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
