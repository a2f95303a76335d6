package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store/op"
)

// Devices implements device.Store. The keys belong to the store.
func (s *Store) Devices(ctx context.Context, user mfa.Name) ([]device.Device, error) {
	return s.DevicesOf(ctx, user, "")
}

// DevicesOf implements device.Registrations.
func (s *Store) DevicesOf(ctx context.Context, user mfa.Name, provider string) (list []device.Device, err error) {
	defer wrap(&err, "store: devices")
	err = s.view(ctx, user, func(a *account) {
		if a == nil {
			return
		}
		for _, d := range a.devices {
			if d.Provider == provider {
				list = append(list, *d)
			}
		}
	})
	return list, err
}

// Device implements device.Store.
func (s *Store) Device(ctx context.Context, id string) (device.Device, error) {
	d, err := s.device(ctx, id)
	if err == nil && d.Provider != "" {
		return device.Device{}, device.ErrNoDevice
	}
	return d, err
}

// device returns a device of any provider.
func (s *Store) device(ctx context.Context, id string) (device.Device, error) {
	if s.opt.Server {
		s.mu.RLock()
		defer s.mu.RUnlock()
		if d := s.devices[id]; d != nil {
			return *d, nil
		}
		return device.Device{}, device.ErrNoDevice
	}
	accounts, err := pull(ctx, s.db, `WHERE user IN (SELECT user FROM devices WHERE id = ?)`, id)
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
	err = s.list(ctx, user, func(a *account) {
		for _, d := range a.devices {
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
	in, err := s.invited(ctx, s.db, hash)
	if err != nil {
		return device.Device{}, err
	}
	d.User = in.User
	wanted := d.Name
	for range enrollTries {
		names, err := deviceNames(ctx, s.db, d.User.Key().String(), "")
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
// name, and ends the user's invitations: whoever holds one could enrol the device
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

// ownChange is the event of a change that a person made from a device.
func ownChange(by device.Device, text string) mfa.Event {
	return mfa.Event{
		Origin: mfa.Origin{User: by.User}, Method: string(mfa.MethodPush), Details: mfa.Details{Text: text},
		Approval: mfa.Approval{Device: by.Name, DeviceID: by.ID},
	}
}
