package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/mfa/password/ldap"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/radius/upstream"
)

var (
	_ admin.NameFinder = (*password.File)(nil)
	_ admin.NameFinder = (*ldap.Primary)(nil)
	_ admin.NameFinder = (*password.None)(nil)
	_ admin.NameFinder = (password.Sequence)(nil)
	_ admin.NameFinder = (*upstream.Primary)(nil)
)

// resolver is an admin.Resolver with the primaries that it asks, which are to be closed.
type resolver struct {
	admin.Resolver
	built primaries
}

// newResolver builds the primaries. One that cannot be built, because its password
// is in a file that this operator may not read, keeps no command from the others.
func newResolver(cfg *config.Config) (*resolver, error) {
	p, err := commandParts(cfg)
	if err != nil {
		return nil, &exitError{code: exitConfig, err: err, hint: "radmatch check"}
	}
	r := &resolver{built: primaries{}}
	p.above = r.built
	used := usedPrimaries(cfg)
	for _, e := range cfg.Primaries {
		primary, err := open(cfg, p, primaryTypes, e)
		asked := admin.Primary{Name: e.Name, Err: err}
		if err == nil {
			r.built[e.Name] = primary
			asked.Finder = primary.(admin.NameFinder)
		}
		if used[e.Name] {
			r.Resolver = append(r.Resolver, asked)
		}
	}
	if err := checkSharedUsers(cfg, r.built); err != nil {
		return nil, &exitError{code: exitConfig, err: errors.Join(err, r.Close()), hint: "radmatch check"}
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

func (r *resolver) Close() error { return r.built.Close() }

// literalFlag gives a command whose arguments name a user the flag --literal.
func (a *app) literalFlag(c *cobra.Command) {
	c.PersistentFlags().BoolVar(&a.literal, "literal", false, "take the name as it is typed, and do not ask the primary for it")
}

// withUser calls f with the database and with what the primary calls the user whom
// the operator has typed.
func (a *app) withUser(ctx context.Context, typed string, f func(st *store.Store, user mfa.Name) error) error {
	if a.literal {
		return a.withStore(ctx, func(st *store.Store) error { return f(st, mfa.NameOf(typed)) })
	}
	cfg, st, err := a.openConfigured(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	user, err := a.resolveUser(ctx, cfg, typed)
	if err != nil {
		return err
	}
	return f(st, user)
}

// withUserOrAll is withUser for a command that may be given a user; the name is
// the zero Name where it is not.
func (a *app) withUserOrAll(ctx context.Context, args []string, f func(st *store.Store, user mfa.Name) error) error {
	if len(args) == 0 {
		return a.withStore(ctx, func(st *store.Store) error { return f(st, mfa.Name{}) })
	}
	return a.withUser(ctx, args[0], f)
}

// resolveUser returns the canonical name of the user whom the operator has typed,
// and says so where it is another one.
func (a *app) resolveUser(ctx context.Context, cfg *config.Config, typed string) (mfa.Name, error) {
	name := mfa.NameOf(typed)
	if a.literal {
		return name, nil
	}
	r, err := newResolver(cfg)
	if err != nil {
		return mfa.Name{}, err
	}
	defer r.Close()
	user, err := r.Resolve(ctx, name)
	if err != nil {
		return mfa.Name{}, withHint(literalHint(err), err)
	}
	if !user.Name.Is(name) {
		fmt.Fprintf(a.stderr, "radmatch: the user is %s (you typed %s)\n", text.Printable(user.Name.String(), 128), text.Printable(typed, 128))
	}
	if user.Unsure != "" {
		fmt.Fprintf(a.stderr, "radmatch: note: primary %s cannot look users up: whether it knows %s is not known\n", user.Unsure, text.Printable(user.Name.String(), 128))
	}
	if user.Silent != "" {
		fmt.Fprintf(a.stderr, "radmatch: note: primary %s gives no answer: whether it knows %s too is not known\n", user.Silent, text.Printable(typed, 128))
	}
	return user.Name, nil
}

// literalHint says what to do about a name that was not taken.
func literalHint(err error) string {
	switch {
	case errors.Is(err, admin.ErrUnknownName):
		return "is it spelled as the user signs in? --literal takes it as it is, such as for a user who has left"
	case errors.Is(err, admin.ErrNoAnswer):
		return "--literal takes the name as it is: then type what the primary calls the user, as radmatch events shows it"
	}
	return "--literal with the name of the one who is meant"
}
