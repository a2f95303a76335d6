package mfa

import (
	"context"
	"errors"
)

// Version says how many things have happened to a user, and under which primary
// database that was read. Two are equal only where nothing happened in between.
type Version struct {
	Epoch uint32
	N     int64
}

// ErrStale means that something has happened to the user since the version that a
// decision was made on. Directory.User shows it by now: decide again.
var ErrStale = errors.New("others came first")

// Ledger is the log of each user: what was decided, entry after entry. It may be called
// concurrently.
//
// Append commits ev as the entry of ev.User that comes after base. nil: it is on disk
// wherever a failover may lead, and what follows from it is in memory. ErrStale: another
// entry came first. Any other error: nobody knows whether it is on disk; accept no login.
// Two entries of a user are never on their way at once: the second one is stale. A commit
// is not interrupted when ctx ends; ctx's error is a failure like any other.
//
// What Event.Reports has an event of kind EventReport in the same commit, and an
// EventLogin with Reason ReasonNotMe blocks as Journal says.
type Ledger interface {
	Append(ctx context.Context, base Version, ev Event) error
}

// Use is the use of a passcode. It counts from the entry on that carries it.
type Use struct {
	Method string // totp, hotp or tap
	Token  string // its id
	Step   int64  // the step or counter of the code
	Drift  int    // steps that the token's clock is off from now on
	// Reusable: a pass that is not for one login. Nothing is used up.
	Reusable bool
}

// Take brings the use of a code into the event that ends its login.
func (ev *Event) Take(u Use) {
	ev.Method, ev.Token, ev.Step, ev.Drift, ev.Used = u.Method, u.Token, u.Step, u.Drift, !u.Reusable
}

// The kinds of entries that are steps of a login and no lines of the audit trail:
// `radmatch events` leaves them out.
const (
	EventOpen     EventKind = "open"     // a prompt is about to ring; Event.Prompt is all of it
	EventJoin     EventKind = "join"     // another request waits for a prompt; Event.Requests has that one
	EventTry      EventKind = "try"      // a wrong code; its login goes on
	EventApproved EventKind = "approved" // a device has approved, and no packet waited for it
	EventChange   EventKind = "change"   // a command has changed the user: the account is read again
)

// IsStep reports whether an entry of this kind is a step, and no line of the trail.
func (k EventKind) IsStep() bool {
	switch k {
	case EventOpen, EventJoin, EventTry, EventApproved, EventChange:
		return true
	}
	return false
}
