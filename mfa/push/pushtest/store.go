package pushtest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
)

// Store is a device.Store in memory. The zero value is ready.
type Store struct {
	mu          sync.Mutex
	devices     map[string]device.Device
	invitations map[[32]byte]device.Invitation
}

var (
	_ device.Store                = (*Store)(nil)
	_ device.WebSubscriptionStore = (*Store)(nil)
)

// Add registers a device of user with a new key.
func (s *Store) Add(t testing.TB, user, id string, version int) *ecdsa.PrivateKey {
	t.Helper()
	key, err := device.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	pkix, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	s.put(device.Device{ID: id, User: mfa.NameOf(user), Name: id + "'s name", Key: pkix, Version: version, Added: time.Now(), Seen: time.Now()})
	return key
}

func (s *Store) put(d device.Device) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.devices == nil {
		s.devices = make(map[string]device.Device)
	}
	s.devices[d.ID] = d
}

// Remove removes a device.
func (s *Store) Remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.devices, id)
}

// Invite stores an invitation and returns its token.
func (s *Store) Invite(user string, expires time.Time) string {
	token, inv := device.NewInvitation(mfa.NameOf(user), expires)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.invitations == nil {
		s.invitations = make(map[[32]byte]device.Invitation)
	}
	s.invitations[inv.Hash] = inv
	return token
}

// Devices implements device.Store.
func (s *Store) Devices(_ context.Context, user mfa.Name) ([]device.Device, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []device.Device
	for _, d := range s.devices {
		if d.User.Key() == user.Key() {
			list = append(list, d)
		}
	}
	return list, nil
}

// Device implements device.Store.
func (s *Store) Device(_ context.Context, id string) (device.Device, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.devices[id]
	if !ok {
		return device.Device{}, fmt.Errorf("store: %q: %w", id, device.ErrNoDevice)
	}
	return d, nil
}

// Invited implements device.Store.
func (s *Store) Invited(_ context.Context, hash [32]byte) (device.Invitation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	inv, ok := s.invitations[hash]
	if !ok || !time.Now().Before(inv.Expires) {
		return device.Invitation{}, fmt.Errorf("store: %w", device.ErrInvitation)
	}
	return inv, nil
}

// Enroll implements device.Store.
func (s *Store) Enroll(ctx context.Context, hash [32]byte, d device.Device) (device.Device, error) {
	s.mu.Lock()
	inv, ok := s.invitations[hash]
	delete(s.invitations, hash)
	s.mu.Unlock()
	if !ok || !time.Now().Before(inv.Expires) {
		return device.Device{}, fmt.Errorf("store: %w", device.ErrInvitation)
	}
	d.User = inv.User
	var names []string
	devices, _ := s.Devices(ctx, inv.User)
	for _, other := range devices {
		names = append(names, other.Name)
	}
	d.Name = device.FreeName(d.Name, names)
	s.put(d)
	return d, nil
}

// SeenDevice implements device.Store.
func (s *Store) SeenDevice(_ context.Context, id string, version int, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d, ok := s.devices[id]; ok {
		d.Version, d.Seen = version, at
		s.devices[id] = d
	}
	return nil
}

// AddPasskey gives a device its passkey.
func (s *Store) AddPasskey(_ context.Context, dev device.Device, p device.Passkey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.devices[dev.ID]
	if !ok {
		return device.ErrNoDevice
	}
	for _, o := range s.devices {
		if o.ID == d.ID && o.Passkey != nil || o.Passkey != nil && bytes.Equal(o.Passkey.ID, p.ID) {
			return device.ErrPasskeyExists
		}
	}
	d.Passkey = &p
	s.devices[d.ID] = d
	return nil
}

// UsePasskey notes a signature of a passkey.
func (s *Store) UsePasskey(_ context.Context, id string, p device.Passkey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.devices[id]
	if d.Passkey == nil || !bytes.Equal(d.Passkey.ID, p.ID) || (p.Count > 0 || d.Passkey.Count > 0) && p.Count <= d.Passkey.Count {
		return device.ErrBadPasskey
	}
	d.Passkey = &p
	s.devices[id] = d
	return nil
}

// RenameDevice renames a device of by's user.
func (s *Store) RenameDevice(ctx context.Context, by device.Device, id, name string) error {
	devices, _ := s.Devices(ctx, by.User)
	for _, d := range devices {
		if d.ID != id && device.SameName(d.Name, name) {
			return device.ErrNameTaken
		}
	}
	return s.own(by, id, func(d device.Device) { d.Name = name; s.devices[id] = d })
}

// RemoveOwnDevice removes a device of by's user.
func (s *Store) RemoveOwnDevice(_ context.Context, by device.Device, id string) error {
	return s.own(by, id, func(device.Device) { delete(s.devices, id) })
}

func (s *Store) own(by device.Device, id string, f func(device.Device)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.devices[id]
	if !ok || d.User.Key() != by.User.Key() {
		return device.ErrNoDevice
	}
	f(d)
	return nil
}

// SetWebSubscription implements device.WebSubscriptionStore.
func (s *Store) SetWebSubscription(_ context.Context, id string, sub *device.WebSubscription) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.devices[id]
	if !ok {
		return fmt.Errorf("store: %q: %w", id, device.ErrNoDevice)
	}
	d.Web = sub
	s.devices[id] = d
	return nil
}

// DropWebSubscription implements device.WebSubscriptionStore.
func (s *Store) DropWebSubscription(_ context.Context, id, endpoint string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d, ok := s.devices[id]; ok && d.Web != nil && d.Web.Endpoint == endpoint {
		d.Web = nil
		s.devices[id] = d
	}
	return nil
}
