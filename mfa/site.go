package mfa

import (
	"context"
	"time"
)

// Site is what the nodes of a site keep for each other of logins that wait. A server that
// is alone has none. Its methods may be called concurrently.
type Site interface {
	// NewState returns a State that no other node gives out, of at most 32 printable octets. It
	// cannot be guessed.
	NewState() string
	// KeepState has the other nodes find a challenge. It is queued: nobody waits for it, and a
	// loss of power may undo it.
	KeepState(s OpenState)
	// FindState returns the challenge of another node, or of one before this. nil: there is
	// none. It may wait a moment for a challenge that is on its way.
	FindState(ctx context.Context, state string) (*OpenState, error)
	// Entries reads the entries of one login, in order, as they are in the database now.
	Entries(ctx context.Context, user Name, login string) ([]Event, error)
	// Fresh brings into memory what was appended for a user before the call: Directory.User
	// shows it when Fresh returns nil.
	Fresh(ctx context.Context, user Name) error
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
