package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/op"
)

// Rekey makes a new sealing key and seals every token and the Web Push key with
// it, in one commit.
// The old key leaves the key file when the server has the new one and nothing
// is sealed with the old one any more; on any error it stays. It returns the
// number of tokens.
func (s *Store) Rekey(ctx context.Context, ev mfa.Event) (n int, err error) {
	defer wrap(&err, "store: rekey")
	id, err := s.addKey(ctx)
	if err != nil {
		return 0, err
	}
	if n, err = s.useKey(ctx, id, ev); err != nil {
		return 0, err
	}
	return n, s.dropKeys(ctx)
}

// useKey seals every token with key id.
func (s *Store) useKey(ctx context.Context, id byte, ev mfa.Event) (n int, err error) {
	done, err := s.Apply(ctx, ev, op.Reseal{Key: id})
	return done.N, err
}

// addKey puts a new key into the key file. Nothing uses it yet. The write lock
// keeps another rekey out meanwhile.
func (s *Store) addKey(ctx context.Context) (id byte, err error) {
	err = s.locked(ctx, func(*sql.Tx) error {
		if err := s.readKeys(); err != nil {
			return err
		}
		raw := maps.Clone(s.ring.Load().raw)
		for id = 1; raw[id] != nil; id++ {
			if id == 255 {
				return errors.New("all 255 key ids are in use")
			}
		}
		raw[id] = randomKey()
		ring, err := newKeyring(raw)
		if err != nil {
			return err
		}
		if err := s.replaceKeys(ring); err != nil {
			return err
		}
		s.ring.Store(ring)
		return nil
	})
	return id, err
}

// resealTokens opens every token's secret and seals it with key id.
func resealTokens(ctx context.Context, tx *sql.Tx, ring *keyring, id byte) (n int, err error) {
	sealed := make(map[string][]byte)
	err = each(ctx, tx, `SELECT id, user, secret FROM tokens`, nil, func(r *sql.Rows) error {
		var token, user string
		var old []byte
		if err := r.Scan(&token, &user, &old); err != nil {
			return err
		}
		secret, err := ring.open(old, bound(user, token))
		if err != nil {
			return fmt.Errorf("token %s of user %q: %w; remove it first", token, user, err)
		}
		sealed[token], err = ring.seal(id, secret, bound(user, token))
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

// dropKeys takes the keys that nothing is sealed with out of the key file. The
// write lock keeps everybody from sealing meanwhile.
func (s *Store) dropKeys(ctx context.Context) error {
	return s.locked(ctx, func(tx *sql.Tx) error {
		raw := make(map[byte][]byte)
		old := s.ring.Load().raw
		const query = `SELECT id FROM seal_key UNION SELECT DISTINCT substr(secret, 1, 1) FROM tokens UNION SELECT substr(key, 1, 1) FROM web_push_key`
		err := each(ctx, tx, query, nil, func(r *sql.Rows) error {
			var v any
			if err := r.Scan(&v); err != nil {
				return err
			}
			id, err := keyID(v)
			if err == nil && old[id] == nil {
				err = fmt.Errorf("no key %d", id)
			}
			raw[id] = old[id]
			return err
		})
		if err != nil || slices.Equal(slices.Sorted(maps.Keys(raw)), slices.Sorted(maps.Keys(old))) {
			return err
		}
		ring, err := newKeyring(raw)
		if err != nil {
			return err
		}
		return s.replaceKeys(ring)
	})
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
	return 0, errSeal
}
