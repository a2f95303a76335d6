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
	err = s.update(ctx, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `UPDATE devices SET endpoint = ?2, web_key = ?3, web_auth = ?4 WHERE id = ?1`,
			id, sub.Endpoint, sub.Key, sub.Auth)
		return changed(r, err, device.ErrNoDevice) // a command has removed it just now
	})
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
	var sealed []byte
	err = s.locked(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT key FROM web_push_key`).Scan(&sealed)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		secret, err := made.Bytes()
		if err != nil {
			return err
		}
		ring, id, err := s.sealer(ctx, tx)
		if err != nil {
			return err
		}
		if sealed, err = ring.seal(id, secret, webPushBound()); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO web_push_key (key) VALUES (?)`, sealed)
		return err
	})
	if err != nil {
		return nil, err
	}
	secret, err := s.ring.Load().open(sealed, webPushBound())
	if err != nil {
		return nil, err
	}
	return ecdsa.ParseRawPrivateKey(elliptic.P256(), secret)
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
