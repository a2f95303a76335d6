package store

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/seal"
)

// Rekey seals every token and the Web Push key with the key that was prepared, or a new one,
// in one commit. ErrLacking where a server that runs does not have it.
// The old key leaves the key file when nothing is sealed with it any more; on any error it
// stays, and where this process may not write the file. It returns the number of tokens.
func (s *Store) Rekey(ctx context.Context, ev mfa.Event) (n int, err error) {
	defer wrap(&err, "store: rekey")
	id, err := s.addKey(ctx)
	if err != nil {
		return 0, err
	}
	lacking, err := s.db.Lacking(ctx, s.keys.Ring().Name(id))
	if err != nil {
		return 0, err
	}
	if len(lacking) > 0 {
		return 0, fmt.Errorf("key %d: %w: %s", id, ErrLacking, strings.Join(lacking, ", "))
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

// ErrLacking means that servers that run do not have the key that a rekey would use.
var ErrLacking = errors.New("these servers do not have it yet")

// LoadKeys reads the keys again, and returns their names.
func (s *Store) LoadKeys() ([]string, error) {
	if err := s.keys.Load(); err != nil {
		return nil, err
	}
	return s.keys.Ring().Names(), nil
}

// addKey returns the key that was prepared, or puts a new one into the key file. The write
// lock keeps another rekey out meanwhile.
func (s *Store) addKey(ctx context.Context) (id byte, err error) {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	err = s.db.Exclusive(ctx, func() error {
		used, err := s.db.KeysInUse(ctx)
		if err != nil {
			return err
		}
		if err := s.keys.Load(); err != nil {
			return err
		}
		var prepared bool
		if id, prepared = s.keys.Ring().Prepared(used); !prepared {
			id, err = s.keys.Add()
		}
		return err
	})
	return id, err
}

// dropKeys takes the keys that nothing is sealed with out of the key file. The
// write lock keeps everybody from sealing meanwhile.
func (s *Store) dropKeys(ctx context.Context) error {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	return s.db.Exclusive(ctx, func() error {
		used, err := s.db.KeysInUse(ctx)
		if err != nil {
			return err
		}
		err = s.keys.Retain(used)
		if s.keys.Shared && (errors.Is(err, os.ErrPermission) || errors.Is(err, seal.ErrEnvironment)) {
			return nil // the operator does so, as on the other hosts
		}
		return err
	})
}

// WebPushKey returns the key by which push services know this server. The first
// call makes it. It is sealed as the tokens are: with it and this database
// an attacker could notify every phone.
func (s *Store) WebPushKey(ctx context.Context) (key *ecdsa.PrivateKey, err error) {
	defer wrap(&err, "store: Web Push key")
	sealed, err := s.db.WebPushKey(ctx)
	if err != nil {
		return nil, err
	}
	if sealed == nil {
		made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		secret, err := made.Bytes()
		if err != nil {
			return nil, err
		}
		if err := s.keepLocked(ctx, op.KeepWebPushKey{Secret: secret}); err != nil {
			return nil, err
		}
		if sealed, err = s.db.WebPushKey(ctx); err != nil { // another process may have been first
			return nil, err
		}
	}
	secret, err := s.keys.Ring().Open(sealed, seal.WebPushBound())
	if err != nil {
		return nil, err
	}
	return ecdsa.ParseRawPrivateKey(elliptic.P256(), secret)
}
