package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/record"
)

// Devices implements device.Store. The keys belong to the store.
func (s *Store) Devices(ctx context.Context, user mfa.Name) ([]device.Device, error) {
	return s.DevicesOf(ctx, user, "")
}

// DevicesOf implements device.Registrations.
func (s *Store) DevicesOf(ctx context.Context, user mfa.Name, provider string) (list []device.Device, err error) {
	defer wrap(&err, "store: devices")
	err = s.view(ctx, user, func(a *record.Account) {
		if a == nil {
			return
		}
		for _, d := range a.Devices {
			if d.Provider == provider {
				list = append(list, *d)
			}
		}
	})
	return list, err
}

// Device implements device.Store. One that another node has just enrolled is read from the
// database: a phone that hears that it is unknown forgets its key.
func (s *Store) Device(ctx context.Context, id string) (device.Device, error) {
	d, err := s.device(ctx, id)
	if errors.Is(err, device.ErrNoDevice) && s.opt.Server && s.nodes != nil {
		var has bool
		if has, err = s.nodes.HasDevice(ctx, id); err == nil && has {
			d, err = s.deviceOnDisk(ctx, id)
		} else if err == nil {
			err = device.ErrNoDevice
		} else {
			err = fmt.Errorf("store: device: %w", err)
		}
	}
	return ownDevice(d, err)
}

// ownDevice is a device of our own, or device.ErrNoDevice.
func ownDevice(d device.Device, err error) (device.Device, error) {
	if err == nil && d.Provider != "" {
		err = device.ErrNoDevice
	}
	if err != nil {
		return device.Device{}, err
	}
	return d, nil
}

// device returns a device of any provider.
func (s *Store) device(ctx context.Context, id string) (device.Device, error) {
	if !s.opt.Server {
		return s.deviceOnDisk(ctx, id)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if d := s.devices[id]; d != nil {
		return *d, nil
	}
	return device.Device{}, device.ErrNoDevice
}

// deviceOnDisk is device for a caller whose memory may not have it.
func (s *Store) deviceOnDisk(ctx context.Context, id string) (device.Device, error) {
	accounts, err := s.db.Accounts(ctx, record.Which{Device: id})
	if err != nil {
		return device.Device{}, fmt.Errorf("store: device: %w", err)
	}
	if d := devicesOf(accounts)[id]; d != nil {
		return *d, nil
	}
	return device.Device{}, device.ErrNoDevice
}

// Registered implements mfa.Directory.
func (s *Store) Registered(ctx context.Context, id string) error {
	_, err := s.device(ctx, id)
	if errors.Is(err, device.ErrNoDevice) {
		return fmt.Errorf("%w: %w", mfa.ErrRejected, err)
	}
	return err
}

// ListDevices returns the devices of a user, or of everybody for the zero Name.
func (s *Store) ListDevices(ctx context.Context, user mfa.Name) (list []device.Device, err error) {
	defer wrap(&err, "store: devices")
	err = s.list(ctx, user, func(a *record.Account) {
		for _, d := range a.Devices {
			list = append(list, *d)
		}
	})
	return list, err
}

// enrollTries is how often a device is named anew whose name was taken in between.
const enrollTries = 8

// Enroll implements device.Store. It records the enrolment as an event.
func (s *Store) Enroll(ctx context.Context, hash [32]byte, d device.Device) (_ device.Device, err error) {
	defer wrap(&err, "store: enrolment")
	// A look without the write lock first: anybody can send a wrong invitation.
	in, err := s.db.Invitation(ctx, hash)
	if err != nil {
		return device.Device{}, err
	}
	d.User = in.User
	wanted := d.Name
	for range enrollTries {
		names, err := s.deviceNames(ctx, d.User)
		if err != nil {
			return device.Device{}, err
		}
		d.Name = device.FreeName(wanted, names)
		ev := mfa.Event{Origin: mfa.Origin{User: d.User}, Reason: mfa.ReasonDeviceAdded, Method: string(mfa.MethodPush), Details: mfa.Details{Text: fmt.Sprintf("device %q enrolled", d.Name)}}
		ev.Device, ev.DeviceID = d.Name, d.ID
		if _, err = s.Apply(ctx, ev, op.Enroll{Invitation: hash, Device: d}); err == nil {
			return d, nil
		} else if !errors.Is(err, device.ErrNameTaken) {
			return device.Device{}, err
		}
	}
	return device.Device{}, device.ErrNameTaken
}

// deviceNames returns the names of a user's devices on disk: memory may not have the last.
func (s *Store) deviceNames(ctx context.Context, user mfa.Name) (names []string, err error) {
	key := user.Key().String()
	accounts, err := s.db.Accounts(ctx, record.Which{User: key})
	if a := accounts[key]; err == nil && a != nil {
		for _, d := range a.Devices {
			names = append(names, d.Name)
		}
	}
	return names, err
}

// AddDevice registers a device of another provider than our own.
// It is an error if the user has a device of that name.
func (s *Store) AddDevice(ctx context.Context, d device.Device, ev mfa.Event) (err error) {
	defer wrap(&err, "store: adding a device")
	if d.Provider == "" || len(d.Key) > 0 {
		return errors.New("a device of our own enrols itself")
	}
	ev.Reason = mfa.ReasonDeviceAdded
	_, err = s.Apply(ctx, ev, op.AddDevice{Device: d})
	return err
}

// RemoveDevice removes the user's device with this id, or the one with this
// name, and ends the user's invitations: anyone who holds one could enrol the device
// anew. device.ErrNoDevice if there is none.
func (s *Store) RemoveDevice(ctx context.Context, user mfa.Name, idOrName string, ev mfa.Event) (err error) {
	defer wrap(&err, "store: removing a device")
	_, err = s.Apply(ctx, ev, op.RemoveDevice{User: user, ID: idOrName, Name: idOrName})
	return err
}

// SeenDevice implements device.Store. It is in memory at once, on disk a little later.
func (s *Store) SeenDevice(ctx context.Context, id string, version int, at time.Time) error {
	if !s.opt.Server {
		return ErrNotServer
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.devices[id]
	if d == nil {
		return device.ErrNoDevice
	}
	d.Version, d.Seen = version, at.UTC()
	s.unsaved.seen(id)
	return nil
}

// RenameDevice gives a device of the user who holds by another name.
// device.ErrNoDevice if that user has no device with this id, device.ErrNameTaken if
// another one has that name.
func (s *Store) RenameDevice(ctx context.Context, by device.Device, id, name string) (err error) {
	defer wrap(&err, "store: renaming a device")
	old, err := s.own(ctx, by, id)
	if err != nil {
		return err
	}
	ev := ownChange(by, fmt.Sprintf("device %q is named %q from now on", old.Name, name))
	_, err = s.Apply(ctx, ev, op.RenameDevice{User: by.User, ID: id, Name: name})
	return err
}

// RemoveOwnDevice removes a device of the user who holds by, which may be by
// itself, and ends that user's invitations. device.ErrNoDevice if that user has no
// device with this id.
func (s *Store) RemoveOwnDevice(ctx context.Context, by device.Device, id string) (err error) {
	defer wrap(&err, "store: removing a device")
	old, err := s.own(ctx, by, id)
	if err != nil {
		return err
	}
	ev := ownChange(by, fmt.Sprintf("device %q (%s) removed", old.Name, id))
	_, err = s.Apply(ctx, ev, op.RemoveDevice{User: by.User, ID: id})
	return err
}

// own returns a device of the user who holds by.
func (s *Store) own(ctx context.Context, by device.Device, id string) (device.Device, error) {
	d, err := s.Device(ctx, id)
	if err == nil && d.User.Key().String() != by.User.Key().String() {
		err = device.ErrNoDevice
	}
	return d, err
}

// ownChange is the event of a change that a user made from a device.
func ownChange(by device.Device, text string) mfa.Event {
	return mfa.Event{
		Origin: mfa.Origin{User: by.User}, Method: string(mfa.MethodPush), Details: mfa.Details{Text: text},
		Approval: mfa.Approval{Device: by.Name, DeviceID: by.ID},
	}
}

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

// ErrBlocked means that a user who is blocked gets no invitation.
var ErrBlocked = op.ErrBlocked

// Invite stores an invitation in the place of the user's older one. ErrBlocked
// for a user who is blocked.
func (s *Store) Invite(ctx context.Context, in device.Invitation, ev mfa.Event) (err error) {
	defer wrap(&err, "store: invitation")
	_, err = s.Apply(ctx, ev, op.Invite{Invitation: in})
	return err
}

// Uninvite ends a user's invitation. ErrNotFound where there is none.
func (s *Store) Uninvite(ctx context.Context, user mfa.Name, ev mfa.Event) (err error) {
	defer wrap(&err, "store: invitation")
	_, err = s.Apply(ctx, ev, op.Uninvite{User: user})
	return err
}

// Invitations returns those that are valid, of a user, or of everybody for no name, by user.
func (s *Store) Invitations(ctx context.Context, user mfa.Name) (list []device.Invitation, err error) {
	defer wrap(&err, "store: invitations")
	key, now := user.Key().String(), s.opt.Now()
	all, err := s.db.Invitations(ctx)
	for _, in := range all {
		if now.Before(in.Expires) && (key == "" || in.User.Key().String() == key) {
			list = append(list, in)
		}
	}
	slices.SortFunc(list, func(a, b device.Invitation) int { return strings.Compare(a.User.Key().String(), b.User.Key().String()) })
	return list, err
}

// Invited implements device.Store.
func (s *Store) Invited(ctx context.Context, hash [32]byte) (_ device.Invitation, err error) {
	defer wrap(&err, "store: invitation")
	return s.db.Invitation(ctx, hash)
}

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
	has, err := ownDevice(s.device(ctx, id)) // from memory: logins wait
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
