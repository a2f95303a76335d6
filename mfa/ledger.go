package mfa

import (
	"context"
	"errors"
	"time"
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
// entry came first. After any other error it may be on disk or not: accept no login.
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
	EventOpen     EventKind = "open"     // a prompt is about to be shown; Event.Prompt is all of it
	EventJoin     EventKind = "join"     // another request waits for a prompt; Event.Requests has that one
	EventTry      EventKind = "try"      // a wrong code; its login goes on
	EventApproved EventKind = "approved" // a device has approved, and no packet waited for it
	EventChange   EventKind = "change"   // a command has changed the user: the account is read again
	// EventGuess is a wrong password of a name from an origin, for the delays of the other nodes.
	// It has no number, so that an attacker is not in the way of the user's entries.
	EventGuess EventKind = "guess"
)

// IsStep reports whether an entry of this kind is a step, and no line of the trail.
func (k EventKind) IsStep() bool {
	switch k {
	case EventOpen, EventJoin, EventTry, EventApproved, EventChange, EventGuess:
		return true
	}
	return false
}

// Site is what the nodes of a site keep for each other of logins that wait. A server
// without other nodes has none. Its methods may be called concurrently.
type Site interface {
	// NewState returns a State that no other node gives out, of at most 32 printable octets. It
	// cannot be guessed.
	NewState() string
	// KeepState has the other nodes find a challenge. It is queued and not
	// awaited, and a loss of power may undo it.
	KeepState(s OpenState)
	// FindState returns the challenge of another node, or of one before this. nil: there is
	// none. It may wait a moment for a challenge that is on its way.
	FindState(ctx context.Context, state string) (*OpenState, error)
	// Entries reads the entries of one login, in order, as they are in the database now.
	Entries(ctx context.Context, user Name, login string) ([]Event, error)
	// Fresh brings into memory what was appended for a user before the call: Directory.User
	// shows it when Fresh returns nil.
	Fresh(ctx context.Context, user Name) error
	// Run names this run of the node. Gone reports whether a run is over: it has stopped, or
	// said nothing for three seconds. It is false where that is not known.
	Run() string
	Gone(ctx context.Context, run string) bool
	// Derive returns 32 octets that are the same at every node, and that nobody without the
	// key of the site can tell: HMAC-SHA-256 over purpose and data, which cannot run into
	// each other.
	Derive(purpose, data string) []byte
}

// OpenState is a challenge that is out, for a node that did not give it out.
type OpenState struct {
	State   string
	User    NameKey // of the login: whose entries count
	Login   string  // its id
	Tries   int     // wrong codes of the login when the challenge was made
	Expires time.Time
	// Data is the login and its challenge, as package login encodes them. It is sealed on disk:
	// reply attributes may be secrets.
	Data []byte
}
