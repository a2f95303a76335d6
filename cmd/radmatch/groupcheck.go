package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/mfa/password/ldap"
)

var (
	_ admin.GroupKnower = (*password.File)(nil)
	_ admin.GroupKnower = (*ldap.Primary)(nil)
	_ admin.GroupKnower = (*password.None)(nil)
	_ admin.GroupKnower = (password.Sequence)(nil)
)

// checkGroups warns of groups in the configuration that the primary of the client
// does not know: a name that is misspelt lets nobody in, or requires nothing.
func (a *app) checkGroups(ctx context.Context, cfg *config.Config) error {
	r, err := newResolver(cfg)
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
				if why := r.unknownGroup(ctx, c.Primary, mfa.GroupOf(text)); why != "" {
					a.find(foundWarning, "client "+c.Name, l.key+": "+why, "")
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

// unknownGroup says that a primary does not know a group, and which one may be
// meant. It is empty where the primary does, cannot be asked, or gives no answer,
// which is said of the primary itself.
func (r *resolver) unknownGroup(ctx context.Context, primary string, g mfa.Group) string {
	unknown := admin.CheckGroup(ctx, primary, r.built[primary], g)
	if unknown == nil {
		return ""
	}
	return unknown.Error() + config.Suggest(g.String(), unknown.Known)
}

// checkGroup refuses a group for a bypass that none of the primaries knows at
// which it would count.
func (a *app) checkGroup(ctx context.Context, cfg *config.Config, g mfa.Group, client string) error {
	if a.literal {
		return nil
	}
	r, err := newResolver(cfg)
	if err != nil {
		return err
	}
	defer r.Close()
	why := ""
	for i := range cfg.Clients {
		c := &cfg.Clients[i]
		if client != "" && c.Name != client {
			continue
		}
		unknown := r.unknownGroup(ctx, c.Primary, g)
		if unknown == "" {
			return nil
		}
		why = unknown
	}
	if why == "" {
		return nil
	}
	return withHint("--literal takes the group as it is typed", fmt.Errorf("bypass: %s", why))
}
