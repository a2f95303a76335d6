package radius

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Profile is what a kind of client can do. It is immutable.
type Profile struct {
	Name         string
	Prompts      bool // shows an Access-Challenge and sends the answer
	ReplyMessage bool // shows Reply-Message to the person
	NoPassword   bool // sends requests without any credential (RD Gateway)
	// StaticChallenge: may send password and passcode as OpenVPN's SCRV1 (auth-user-pass
	// with static-challenge).
	StaticChallenge bool
	// EndUser lists the attributes that name the person's seat; the first one
	// that a request carries counts.
	EndUser []Field
	// Address lists the attributes that hold the end user's address; the first
	// one that a request carries counts, also where it cannot be read.
	Address []Field
	// PortInSeat: the seat is written with the port of the connection, which is
	// another one at each attempt.
	PortInSeat bool
	// Budget is how long the client waits for an answer, with all that it sends
	// again. 0: not known.
	Budget time.Duration
	// MFA is the keys of mfa: that the profile sets in the file, by name.
	MFA map[string]any
}

// AttributeType identifies an attribute; Vendor 0 is the standard space.
type AttributeType struct {
	Vendor uint32
	Type   byte
}

// profiles is never written.
var profiles = []*Profile{
	{
		Name:         "generic",
		Prompts:      true,
		ReplyMessage: true,
		EndUser:      []Field{{AttributeType: AttributeType{Type: typeCallingStationID}}},
		Address:      []Field{{AttributeType: AttributeType{Type: typeCallingStationID}}},
	},
}

// LookupProfile returns the profile with this name.
func LookupProfile(name string) (*Profile, error) {
	var names []string
	for _, p := range profiles {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return nil, fmt.Errorf("must be one of %s; got %q", strings.Join(names, ", "), name)
}

// Profiles returns all profiles, generic first.
func Profiles() []*Profile { return slices.Clone(profiles) }
