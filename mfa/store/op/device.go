package op

import (
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
)

// MaxRegistrations bounds the devices of one user at one provider other than our own: each
// is notified of every prompt.
const MaxRegistrations = 8

// Invite stores an invitation in the place of the user's older one. ErrBlocked for a user
// who is blocked.
type Invite struct{ Invitation device.Invitation }

// Uninvite ends a user's invitation. ErrNotFound where there is none.
type Uninvite struct{ User mfa.Name }

// Enroll registers a device of our own by an invitation, which ends with it.
// device.ErrInvitation where that is not valid, device.ErrNameTaken where the user has a
// device of that name.
type Enroll struct {
	Invitation [32]byte // its hash
	Device     device.Device
}

// AddDevice registers a device of another provider than our own. device.ErrNameTaken
// where the user has a device of that name.
type AddDevice struct{ Device device.Device }

// RemoveDevice removes the user's device with this id, or, where there is none, the one
// with this name (empty: none), and ends the user's invitations: with one, the device
// could be enrolled anew. device.ErrNoDevice where there is none.
type RemoveDevice struct {
	User     mfa.Name
	ID, Name string
}

// RenameDevice gives a device of a user another name. device.ErrNameTaken where another one
// has it, device.ErrNoDevice where the user has no such device.
type RenameDevice struct {
	User     mfa.Name
	ID, Name string
}

// AddPasskey gives a device its passkey. device.ErrPasskeyExists where it has one, or
// another device has this one.
type AddPasskey struct {
	User    mfa.Name
	Device  string // id
	Passkey device.Passkey
}

func (o Invite) Users() []mfa.Name       { return one(o.Invitation.User) }
func (o Uninvite) Users() []mfa.Name     { return one(o.User) }
func (o Enroll) Users() []mfa.Name       { return one(o.Device.User) }
func (o AddDevice) Users() []mfa.Name    { return one(o.Device.User) }
func (o RemoveDevice) Users() []mfa.Name { return one(o.User) }
func (o RenameDevice) Users() []mfa.Name { return one(o.User) }
func (o AddPasskey) Users() []mfa.Name   { return one(o.User) }
