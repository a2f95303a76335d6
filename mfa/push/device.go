package push

import (
	"context"
	"errors"
	"time"
)

// Device is a phone, browser or program that receives prompts. It holds its own
// P-256 key, of which Key is the public half (PKIX, DER).
type Device struct {
	ID      string // opaque, unique
	User    string // canonical name
	Name    string
	Key     []byte
	Version int // of the device protocol that it last spoke
	Added   time.Time
	Seen    time.Time
	Passkey *Passkey // nil: none
}

// Invitation lets one device enrol for User until Expires. Of its token only
// the SHA-256 is stored.
type Invitation struct {
	Hash    [32]byte
	User    string
	Expires time.Time
}

// ErrInvitation means that an invitation is unknown, used or expired.
var ErrInvitation = errors.New("invitation unknown, used or expired")

// ErrNoDevice means that a device is unknown or removed.
var ErrNoDevice = errors.New("device unknown or removed")

// Store holds devices and invitations. Its methods may be called concurrently.
// Devices and Device answer from memory and fold names themselves.
type Store interface {
	Devices(ctx context.Context, user string) ([]Device, error)
	// Device returns ErrNoDevice for one that is unknown or removed.
	Device(ctx context.Context, id string) (Device, error)
	// Enroll uses up the invitation with this hash and adds d, whose User it
	// sets, in one commit. ErrInvitation if the invitation is not valid.
	Enroll(ctx context.Context, hash [32]byte, d Device) (Device, error)
	// SeenDevice notes protocol version and time; it may write later, in bulk.
	SeenDevice(ctx context.Context, id string, version int, at time.Time) error
}
