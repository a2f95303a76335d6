package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
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

// Enroll implements device.Store. It records the enrolment as an event.
func (s *Store) Enroll(ctx context.Context, hash [32]byte, d device.Device) (_ device.Device, err error) {
	defer wrap(&err, "store: enrolment")
	// A look without the write lock first: anybody can send a wrong invitation.
	in, err := s.invited(ctx, s.db, hash)
	if err != nil {
		return device.Device{}, err
	}
	d.User = in.User
	key := in.User.Key().String()
	err = s.changeAs(ctx, []string{key}, func(tx *sql.Tx) (ev mfa.Event, err error) {
		if _, err := s.invited(ctx, tx, hash); err != nil {
			return ev, err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM invitations WHERE hash = ?`, hash[:]); err != nil {
			return ev, err
		}
		if err := ensureUser(ctx, tx, d.User); err != nil {
			return ev, err
		}
		names, err := deviceNames(ctx, tx, key, "")
		if err != nil {
			return ev, err
		}
		d.Name = device.FreeName(d.Name, names)
		ev = mfa.Event{User: d.User, Reason: mfa.ReasonDeviceAdded, Method: string(mfa.MethodPush), Text: fmt.Sprintf("device %q enrolled", d.Name)}
		ev.Device, ev.DeviceID = d.Name, d.ID
		_, err = tx.ExecContext(ctx, `INSERT INTO devices (id, user, name, key, version, added, seen) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			d.ID, key, d.Name, d.Key, d.Version, micros(d.Added), micros(d.Seen))
		return ev, err
	})
	if err != nil {
		return device.Device{}, err
	}
	return d, nil
}

// maxRegistrations bounds the devices of one user at one other provider: each
// rings at every prompt.
const maxRegistrations = 8

// AddDevice registers a device of another provider than our own.
// It is an error if the user has a device of that name.
func (s *Store) AddDevice(ctx context.Context, d device.Device, ev mfa.Event) (err error) {
	defer wrap(&err, "store: adding a device")
	if d.Provider == "" || len(d.Key) > 0 {
		return errors.New("a device of our own enrols itself")
	}
	key := d.User.Key().String()
	ev.Reason = mfa.ReasonDeviceAdded
	return s.change(ctx, []string{key}, ev, func(tx *sql.Tx) error {
		var n int
		err := tx.QueryRowContext(ctx, `SELECT count(*) FROM devices WHERE user = ? AND provider = ?`, key, d.Provider).Scan(&n)
		switch {
		case err != nil:
			return err
		case n >= maxRegistrations:
			return fmt.Errorf("user %q has %d devices at %q already", d.User, n, d.Provider)
		}
		names, err := deviceNames(ctx, tx, key, "")
		if err != nil {
			return err
		}
		if slices.ContainsFunc(names, func(other string) bool { return device.SameName(d.Name, other) }) {
			return fmt.Errorf("%w: %q", device.ErrNameTaken, d.Name)
		}
		if err := ensureUser(ctx, tx, d.User); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO devices (id, user, name, key, version, added, seen, provider) VALUES (?, ?, ?, x'', 0, ?, 0, ?)`,
			d.ID, key, d.Name, micros(d.Added), d.Provider)
		return err
	})
}

// deviceNames returns the names of a user's devices, but for one of them.
func deviceNames(ctx context.Context, tx *sql.Tx, user, but string) (names []string, err error) {
	err = each(ctx, tx, `SELECT name FROM devices WHERE user = ? AND id <> ?`, []any{user, but}, func(r *sql.Rows) error {
		var name string
		err := r.Scan(&name)
		names = append(names, name)
		return err
	})
	return names, err
}

// RemoveDevice removes the user's device with this id, or the one with this
// name, and ends the user's invitations: whoever holds one could enrol the device
// anew. device.ErrNoDevice if there is none.
func (s *Store) RemoveDevice(ctx context.Context, user mfa.Name, idOrName string, ev mfa.Event) (err error) {
	defer wrap(&err, "store: removing a device")
	key := user.Key().String()
	return s.change(ctx, []string{key}, ev, func(tx *sql.Tx) error {
		var ids []string
		const query = `SELECT id FROM devices WHERE user = ?1 AND id = ?2
			UNION ALL SELECT id FROM devices WHERE user = ?1 AND name = ?2 AND NOT EXISTS (SELECT 1 FROM devices WHERE user = ?1 AND id = ?2)`
		err := each(ctx, tx, query, []any{key, idOrName}, func(r *sql.Rows) error {
			var id string
			err := r.Scan(&id)
			ids = append(ids, id)
			return err
		})
		switch {
		case err != nil:
			return err
		case len(ids) == 0:
			return fmt.Errorf("%w: %q of user %q", device.ErrNoDevice, idOrName, user)
		case len(ids) > 1:
			return fmt.Errorf("%d devices of user %q are named %q: name one by its id", len(ids), user, idOrName)
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM devices WHERE id = ?`, ids[0]); err != nil {
			return err
		}
		_, err = endInvitations(ctx, tx, key)
		return err
	})
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
	key := by.User.Key().String()
	old, err := s.own(ctx, by, id)
	if err != nil {
		return err
	}
	return s.change(ctx, []string{key}, ownChange(by, fmt.Sprintf("device %q is named %q from now on", old.Name, name)), func(tx *sql.Tx) error {
		names, err := deviceNames(ctx, tx, key, id)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(names, func(other string) bool { return device.SameName(name, other) }) {
			return device.ErrNameTaken
		}
		r, err := tx.ExecContext(ctx, `UPDATE devices SET name = ? WHERE id = ? AND user = ?`, name, id, key)
		return changed(r, err, device.ErrNoDevice)
	})
}

// RemoveOwnDevice removes a device of the user who holds by, which may be by
// itself, and ends that user's invitations. device.ErrNoDevice if that user has no
// device with this id.
func (s *Store) RemoveOwnDevice(ctx context.Context, by device.Device, id string) (err error) {
	defer wrap(&err, "store: removing a device")
	key := by.User.Key().String()
	old, err := s.own(ctx, by, id)
	if err != nil {
		return err
	}
	return s.change(ctx, []string{key}, ownChange(by, fmt.Sprintf("device %q (%s) removed", old.Name, id)), func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `DELETE FROM devices WHERE id = ? AND user = ?`, id, key)
		if err := changed(r, err, device.ErrNoDevice); err != nil {
			return err
		}
		_, err = endInvitations(ctx, tx, key)
		return err
	})
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
		User: by.User, Method: string(mfa.MethodPush), Text: text,
		Approval: mfa.Approval{Device: by.Name, DeviceID: by.ID},
	}
}
