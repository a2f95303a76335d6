package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/otp"
)

// Tokens are the registered tokens and passes.
type Tokens interface {
	// ListTokens returns those of a user, or of everybody for the zero Name, without
	// their secrets.
	ListTokens(ctx context.Context, user mfa.Name) ([]otp.Token, error)
	AddToken(ctx context.Context, t otp.Token, ev mfa.Event) error
	// AddTokens has an error for each token that it leaves out, nil for the others.
	AddTokens(ctx context.Context, tokens []otp.Token, ev mfa.Event) (refused []error, err error)
	// RemoveToken returns otp.ErrNoToken where the user has no such token.
	RemoveToken(ctx context.Context, user mfa.Name, id string, ev mfa.Event) error
}

// Synchroniser brings tokens back that are out of step.
type Synchroniser interface {
	// Tokens returns those of a user with their secrets.
	Tokens(ctx context.Context, user mfa.Name) ([]otp.Token, error)
	// SyncToken uses up the steps up to that of u. otp.ErrUsed where a login has.
	SyncToken(ctx context.Context, u otp.Use, ev mfa.Event) error
}

// TokenOptions describe a token that is to be registered.
type TokenOptions struct {
	HOTP      bool // one that counts, instead of one with a clock
	Digits    int
	Period    int    // of a clock, in seconds
	Algorithm string // in any spelling, such as sha-256
	Counter   int64  // with HOTP: the next one
	Label     string
	Secret    []byte // nil: a new one is made
}

// NewToken makes the token that the options describe, or says what is wrong with them.
func NewToken(user mfa.Name, o TokenOptions) (otp.Token, error) {
	t := otp.NewTOTP(user)
	t.Period = o.Period
	if o.HOTP {
		t = otp.NewHOTP(user)
		t.Next = o.Counter
	}
	t.Digits, t.Label = o.Digits, o.Label
	t.Algorithm = strings.ReplaceAll(strings.ToUpper(o.Algorithm), "-", "")
	if o.Secret != nil {
		t.Secret = o.Secret
	}
	return t, t.Validate()
}

// AddToken registers a token. otp.ErrDuplicate and otp.ErrTooMany where it cannot.
func (a *Admin) AddToken(ctx context.Context, by Actor, t otp.Token) error {
	ev, err := by.event(t.User, fmt.Sprintf("%s token %s added", t.Kind, t.ID))
	if err != nil {
		return err
	}
	return a.Store.AddToken(ctx, t, ev)
}

// Imported is the outcome of an import.
type Imported struct {
	Added int
	Bad   []otp.RowError // by line
}

// ImportTokens registers the rows of a file of this name, of which bad were bad before.
// The error means that none was registered.
func (a *Admin) ImportTokens(ctx context.Context, by Actor, file string, rows []otp.Row, bad []otp.RowError) (Imported, error) {
	done := Imported{Bad: slices.Clone(bad)}
	ev, err := by.event(mfa.Name{}, fmt.Sprintf("totp import of %q: %d good rows, %d bad", file, len(rows), len(bad)))
	if err != nil {
		return Imported{}, err
	}
	if len(rows) > 0 {
		tokens := make([]otp.Token, len(rows))
		for i, r := range rows {
			tokens[i] = r.Token
		}
		refused, err := a.Store.AddTokens(ctx, tokens, ev)
		if err != nil {
			return Imported{}, err
		}
		for i, err := range refused {
			if err != nil {
				done.Bad = append(done.Bad, otp.RowError{Line: rows[i].Line, Problem: err.Error()})
			} else {
				done.Added++
			}
		}
	}
	slices.SortFunc(done.Bad, func(a, b otp.RowError) int { return a.Line - b.Line })
	return done, nil
}

// ListTokens returns the tokens of a user, or of everybody for the zero Name, without
// their secrets. Passes are not among them.
func (a *Admin) ListTokens(ctx context.Context, user mfa.Name) ([]otp.Token, error) {
	tokens, err := a.Store.ListTokens(ctx, user)
	return slices.DeleteFunc(tokens, func(t otp.Token) bool { return t.Kind == otp.Pass }), err
}

// SeveralTokens means that a user has more than one token, and the operation does not
// say which one it is about.
type SeveralTokens struct {
	User mfa.Name
	N    int
}

func (e *SeveralTokens) Error() string {
	return fmt.Sprintf("%q has %d tokens; say which", e.User, e.N)
}

// RemoveToken removes the token of a user with this id or serial number, and returns
// it. Where which is empty it is the one token of the user. otp.ErrNoToken where there
// is none, SeveralTokens where there are more.
func (a *Admin) RemoveToken(ctx context.Context, by Actor, user mfa.Name, which string) (otp.Token, error) {
	tokens, err := a.ListTokens(ctx, user)
	if err != nil {
		return otp.Token{}, err
	}
	if which != "" {
		tokens = slices.DeleteFunc(tokens, func(t otp.Token) bool { return t.ID != which && t.Serial != which })
	}
	switch {
	case len(tokens) == 0:
		return otp.Token{}, otp.ErrNoToken
	case len(tokens) > 1:
		return otp.Token{}, &SeveralTokens{user, len(tokens)}
	}
	t := tokens[0]
	ev, err := by.event(user, fmt.Sprintf("%s token %s removed", t.Kind, t.ID))
	if err != nil {
		return otp.Token{}, err
	}
	return t, a.Store.RemoveToken(ctx, user, t.ID, ev)
}

// Synchronised is how far off a token was that was brought back.
type Synchronised struct {
	Token string // its id
	Kind  otp.Kind
	Off   time.Duration // of a clock; more than 0 is fast
	Next  int64         // of a counter
}

// String says how far off it was.
func (s Synchronised) String() string {
	switch {
	case s.Kind != otp.TOTP:
		return fmt.Sprintf("its next counter is %d", s.Next)
	case s.Off < 0:
		return fmt.Sprintf("its clock is about %v slow", -s.Off)
	case s.Off > 0:
		return fmt.Sprintf("its clock is about %v fast", s.Off)
	}
	return "its clock is right"
}

// SyncToken brings a token of the user back by two codes that it shows one after the
// other, the second of them just now, and uses both up. otp.ErrSync where they are of
// no token, otp.ErrUsed where a login has used one.
func (a *Admin) SyncToken(ctx context.Context, by Actor, user mfa.Name, first, second string) (Synchronised, error) {
	tokens, err := a.Store.Tokens(ctx, user)
	if err != nil {
		return Synchronised{}, err
	}
	u, err := otp.Synchronise(tokens, first, second, time.Now())
	if err != nil {
		return Synchronised{}, err
	}
	s := Synchronised{Token: u.Token, Next: u.Step + 1}
	for i := range tokens {
		if t := &tokens[i]; t.ID == u.Token {
			s.Kind, s.Off = t.Kind, time.Duration(u.Drift*t.Period)*time.Second
		}
	}
	ev, err := by.event(user, fmt.Sprintf("token %s synchronised: %s", u.Token, s))
	if err != nil {
		return Synchronised{}, err
	}
	return s, a.Store.SyncToken(ctx, u, ev)
}
