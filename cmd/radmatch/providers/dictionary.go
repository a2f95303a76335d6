package providers

import (
	"errors"
	"fmt"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// OpenDictionary returns the attributes that the configuration may name.
func OpenDictionary(cfg *config.Config) (*wire.Dictionary, error) {
	if cfg.Dictionaries == "" {
		return wire.StandardDictionary(), nil
	}
	d, err := wire.OpenDictionaries(cfg.Resolve(cfg.Dictionaries))
	if err != nil {
		return nil, fmt.Errorf("%s: must be a folder of dictionaries:\n%w", cfg.Where("dictionaries"), err)
	}
	return d, nil
}

// GroupReplies encodes the reply attributes of groups. The error has every
// problem, each with its line.
func GroupReplies(entries []config.GroupReply, d *wire.Dictionary) ([]mfa.GroupReply, error) {
	var replies []mfa.GroupReply
	var all []mfa.Attribute
	var found []error
	for _, e := range entries {
		g := mfa.GroupReply{Group: mfa.GroupOf(e.Group)}
		for _, r := range e.Reply {
			a, err := d.ParseAttribute(r.Name, r.Value)
			if err != nil {
				found = append(found, fmt.Errorf("%s: %w", r.Where, err))
				continue
			}
			g.Attributes, all = append(g.Attributes, a), append(all, a)
		}
		replies = append(replies, g)
	}
	if err := wire.CheckReply(all); err != nil && len(found) == 0 {
		// Someone may be in all of the groups.
		found = append(found, fmt.Errorf("%s: the attributes of all groups together: %w", entries[0].Reply[0].Where, err))
	}
	return replies, errors.Join(found...)
}
