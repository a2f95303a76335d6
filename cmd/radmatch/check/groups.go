package check

import (
	"context"
	"maps"
	"slices"

	"github.com/radmatch/radmatch/cmd/radmatch/providers"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
)

// checkGroups warns of groups in the configuration that the primary of the client
// does not know: a name that is misspelt allows no user, or requires nothing.
func (k *checker) checkGroups(ctx context.Context, cfg *config.Config) error {
	r, err := providers.NewResolver(cfg)
	if err != nil {
		return err
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(ctx, namesTime)
	defer cancel()
	said := map[string]bool{}
	for i := range cfg.Clients {
		c := &cfg.Clients[i]
		for _, l := range groupLists(cfg, c) {
			for _, text := range l.groups {
				if said[l.key+"\x00"+text+"\x00"+c.Primary] {
					continue
				}
				said[l.key+"\x00"+text+"\x00"+c.Primary] = true
				if why := r.UnknownGroup(ctx, c.Primary, mfa.GroupOf(text)); why != "" {
					k.find(foundWarning, "client "+c.Name, l.key+": "+why, "")
				}
			}
		}
	}
	return nil
}

// groupList is a key with groups in it.
type groupList struct {
	key    string
	groups []string
}

func groupLists(cfg *config.Config, c *config.Client) []groupList {
	lists := []groupList{{"allow_groups", c.AllowGroups}, {"exempt.groups", c.MFA.Exempt.Groups}, {"require.groups", c.MFA.Require.Groups}}
	for _, g := range c.MFA.GroupReplies {
		lists = append(lists, groupList{"group_replies", []string{g.Group}})
	}
	features := map[string]config.Feature{
		"number_matching": cfg.Policy.NumberMatching, "show_application_name": cfg.Policy.ShowApplicationName, "show_location": cfg.Policy.ShowLocation,
	}
	for _, name := range slices.Sorted(maps.Keys(features)) {
		lists = append(lists, groupList{"policy." + name + ".include", features[name].Include}, groupList{"policy." + name + ".exclude", features[name].Exclude})
	}
	return lists
}
