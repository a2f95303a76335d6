package radius

import (
	"fmt"
	"slices"
	"strings"
)

// Profile is what a kind of client can do. It is immutable.
type Profile struct {
	Name         string
	Prompts      bool // shows an Access-Challenge and sends the answer
	ReplyMessage bool // shows Reply-Message to the person
	NoPassword   bool // sends requests without any credential (RD Gateway)
	// EndUser lists the attributes that name the person's seat; the first one
	// that a request carries counts.
	EndUser []AttributeType
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
		EndUser:      []AttributeType{{Type: typeCallingStationID}},
	},
}

// LookupProfile returns the profile with this name.
func LookupProfile(name string) (*Profile, error) {
	for _, p := range profiles {
		if p.Name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("must be one of %s; got %q", strings.Join(ProfileNames(), ", "), name)
}

// ProfileNames lists the known profiles in alphabetical order.
func ProfileNames() []string {
	var names []string
	for _, p := range profiles {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return names
}
