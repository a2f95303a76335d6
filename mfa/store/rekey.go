package store

import (
	"context"

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
