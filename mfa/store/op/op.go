// Package op has the operations that change what the store keeps. Each is plain
// data: what shall be, and for whom. The store applies one or more of them together with
// their event in one commit, or none of them.
//
// An operation that depends on what is there (a name that must be free, a token that must
// exist) is checked in the same commit, and says by its error why it was refused.
package op

import (
	"errors"

	"github.com/radmatch/radmatch/mfa"
)

// The errors of operations, beside those of packages otp and device.
var (
	// ErrNotFound means that what was to be changed or removed is not there.
	ErrNotFound = errors.New("not found")
	// ErrBlocked means that a user who is blocked gets no invitation.
	ErrBlocked = errors.New("user is blocked")
	// ErrNothing means that the operations had nothing to do. There was no commit.
	ErrNothing = errors.New("nothing to commit")
)

// Op is an operation that an operator or a user has asked for.
type Op interface {
	// Users are those whose methods or blocks it changes. None: it changes what
	// belongs to no user (bypasses, latched addresses, sealing keys).
	Users() []mfa.Name
}

// Note is what a server writes down of what its memory already has, without an event.
type Note interface{ note() }

// Done is what operations say of themselves after their commit.
type Done struct {
	// Change is their place among all changes: a command waits until the server
	// has taken it over.
	Change int64
	// N is how many rows Unlatch removed, or Reseal sealed.
	N int
	// Bypass is the id of what BeginBypass began.
	Bypass int64
	// Refused has an error for each token of AddTokens that was left out, nil for
	// the others.
	Refused []error
}

func one(user mfa.Name) []mfa.Name { return []mfa.Name{user} }
