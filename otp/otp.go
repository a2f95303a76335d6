package otp

import (
	"context"
	"errors"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// Kind is the kind of a token.
type Kind string

// The kinds.
const (
	TOTP Kind = "totp" // RFC 6238
	HOTP Kind = "hotp" // RFC 4226
	Pass Kind = "tap"  // Temporary Access Pass
)

// Token is one registered code method of a user.
type Token struct {
	ID        string   // opaque, unique
	User      mfa.Name // canonical
	Kind      Kind
	Secret    []byte // the shared key; for a pass the pass itself. Sealed at rest
	Algorithm string // SHA1, SHA256 or SHA512; empty for a pass
	Digits    int    // 6 or 8; for a pass the number of its characters
	Period    int    // seconds, TOTP only
	Next      int64  // lowest step (TOTP) or counter (HOTP) that may still be accepted
	Drift     int    // steps that the token's clock is off, TOTP only
	// Doubt: codes may have been used that Next does not know of. One code of such a HOTP
	// token is not enough; two in a row are.
	Doubt     bool
	Serial    string
	Label     string    // manufacturer and model, or free text
	NotBefore time.Time // pass only
	Expires   time.Time // pass only
	Once      bool      // pass only: one login, then it is used up (Next becomes 1)
	Created   time.Time
}

// MaxTokens is how many tokens a user may have, the pass included. It bounds
// the work of one wrong code.
const MaxTokens = 10

// Forms tells what the codes of one user look like. It holds no secret. The
// zero value is a user without any token.
type Forms struct {
	Six, Eight bool // has a TOTP or HOTP token of 6, of 8 digits
	Pass       int  // characters of the pass, expired ones included; 0: none
}

// With returns the forms with those of t added. It does not look at t's secret.
func (f Forms) With(t Token) Forms {
	switch {
	case t.Kind == Pass:
		f.Pass = t.Digits
	case t.Digits == 6:
		f.Six = true
	case t.Digits == 8:
		f.Eight = true
	}
	return f
}

// Use is what an operator uses up of a token: that of a login is mfa.Use.
type Use struct {
	User  mfa.Name // whose token it is
	Token string
	Step  int64 // the accepted step or counter; the token's Next becomes Step+1
	Drift int   // the token's drift from now on
}

// ErrUsed means that this step, or a later one, is used up, or that the token is gone.
var ErrUsed = errors.New("step already used")

// The errors of registering a token.
var (
	// ErrDuplicate: the user has a token with this secret, or someone has one
	// with this serial number. One code would verify twice, or for two users.
	ErrDuplicate = errors.New("token is already registered")
	// ErrTooMany: the user has MaxTokens tokens.
	ErrTooMany = errors.New("user has too many tokens")
	// ErrNoToken: the user has no such token.
	ErrNoToken = errors.New("no such token")
)

// Store holds tokens. Its methods may be called concurrently.
type Store interface {
	// Tokens returns the user's tokens with their secrets opened, from memory and
	// always in the same order; the caller owns them.
	Tokens(ctx context.Context, user mfa.Name) ([]Token, error)
	// Forms answers from memory without opening a secret: it is asked for every
	// answer to a prompt. A user that it does not know has the zero Forms.
	Forms(user mfa.Name) Forms
}
