package store

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"

	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/seal"
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
	s.wmu.Lock() // accounts are not replaced meanwhile
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
