package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store/op"
)

// AddPasskey gives a device its passkey, with an event. device.ErrPasskeyExists if
// the device has one, or another device has this one; device.ErrNoDevice if there
// is no such device.
func (s *Store) AddPasskey(ctx context.Context, dev device.Device, p device.Passkey) (err error) {
	defer wrap(&err, "store: passkey")
	ev := ownChange(dev, fmt.Sprintf("device %q has a passkey from now on", dev.Name))
	_, err = s.Apply(ctx, ev, op.AddPasskey{User: dev.User, Device: dev.ID, Passkey: p})
	return err
}

// UsePasskey notes that the device's passkey p has signed, with the count that p
// has now. device.ErrBadPasskey unless that count is a new one (WebAuthn §6.1.1),
// and the device still has this passkey. It is in memory at once, so that of two
// copies only one gets through, and on disk a little later: what a crash loses
// makes an old count look new, and no signature genuine.
func (s *Store) UsePasskey(_ context.Context, id string, p device.Passkey) error {
	if !s.opt.Server {
		return ErrNotServer
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.devices[id]
	switch {
	case d == nil:
		return device.ErrNoDevice
	case d.Passkey == nil || !bytes.Equal(d.Passkey.ID, p.ID):
		return fmt.Errorf("store: %w: the device has another one", device.ErrBadPasskey)
	case (p.Count > 0 || d.Passkey.Count > 0) && p.Count <= d.Passkey.Count:
		return fmt.Errorf("store: %w: its count of signatures went from %d to %d: there may be a copy of it", device.ErrBadPasskey, d.Passkey.Count, p.Count)
	}
	d.Passkey = &p
	s.unsaved.seen(id)
	return nil
}

var errPasskey = errors.New("passkey is damaged")

// readPasskey reads the column of the same name.
func readPasskey(data []byte) (*device.Passkey, error) {
	p := new(device.Passkey)
	if err := json.Unmarshal(data, p); err != nil || len(p.ID) == 0 || len(p.Key) == 0 {
		// Without it the device could approve on its own key alone.
		return nil, errPasskey
	}
	return p, nil
}

// passkeyColumn is what the database keeps of a passkey; NULL for none.
func passkeyColumn(p *device.Passkey) ([]byte, error) {
	if p == nil {
		return nil, nil
	}
	return json.Marshal(p)
}

// samePasskey reports whether two devices have the same passkey.
func samePasskey(a, b *device.Device) bool {
	return a.Passkey != nil && b.Passkey != nil && bytes.Equal(a.Passkey.ID, b.Passkey.ID)
}
