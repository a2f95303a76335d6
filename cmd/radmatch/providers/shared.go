package providers

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
)

// maxSharedUsers bounds the lines about users that two primaries share.
const maxSharedUsers = 20

// checkSharedUsers refuses two primaries that may know the same name. Methods,
// blocks and prompts belong to a name: of two users one could approve for the
// other. Files are compared now; of directories the names must end differently;
// and a directory's user who is called like one of a file is refused at the login.
func checkSharedUsers(cfg *config.Config, built Primaries) error {
	var found []error
	directories := map[string]string{} // namespace to name
	for i, e := range cfg.Primaries {
		primary, opened := built[e.Name]
		if !opened {
			continue // a command goes on without one that cannot be opened
		}
		can := primary.Abilities()
		found = append(found, sharedNames(cfg, built, i, can, maxSharedUsers-len(found))...)
		for _, space := range can.Namespaces {
			if other, taken := directories[space]; taken {
				found = append(found, fmt.Errorf("%s: canonical_domain and domains: must differ from those of primary %q: both could have a user of the same name", e.Where, other))
			}
			directories[space] = e.Name
		}
	}
	return errors.Join(found...)
}

// Taken reports whether a name is, or may be, that of a user whom a primary of
// another type than none knows.
func (ps Primaries) Taken(user mfa.Name) bool {
	name, space := user.Key().String(), ""
	if at := strings.LastIndexByte(name, '@'); at >= 0 {
		space = mfa.NameOf(name[at+1:]).Key().String()
	} else if strings.Contains(name, `\`) {
		return ps.inFile(user)
	}
	for _, p := range ps {
		if can := p.Abilities(); !can.ChecksNothing && slices.Contains(can.Namespaces, space) {
			return true
		}
	}
	return ps.inFile(user)
}

func (ps Primaries) inFile(name mfa.Name) bool {
	for _, p := range ps {
		if can := p.Abilities(); can.Knows != nil && can.Knows(name) {
			return true
		}
	}
	return false
}

// sharedNames returns the users of entry i that an entry before it has in its list too,
// at most most of them.
func sharedNames(cfg *config.Config, built Primaries, i int, can mfa.Abilities, most int) []error {
	var found []error
	for _, before := range cfg.Primaries[:i] {
		primary, opened := built[before.Name]
		if !opened || can.Names == nil {
			continue
		}
		other := primary.Abilities()
		if other.Knows == nil {
			continue
		}
		for name := range can.Names {
			if !other.Knows(name) {
				continue
			}
			if len(found) >= most {
				return found
			}
			found = append(found, fmt.Errorf("%s: user %q must not be in primary %q too", cfg.Primaries[i].Where, name, before.Name))
		}
	}
	return found
}
