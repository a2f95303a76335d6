package providers

import (
	"context"
	"errors"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/mfa/password/ldap"
	"github.com/radmatch/radmatch/radius/upstream"
)

var (
	_ admin.NameFinder = (*password.File)(nil)
	_ admin.NameFinder = (*ldap.Primary)(nil)
	_ admin.NameFinder = (*password.None)(nil)
	_ admin.NameFinder = (password.Sequence)(nil)
	_ admin.NameFinder = (*upstream.Primary)(nil)

	_ admin.GroupKnower = (*password.File)(nil)
	_ admin.GroupKnower = (*ldap.Primary)(nil)
	_ admin.GroupKnower = (*password.None)(nil)
	_ admin.GroupKnower = (password.Sequence)(nil)
)

// Resolver is an admin.Resolver with the primaries that it asks, which are to be closed.
type Resolver struct {
	admin.Resolver
	built Primaries
}

// NewResolver builds the primaries. One that cannot be built, because its password
// is in a file that this operator may not read, keeps no command from the others.
func NewResolver(cfg *config.Config) (*Resolver, error) {
	p, err := CommandParts(cfg)
	if err != nil {
		return nil, &console.ExitError{Code: console.ExitConfig, Err: err, Hint: "radmatch check"}
	}
	r := &Resolver{built: Primaries{}}
	used := usedPrimaries(cfg)
	for _, e := range cfg.Primaries {
		primary, err := OpenPrimary(cfg, p, r.built, e)
		asked := admin.Primary{Name: e.Name, Err: err}
		if err == nil {
			asked.Finder = primary.(admin.NameFinder)
		}
		if used[e.Name] {
			r.Resolver = append(r.Resolver, asked)
		}
	}
	if err := checkSharedUsers(cfg, r.built); err != nil {
		return nil, &console.ExitError{Code: console.ExitConfig, Err: errors.Join(err, r.Close()), Hint: "radmatch check"}
	}
	return r, nil
}

// usedPrimaries are those that a login can ask: of a client or, where the file has
// none yet, all that are no part of a sequence.
func usedPrimaries(cfg *config.Config) map[string]bool {
	used := map[string]bool{}
	for i := range cfg.Clients {
		used[cfg.Clients[i].Primary] = true
	}
	if len(used) > 0 {
		return used
	}
	for _, e := range cfg.Primaries {
		used[e.Name] = true
	}
	for _, e := range cfg.Primaries {
		if s, ok := e.Settings.(*password.SequenceSettings); ok {
			for _, member := range s.Primaries {
				used[member] = false
			}
		}
	}
	return used
}

// Close lets go of the primaries.
func (r *Resolver) Close() error { return r.built.Close() }

// UnknownGroup says that a primary does not know a group, and which one may be
// meant. It is empty where the primary does, cannot be asked, or gives no answer,
// which is said of the primary itself.
func (r *Resolver) UnknownGroup(ctx context.Context, primary string, g mfa.Group) string {
	unknown := admin.CheckGroup(ctx, primary, r.built[primary], g)
	if unknown == nil {
		return ""
	}
	return unknown.Error() + config.Suggest(g.String(), unknown.Known)
}
