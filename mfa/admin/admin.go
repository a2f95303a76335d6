package admin

import (
	"context"
	"errors"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// Admin carries out the operations. Its methods may be called concurrently.
type Admin struct {
	Store Store
}

// Store is what the operations work on. Each method that is given an event makes its
// change and records the event in one commit.
type Store interface {
	Users
	Trail
	Tokens
	Passes
	Synchroniser
	Devices
	Invitations
	Bypasses
	Latches
	Keys
}

// Keys are the keys that seal secrets.
type Keys interface {
	// Rekey returns how many tokens it has sealed with a new key.
	Rekey(ctx context.Context, ev mfa.Event) (int, error)
	// Note records an event that changes nothing.
	Note(ctx context.Context, ev mfa.Event) error
}

// Door is a way by which operators come in.
type Door string

// CLI is the command line of the server's machine.
const CLI Door = "cli"

// Actor is who makes a change, and by which door. The door fills it in. The zero Actor
// may change nothing.
type Actor struct {
	// Name is what events call them: at the command line the operating-system user.
	Name string
	Via  Door
}

// ErrNoActor means that a change does not say who makes it.
var ErrNoActor = errors.New("a change must say who makes it, and by which door")

// event begins the event of a change. The user may be the zero Name.
func (by Actor) event(user mfa.Name, text string) (mfa.Event, error) {
	if by.Name == "" || by.Via == "" {
		return mfa.Event{}, ErrNoActor
	}
	return mfa.Event{Time: time.Now(), Kind: mfa.EventAdmin, Origin: mfa.Origin{User: user}, Details: mfa.Details{Text: text, Operator: by.Name}}, nil
}

// Invalid is a value that an operation does not take.
type Invalid struct {
	Field string // what of the operation it is; several are joined by "and" or "or"
	Rule  string // what it must be
}

func (e *Invalid) Error() string { return e.Field + " " + e.Rule }

// Rekey makes a new key for the secrets of tokens, seals them with it and takes the
// old key out of the file. It returns how many tokens that were.
func (a *Admin) Rekey(ctx context.Context, by Actor) (int, error) {
	ev, err := by.event(mfa.Name{}, "tokens sealed with a new key")
	if err != nil {
		return 0, err
	}
	return a.Store.Rekey(ctx, ev)
}

// NoteBackup records that a backup was written to a file of this name.
func (a *Admin) NoteBackup(ctx context.Context, by Actor, file string) error {
	ev, err := by.event(mfa.Name{}, "backup written to "+file)
	if err != nil {
		return err
	}
	return a.Store.Note(ctx, ev)
}
