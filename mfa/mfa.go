package mfa

import (
	"context"
	"iter"
)

// PrimaryContinuer is a PasswordChecker whose primary may ask for more. Continue
// brings the answer to a challenge that Check or Continue returned, and returns
// what Check would. Each challenge is continued at most once.
type PrimaryContinuer interface {
	PasswordChecker
	// Continue gets the Carrier of the Request that brought the answer.
	Continue(ctx context.Context, user Name, c *PrimaryChallenge, answer Password, carrier any) (Identity, error)
}

// Forwarder is a PasswordChecker that asks another server, and tells it what the
// transport knows of the login.
type Forwarder interface {
	PasswordChecker
	// CheckForwarded is Check with the Carrier of the login's Request. A nil carrier,
	// or one of another transport, has nothing to tell.
	CheckForwarded(ctx context.Context, user Name, cred Credential, carrier any) (Identity, error)
}

// PasswordChecker checks the first factor. Check may be called concurrently. A
// nil error means that cred belongs to user; the Identity is then complete.
// ErrRejected means a wrong password or an unknown user (who costs the same
// time as a known one), ErrUnsupported that this checker cannot examine this
// kind of credential for this user. It must give up when ctx ends. The slices
// of an Identity are never written to after the return.
//
// A PasswordChecker that keeps connections or processes is an io.Closer too.
// Close is called once, when a reload has put another in its place or the
// server has ended: it lets go of what is idle. Checks that still run, or begin
// later because their login began before, go on to work and leave nothing behind.
type PasswordChecker interface {
	Check(ctx context.Context, user Name, cred Credential) (Identity, error)
	// Abilities always returns the same. It is asked when a configuration comes into
	// use, and at no login.
	Abilities() Abilities
}

// Abilities tells what a primary can do beside checking a first factor. The zero value
// can do nothing, and asks something outside of this process.
type Abilities struct {
	Finder    IdentityFinder   // nil: it finds no user without a password
	Continuer PrimaryContinuer // nil: it asks no questions
	Forwarder Forwarder        // nil: it needs nothing that only the transport knows
	Namer     Namer            // nil: only a login tells how it names a user
	// Knows reports from memory whether a name is one of its users'. Names yields all
	// of them. Both are nil where it has no list of them.
	Knows func(Name) bool
	Names iter.Seq[Name]
	// Namespaces is what the names of its users may end in, folded, where no other
	// primary's may; empty for names without a domain. A name that it takes as it
	// comes has one that is no domain.
	Namespaces []string
	FromMemory bool // it answers without asking anything, and need not be told when the NAS gives up
	// ChecksNothing: it refuses every password, and is for clients that send none.
	ChecksNothing bool
	// TriedAtStart: it is a Connector that a start may try; nothing counts that against a user.
	TriedAtStart bool
}

// Connector is a PasswordChecker or a Pusher that asks something outside of this process.
// Connect tries each server that it names, for `radmatch check --connect`; nil
// means that all work. Its error is a *ConnectError, or several joined.
type Connector interface {
	Connect(ctx context.Context) error
}

// IdentityFinder is a PasswordChecker that can look a user up without a
// password. Find returns the Identity that Check would, or ErrRejected for an
// unknown user. It proves nothing about who asks.
type IdentityFinder interface {
	Find(ctx context.Context, user Name) (Identity, error)
}

// Namer is a PasswordChecker that tells from memory under which name it will
// return a user whose password is right. It proves nothing about who asks.
type Namer interface {
	CanonicalName(user Name) Name
}

// CodeVerifier verifies passcodes. Both methods may be called concurrently.
type CodeVerifier interface {
	// CheckCode returns how code, which is right for user, would be used up. It only looks:
	// what uses it up is the entry that carries the Use, on a version of the user that was
	// read before the call. The same code may be checked several times for one decision.
	// ErrRejected means a wrong code, with ErrCodeUsed one that was used.
	CheckCode(ctx context.Context, user Name, code string) (Use, error)
	// HasForm reports whether answer has the form of one of the user's codes
	// (spaces and full-width digits included). It does not examine the code.
	HasForm(user Name, answer string) bool
}

// Journal is the audit trail. Record returns nil when ev is on disk. It may be
// called concurrently. What Event.Reports has an event of kind EventReport in the same
// commit. An EventLogin with Reason ReasonNotMe also blocks push
// for its user and group, and with BlocksUser the user, in it too.
type Journal interface {
	Record(ctx context.Context, ev Event) error
}
