package device

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// Device is a phone, browser or program that receives prompts. It holds its own
// P-256 key, of which Key is the public half (PKIX, DER).
type Device struct {
	ID      string   // opaque, unique
	User    mfa.Name // canonical
	Name    string
	Key     []byte
	Version int // of the device protocol that it last spoke
	Added   time.Time
	Seen    time.Time
	Passkey *Passkey // nil: none
	// Web is where it takes Web Push; nil: it does not.
	Web *WebSubscription
	// Provider is the name of the push provider that the user is registered at.
	// Such a device has no key and never speaks the device protocol. Empty: ours.
	Provider string
}

// NewRegistration returns a device that stands for a user at another provider.
func NewRegistration(user mfa.Name, provider, name string, now time.Time) Device {
	return Device{ID: newID(), User: user, Name: name, Provider: provider, Added: now}
}

// Registrations knows who is registered at which provider. DevicesOf may be
// called concurrently, answers from memory and folds the name itself.
type Registrations interface {
	DevicesOf(ctx context.Context, user mfa.Name, provider string) ([]Device, error)
}

// ErrNameTaken means that another device of the user has the name.
var ErrNameTaken = errors.New("another device of this user has this name")

// SameName reports whether users would take two names of devices for one.
func SameName(a, b string) bool { return strings.EqualFold(strings.TrimSpace(a), strings.TrimSpace(b)) }

// FreeName returns name, with a number behind it where a device of the user, of
// which these are the names, has it already.
func FreeName(name string, taken []string) string {
	free := name
	for n := 2; slices.ContainsFunc(taken, func(other string) bool { return SameName(free, other) }); n++ {
		mark := fmt.Sprintf(" (%d)", n)
		runes := []rune(name)
		free = strings.TrimSpace(string(runes[:min(len(runes), maxName-len(mark))])) + mark
	}
	return free
}

// ErrNoDevice means that a device is unknown or removed.
var ErrNoDevice = errors.New("device unknown or removed")

// Store holds devices and invitations. Its methods may be called concurrently.
// Devices and Device answer from memory, fold names themselves, and know our own
// devices only: those of another provider have no key to sign with.
type Store interface {
	Devices(ctx context.Context, user mfa.Name) ([]Device, error)
	// Device returns ErrNoDevice for one that is unknown or removed.
	Device(ctx context.Context, id string) (Device, error)
	// Invited returns a valid invitation, or ErrInvitation.
	Invited(ctx context.Context, hash [32]byte) (Invitation, error)
	// Enroll uses up the invitation with this hash and adds d, in one commit. It
	// sets User, and another Name where the user has a device of that name.
	// ErrInvitation if the invitation is not valid.
	Enroll(ctx context.Context, hash [32]byte, d Device) (Device, error)
	// SeenDevice notes protocol version and time; it may write later, in bulk.
	SeenDevice(ctx context.Context, id string, version int, at time.Time) error
}

// idAlphabet has the characters of a device id.
const idAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789"

// newID returns an id of 80 random bits that a user can type.
func newID() string { return strings.ToLower(rand.Text()[:16]) }
