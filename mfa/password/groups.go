package password

import (
	"context"
	"maps"
	"slices"

	"github.com/radmatch/radmatch/mfa"
)

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
	return slices.Sorted(maps.Keys(names)), nil
}

// HasGroup implements what File does: no user has a group.
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
