package ldap

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password/ldap/conn"
)

// maxGroupNames bounds the names of groups that GroupNames returns.
const maxGroupNames = 1000

// groupClass is what a group is, where there are users with a cn too.
const groupClass = "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=posixGroup)(objectClass=group)(member=*)(uniqueMember=*)(memberUid=*))"

// HasGroup reports whether the directory has a group where groups count.
func (p *Primary) HasGroup(ctx context.Context, g mfa.Group) (bool, error) {
	found, err := p.someGroups(ctx, g)
	return slices.ContainsFunc(found, g.Is), err
}

// GroupNames returns the names of some groups of the directory.
func (p *Primary) GroupNames(ctx context.Context) ([]string, error) {
	found, err := p.someGroups(ctx, mfa.Group{})
	names := map[string]bool{}
	for _, g := range found {
		names[g.String()] = true
	}
	return slices.Sorted(maps.Keys(names)), err
}

// someGroups returns the groups that are called like one, or any for the zero Group.
func (p *Primary) someGroups(ctx context.Context, like mfa.Group) (found []mfa.Group, err error) {
	if p.settings.Groups == "none" {
		return nil, nil
	}
	ctx, cancel := p.limit(ctx)
	defer cancel()
	err = p.search(ctx, func(ctx context.Context, c *conn.Conn, d *directory) error {
		g := p.groupsOf(d.ad)
		attribute := "cn"
		if g.mode == "token_groups" {
			attribute = "sAMAccountName"
		}
		q := conn.Query{Base: g.base, Filter: groupClass, Attributes: []string{attribute}, Most: maxGroupNames, First: true}
		switch {
		case like.ByDN() && !conn.IsBelow(like.DN(), g.base):
			return nil
		case like.ByDN():
			q.Base, q.Alone = like.DN(), true
		case !like.IsZero():
			q.Filter = fmt.Sprintf("(&%s(%s=%s))", groupClass, attribute, conn.Escape(like.String()))
		}
		entries, err := c.Search(ctx, q)
		if result := (*conn.ResultError)(nil); like.ByDN() && errors.As(err, &result) && result.Code == conn.CodeNoSuchObject {
			return nil
		}
		if err != nil {
			return fmt.Errorf("groups: %w", err)
		}
		found = nil
		for i := range entries {
			name := groupName(&entries[i])
			if values := entries[i].Values("sAMAccountName"); len(values) == 1 {
				name = values[0]
			}
			if name != "" {
				found = append(found, mfa.GroupIn(name, entries[i].DN))
			}
		}
		return nil
	})
	return found, err
}
