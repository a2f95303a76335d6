package op

import (
	"net/netip"

	"github.com/radmatch/radmatch/mfa"
)

// MaxBypasses is how many bypasses there can be at once.
const MaxBypasses = 100

// BeginBypass stores a bypass; Done.Bypass is its id.
type BeginBypass struct{ Bypass mfa.Bypass }

// EndBypass removes a bypass. ErrNotFound where there is none with this id.
type EndBypass struct{ ID int64 }

// Unlatch forgets that an address of a client signs, or for the zero Addr that any does;
// Done.N is how many there were. ErrNotFound where there was none.
type Unlatch struct {
	Client string
	Addr   netip.Addr
}

// Reseal seals every secret with another key, which the key file must have by now, and makes
// it the one that seals from then on; Done.N is the number of tokens.
type Reseal struct{ Key byte }

func (BeginBypass) Users() []mfa.Name { return nil }
func (EndBypass) Users() []mfa.Name   { return nil }
func (Unlatch) Users() []mfa.Name     { return nil }
func (Reseal) Users() []mfa.Name      { return nil }
