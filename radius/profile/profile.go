package profile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// EnoughTime is what a user needs at least to find a phone and approve.
const EnoughTime = 30 * time.Second

// Profile is what a kind of client can do. It is immutable.
type Profile struct {
	Name              string
	Device            string // what users call it
	Prompts           bool   // shows an Access-Challenge and sends the answer
	ShowsReplyMessage bool   // shows Reply-Message to the user
	NoPassword        bool   // sends requests without any credential (RD Gateway)
	// StaticChallenge: may send password and passcode as OpenVPN's SCRV1 (auth-user-pass
	// with static-challenge).
	StaticChallenge bool
	// EndUser lists the attributes that name the end user; the first one
	// that a request carries counts.
	EndUser []Field
	// AddressAttribute lists the attributes that hold the end user's address; the first
	// one that a request carries counts, also where it cannot be read.
	AddressAttribute []Field
	// PortInEndUser: the end user is written with the port of the connection, which is
	// another one at each login.
	PortInEndUser bool
	// NASTimeout is how long the client waits for an answer as it is delivered, with
	// all that it sends again. 0: not known.
	NASTimeout time.Duration
	// Enough is the longest that it helps to wait where that is below EnoughTime:
	// something behind the device gives up by itself. 0: EnoughTime.
	Enough time.Duration
	// OneMessage: only the first Reply-Message of an answer is shown.
	OneMessage bool
	// MaxAnswer is the longest answer that the client reads, in octets; 0: any.
	MaxAnswer int
	// MFA is the keys of mfa: that the profile sets in the file, by name.
	MFA map[string]any

	Waits   string   // how NASTimeout comes about
	Signing string   // what lets it sign its requests, or that nothing does
	Raise   string   // what to set on the device so that it waits for a user
	Quirks  []string // what else an operator must know
	Page    string   // of docs/, with a section of its name: how to set up the device
}

// LongestAnswer is the longest packet that may be sent to the client.
func (p *Profile) LongestAnswer() int {
	if p.MaxAnswer > 0 {
		return p.MaxAnswer
	}
	return wire.MaxPacketSize
}

// TooShort reports whether a client that waits so long gives up before a user can
// answer, though it could be made to wait longer.
func (p *Profile) TooShort(wait time.Duration) bool {
	return wait > 0 && wait < cmp.Or(p.Enough, EnoughTime)
}

// Lookup returns the profile with this name.
func Lookup(name string) (*Profile, error) {
	var names []string
	for _, p := range profiles {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return nil, fmt.Errorf("must be one of %s; got %q", strings.Join(names, ", "), name)
}

// All returns all profiles, generic first.
func All() []*Profile { return slices.Clone(profiles) }

// The fields that profiles name.
var (
	callingStation = Field{AttributeType: wire.AttributeType{Type: wire.TypeCallingStationID}}
	tunnelClient   = Field{AttributeType: wire.AttributeType{Type: wire.TypeTunnelClientEndpoint}}
	paloAltoSource = Field{AttributeType: wire.AttributeType{Vendor: wire.VendorPaloAlto, Type: 7}}
	machineName    = Field{AttributeType: wire.AttributeType{Vendor: wire.VendorMicrosoft, Type: wire.MSMachineName}}
)

// SigningHint says what to do about requests that are not signed.
func (p *Profile) SigningHint() string {
	return cmp.Or(p.Signing, "let the client send Message-Authenticator, if it can") + "; otherwise set require_message_authenticator: no for it"
}

// Fits says what keeps reply attributes from being sent to a client that is asked
// by PAP and behind no proxy.
func (p *Profile) Fits(attributes []mfa.Attribute) error {
	var auth [wire.AuthSize]byte
	w := wire.NewWriter(nil, wire.AccessAccept, 0, auth[:], wire.NewSecret(nil))
	w.Most = p.LongestAnswer()
	for _, a := range attributes {
		w.Add(a)
	}
	return w.Fits(0)
}
