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
	ID        string // opaque, unique
	User      string // canonical name
	Kind      Kind
	Secret    []byte // the shared key; for a pass the pass itself. Sealed at rest
	Algorithm string // SHA1, SHA256 or SHA512
	Digits    int    // 6 or 8
	Period    int    // seconds, TOTP only
	Next      int64  // lowest step (TOTP) or counter (HOTP) that may still be accepted
	Drift     int    // steps that the token's clock is off, TOTP only
	Serial    string
	Label     string    // manufacturer and model, or free text
	NotBefore time.Time // pass only
	Expires   time.Time // pass only
	Once      bool      // pass only: one login, then it is used up (Next becomes 1)
	Created   time.Time
}

// Use is the consumption of a code.
type Use struct {
	Token    string
	Step     int64 // the accepted step or counter; the token's Next becomes Step+1
	Drift    int   // the token's drift from now on
	Reusable bool  // a pass that is not for one login: nothing is marked
}

// ErrUsed means that another login has used this step, or a later one, or that
// the token is gone.
var ErrUsed = errors.New("step already used")

// Store holds tokens. Its methods may be called concurrently.
type Store interface {
	// Tokens returns the user's tokens with their secrets opened, from memory;
	// the caller owns them. The name is folded by the store.
	Tokens(ctx context.Context, user string) ([]Token, error)
	// Use compares and sets the token's Next in memory, so that of two
	// concurrent uses of one step one gets ErrUsed, then commits ev with token
	// and step in it. nil means on disk. After a failed commit the step stays used.
	Use(ctx context.Context, u Use, ev mfa.Event) error
}
