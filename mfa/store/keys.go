package store

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/seal"
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

// addKey puts a new key into the key file. The write lock keeps another rekey out
// meanwhile.
func (s *Store) addKey(ctx context.Context) (id byte, err error) {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	err = s.db.Exclusive(ctx, func() error {
		id, err = s.keys.Add()
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
		return s.keys.Retain(used)
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
