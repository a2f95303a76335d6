package password

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/radmatch/radmatch/mfa"
)

// maxGroupNames bounds the names of groups that GroupNames returns.
const maxGroupNames = 1000

// HasGroup reports whether a user of the file is in a group.
func (f *File) HasGroup(_ context.Context, g mfa.Group) (bool, error) {
	return slices.ContainsFunc(f.all, func(u *fileUser) bool { return slices.ContainsFunc(u.groups, g.Is) }), nil
}

// GroupNames returns the groups of the file.
func (f *File) GroupNames(context.Context) ([]string, error) {
	names := map[string]bool{}
	for _, u := range f.all {
		for _, g := range u.groups {
			names[g.String()] = true
		}
	}
	return sortedKeys(names), nil
}

// HasGroup implements what File does: nobody has a group.
func (n *None) HasGroup(context.Context, mfa.Group) (bool, error) { return false, nil }

// GroupNames implements what File does.
func (n *None) GroupNames(context.Context) ([]string, error) { return nil, nil }

// HasGroup reports whether a member has a group.
func (s Sequence) HasGroup(ctx context.Context, g mfa.Group) (bool, error) {
	for _, m := range s {
		if has, err := m.HasGroup(ctx, g); has || err != nil {
			return has, err
		}
	}
	return false, nil
}

// GroupNames returns some of the groups of all members.
func (s Sequence) GroupNames(ctx context.Context) (names []string, err error) {
	for _, m := range s {
		some, err := m.GroupNames(ctx)
		if err != nil {
			return nil, err
		}
		names = append(names, some...)
	}
	return names, nil
}

// groupClass is what a group is, where there are users with a cn too.
const groupClass = "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=posixGroup)(objectClass=group)(member=*)(uniqueMember=*)(memberUid=*))"

// HasGroup reports whether the directory has a group where groups count.
func (l *LDAP) HasGroup(ctx context.Context, g mfa.Group) (bool, error) {
	found, err := l.someGroups(ctx, g)
	return slices.ContainsFunc(found, g.Is), err
}

// GroupNames returns the names of some groups of the directory.
func (l *LDAP) GroupNames(ctx context.Context) ([]string, error) {
	found, err := l.someGroups(ctx, mfa.Group{})
	names := map[string]bool{}
	for _, g := range found {
		names[g.String()] = true
	}
	return sortedKeys(names), err
}

// someGroups returns the groups that are called like one, or any for the zero Group.
func (l *LDAP) someGroups(ctx context.Context, like mfa.Group) (found []mfa.Group, err error) {
	if l.settings.Groups == "none" {
		return nil, nil
	}
	ctx, cancel := l.limit(ctx)
	defer cancel()
	err = l.search(ctx, func(ctx context.Context, c *ldapConn, d *directory) error {
		g := l.groupsOf(d.ad)
		attribute := "cn"
		if g.mode == "token_groups" {
			attribute = "sAMAccountName"
		}
		query := ldapQuery{base: g.base, filter: groupClass, attributes: []string{attribute}, most: maxGroupNames, first: true}
		switch {
		case like.ByDN() && !isBelow(like.DN(), g.base):
			return nil
		case like.ByDN():
			query.base, query.alone = like.DN(), true
		case !like.IsZero():
			query.filter = fmt.Sprintf("(&%s(%s=%s))", groupClass, attribute, escapeLDAP(like.String()))
		}
		entries, err := c.search(ctx, query)
		if result := (*ldapResult)(nil); like.ByDN() && errors.As(err, &result) && result.code == ldapNoSuchObject {
			return nil
		}
		if err != nil {
			return fmt.Errorf("groups: %w", err)
		}
		found = nil
		for i := range entries {
			name := groupName(&entries[i])
			if values := entries[i].values("sAMAccountName"); len(values) == 1 {
				name = values[0]
			}
			if name != "" {
				found = append(found, mfa.GroupIn(name, entries[i].dn))
			}
		}
		return nil
	})
	return found, err
}

func sortedKeys(names map[string]bool) []string {
	list := make([]string, 0, len(names))
	for name := range names {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}
