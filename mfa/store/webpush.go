package store

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"

	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store/op"
)

var _ device.WebSubscriptionStore = (*Store)(nil)

// SetWebSubscription implements device.WebSubscriptionStore. Only the server may
// call it: it is the only one whom devices reach.
func (s *Store) SetWebSubscription(ctx context.Context, id string, sub *device.WebSubscription) (err error) {
	defer wrap(&err, "store: subscription")
	if sub == nil {
		sub = &device.WebSubscription{}
	}
	return s.setWeb(ctx, id, sub, func(old *device.WebSubscription) bool {
		return old.Endpoint != sub.Endpoint || string(old.Key) != string(sub.Key) || string(old.Auth) != string(sub.Auth)
	})
}

// DropWebSubscription implements device.WebSubscriptionStore.
func (s *Store) DropWebSubscription(ctx context.Context, id, endpoint string) (err error) {
	defer wrap(&err, "store: subscription")
	return s.setWeb(ctx, id, &device.WebSubscription{}, func(old *device.WebSubscription) bool { return old.Endpoint == endpoint })
}

// setWeb writes sub, one without an endpoint for none, on disk and in memory, if
// it is to be written in place of what the device has.
func (s *Store) setWeb(ctx context.Context, id string, sub *device.WebSubscription, replaces func(old *device.WebSubscription) bool) error {
	if !s.opt.Server {
		return ErrNotServer
	}
	s.wmu.Lock() // nobody replaces accounts meanwhile
	defer s.wmu.Unlock()
	has, err := s.Device(ctx, id)
	if err != nil {
		return err
	}
	old := has.Web
	if old == nil {
		old = &device.WebSubscription{}
	}
	if !replaces(old) {
		return nil // it subscribes each time that its page is opened
	}
	err = s.keep(ctx, op.SubscribeDevice{ID: id, Subscription: *sub})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.devices[id]; d != nil {
		if d.Web = sub; sub.Endpoint == "" {
			d.Web = nil
		}
	}
	return nil
}

// WebPushKey returns the key by which push services know this server. The first
// call makes it. It is sealed as the tokens are: with it and this database
// somebody could ring every phone.
func (s *Store) WebPushKey(ctx context.Context) (key *ecdsa.PrivateKey, err error) {
	defer wrap(&err, "store: Web Push key")
	sealed, err := s.sealedWebPushKey(ctx)
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
		if sealed, err = s.sealedWebPushKey(ctx); err != nil { // another process may have been first
			return nil, err
		}
	}
	secret, err := s.ring.Load().open(sealed, webPushBound())
	if err != nil {
		return nil, err
	}
	return ecdsa.ParseRawPrivateKey(elliptic.P256(), secret)
}

// sealedWebPushKey returns what is on disk; nil: nothing yet.
func (s *Store) sealedWebPushKey(ctx context.Context) (sealed []byte, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT key FROM web_push_key`).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return sealed, err
}

// webPushBound is the associated data of the key.
func webPushBound() []byte { return []byte("web push") }

// resealWebPush seals the key with key id of the ring, if there is one.
func resealWebPush(ctx context.Context, tx *sql.Tx, ring *keyring, id byte) error {
	var old []byte
	err := tx.QueryRowContext(ctx, `SELECT key FROM web_push_key`).Scan(&old)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	secret, err := ring.open(old, webPushBound())
	if err != nil {
		return fmt.Errorf("key of Web Push: %w", err)
	}
	sealed, err := ring.seal(id, secret, webPushBound())
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE web_push_key SET key = ?`, sealed)
	return err
}
