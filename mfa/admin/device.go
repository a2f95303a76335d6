package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/otp"
)

// Devices are the registered devices, of our own push provider and of others.
type Devices interface {
	// ListDevices returns those of a user, or of everybody for the zero Name.
	ListDevices(ctx context.Context, user mfa.Name) ([]device.Device, error)
	// AddDevice registers a device of another provider than our own.
	// device.ErrNameTaken where another one of the user has its name.
	AddDevice(ctx context.Context, d device.Device, ev mfa.Event) error
	// RemoveDevice also ends the user's invitations. device.ErrNoDevice where the user
	// has no such device.
	RemoveDevice(ctx context.Context, user mfa.Name, idOrName string, ev mfa.Event) error
}

// Invitations let devices of our own provider enrol.
type Invitations interface {
	// Invite stores an invitation in the place of the user's older one, and refuses it
	// to a user who is blocked.
	Invite(ctx context.Context, in device.Invitation, ev mfa.Event) error
	Uninvite(ctx context.Context, user mfa.Name, ev mfa.Event) error
}

// The lifetimes that an invitation may have.
const (
	DefaultInvitation = 24 * time.Hour
	minInvitation     = time.Minute
	maxInvitation     = 30 * 24 * time.Hour
)

// CheckInvitation says what is wrong with an invitation: an Invalid where it is the
// lifetime.
func CheckInvitation(user mfa.Name, lifetime time.Duration) error {
	if lifetime < minInvitation || lifetime > maxInvitation {
		return &Invalid{"lifetime", fmt.Sprintf("must be 1m to %v; got %v", maxInvitation, lifetime)}
	}
	return otp.CheckUser(user)
}

// Invite lets one device of the user enrol, until the invitation expires, with the
// token that it returns, which is kept nowhere.
func (a *Admin) Invite(ctx context.Context, by Actor, user mfa.Name, lifetime time.Duration) (token string, in device.Invitation, err error) {
	if err := CheckInvitation(user, lifetime); err != nil {
		return "", device.Invitation{}, err
	}
	ev, err := by.event(user, fmt.Sprintf("device invitation, valid for %v", lifetime))
	if err != nil {
		return "", device.Invitation{}, err
	}
	token, in = device.NewInvitation(user, time.Now().Add(lifetime))
	if err := a.Store.Invite(ctx, in, ev); err != nil {
		return "", device.Invitation{}, err
	}
	return token, in, nil
}

// Uninvite takes back the invitation of a user that was not used.
func (a *Admin) Uninvite(ctx context.Context, by Actor, user mfa.Name) error {
	ev, err := by.event(user, "device invitation taken back")
	if err != nil {
		return err
	}
	return a.Store.Uninvite(ctx, user, ev)
}

// maxDeviceName is in characters.
const maxDeviceName = 64

// CheckDevice says what is wrong with a device that is to be registered at another
// push provider: an Invalid where it is the name of the device.
func CheckDevice(user mfa.Name, name string) error {
	if err := otp.CheckUser(user); err != nil {
		return err
	}
	if name != text.Printable(name, maxDeviceName) {
		return &Invalid{"name", fmt.Sprintf("must be at most %d characters that print", maxDeviceName)}
	}
	return nil
}

// AddDevice registers the user at another push provider than our own, as a device of
// this name.
func (a *Admin) AddDevice(ctx context.Context, by Actor, user mfa.Name, provider, name string) (device.Device, error) {
	if err := CheckDevice(user, name); err != nil {
		return device.Device{}, err
	}
	d := device.NewRegistration(user, provider, name, time.Now())
	ev, err := by.event(user, fmt.Sprintf("device %q at %q added", name, provider))
	if err != nil {
		return device.Device{}, err
	}
	ev.Device, ev.DeviceID = d.Name, d.ID
	return d, a.Store.AddDevice(ctx, d, ev)
}

// RemoveDevice removes the user's device with this id or name: from then on it can
// decide nothing.
func (a *Admin) RemoveDevice(ctx context.Context, by Actor, user mfa.Name, idOrName string) error {
	ev, err := by.event(user, fmt.Sprintf("device %q removed", idOrName))
	if err != nil {
		return err
	}
	return a.Store.RemoveDevice(ctx, user, idOrName, ev)
}
