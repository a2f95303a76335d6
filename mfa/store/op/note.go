package op

import (
	"net/netip"
	"time"

	"github.com/radmatch/radmatch/mfa/device"
)

// Latch is an address of a client that has proved that it signs.
type Latch struct {
	Client string
	Addr   netip.Addr
	Since  time.Time
}

// KeepLatch writes a latch. One that is there stays.
type KeepLatch struct{ Latch Latch }

// SeeDevice writes when a device was last there, with what, and the count of its passkey
// (nil: as before). A device that is not there is left out.
type SeeDevice struct {
	ID      string
	Version int
	At      time.Time
	Passkey *device.Passkey
}

// SubscribeDevice writes where a device takes Web Push; without an endpoint, that it does
// not. device.ErrNoDevice where there is no such device.
type SubscribeDevice struct {
	ID           string
	Subscription device.WebSubscription
}

// SeeBypasses writes that the bypasses are in force at a time.
type SeeBypasses struct{ At time.Time }

// SetStats writes what a server has counted for a client; nil removes it.
type SetStats struct {
	Client string
	Data   []byte
}

// ClearStats removes what the server before has counted: for clients that begin so.
type ClearStats struct{ Prefix string }

// KeepWebPushKey seals and writes the key by which push services know this server, unless
// there is one.
type KeepWebPushKey struct{ Secret []byte }

// SetClock writes up to when the clock was trusted that removes old events.
type SetClock struct{ At time.Time }

// DropPrompt removes an open prompt.
type DropPrompt struct{ ID string }

func (DropPrompt) note()      {}
func (KeepLatch) note()       {}
func (SeeDevice) note()       {}
func (SubscribeDevice) note() {}
func (SeeBypasses) note()     {}
func (SetStats) note()        {}
func (ClearStats) note()      {}
func (KeepWebPushKey) note()  {}
func (SetClock) note()        {}
