package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/mfa/password/ldap"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/radius/upstream"
)

// A method, a block or a limit counts for the name that a primary returns at a
// login. An operator types what they know the user by: an address, a name with a
// domain, a name with a slip in it. So each command that takes USER asks the
// primaries first, as a login would.

// nameFinder is what every primary says of names. Both methods return the
// canonical name of a user, or ErrRejected where the primary has no such user;
// sure is false where it cannot tell whether there is one.
type nameFinder interface {
	// FindName is given what a user types to sign in.
	FindName(ctx context.Context, typed mfa.Name) (name mfa.Name, sure bool, err error)
	// FindNamed is given a canonical name, which a user need not be able to sign in with.
	FindNamed(ctx context.Context, name mfa.Name) (_ mfa.Name, sure bool, err error)
}

var (
	_ nameFinder = (*password.File)(nil)
	_ nameFinder = (*ldap.Primary)(nil)
	_ nameFinder = (*password.None)(nil)
	_ nameFinder = (password.Sequence)(nil)
	_ nameFinder = (*upstream.Primary)(nil)
)

// resolver finds the canonical names of users at the primaries that clients use.
// Its methods may be called concurrently.
type resolver struct {
	built   primaries
	finders []namedFinder // in the order of the file
}

type namedFinder struct {
	name   string
	finder nameFinder
	err    error // why it could not be built; it then gives no answer
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
		f := namedFinder{name: e.Name, err: err}
		if err == nil {
			r.built[e.Name] = primary
			f.finder = primary.(nameFinder)
		}
		if used[e.Name] {
			r.finders = append(r.finders, f)
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

// resolved is the user that an operator means.
type resolved struct {
	name mfa.Name
	// unsure is the primary that could not tell whether there is such a user, and
	// silent the one that gave no answer; both may be empty.
	unsure, silent string
}

// Why a name is not taken.
var (
	errUnknownName  = errors.New("no primary knows")
	errSeveralUsers = errors.New("may be")
	errNoAnswer     = errors.New("gives no answer")
)

// candidate is what one primary makes of a name.
type candidate struct {
	primary string
	name    mfa.Name
	sure    bool
}

// resolve returns the one user whom typed can mean. Two users who sign in with the
// same name at different primaries are an error: an operator must not block one
// and mean the other.
func (r *resolver) resolve(ctx context.Context, typed mfa.Name) (resolved, error) {
	var found []candidate
	var silent string
	var failed error
	var unknown []string
	for _, f := range r.finders {
		name, sure, err := f.find(ctx, typed)
		switch {
		case errors.Is(err, mfa.ErrRejected):
			unknown = append(unknown, f.name+": "+strings.TrimSuffix(err.Error(), ": "+mfa.ErrRejected.Error()))
		case err != nil && failed == nil:
			silent, failed = f.name, fmt.Errorf("primary %s %w: %w", f.name, errNoAnswer, err)
		case err == nil:
			found = append(found, candidate{f.name, name, sure})
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return compareTrue(b.sure, a.sure) })
	switch {
	case len(found) == 0 && failed != nil:
		return resolved{}, failed
	case len(found) == 0:
		return resolved{}, fmt.Errorf("%w %q (%s)", errUnknownName, typed, strings.Join(unknown, "; "))
	case slices.ContainsFunc(found, func(c candidate) bool { return !c.name.Is(found[0].name) }):
		return resolved{}, ambiguousName(typed, found)
	case found[0].sure:
		return resolved{name: found[0].name, silent: silent}, nil
	case failed != nil: // the one that is silent may know the user under another name
		return resolved{}, failed
	}
	return resolved{name: found[0].name, unsure: found[0].primary}, nil
}

func (f *namedFinder) find(ctx context.Context, typed mfa.Name) (name mfa.Name, sure bool, err error) {
	if f.err != nil {
		return mfa.Name{}, false, f.err
	}
	name, sure, err = f.finder.FindName(ctx, typed)
	if errors.Is(err, mfa.ErrRejected) {
		if name, sure, named := f.finder.FindNamed(ctx, typed); !errors.Is(named, mfa.ErrRejected) {
			return name, sure, named
		}
	}
	return name, sure, err
}

func compareTrue(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func ambiguousName(typed mfa.Name, found []candidate) error {
	var whom []string
	for _, c := range found {
		whom = append(whom, fmt.Sprintf("%s at primary %s", text.Printable(c.name.String(), 128), c.primary))
	}
	return fmt.Errorf("%q %w %s", typed, errSeveralUsers, strings.Join(whom, ", or "))
}

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
	user, err := r.resolve(ctx, name)
	if err != nil {
		return mfa.Name{}, withHint(literalHint(err), err)
	}
	if !user.name.Is(name) {
		fmt.Fprintf(a.stderr, "radmatch: the user is %s (you typed %s)\n", text.Printable(user.name.String(), 128), text.Printable(typed, 128))
	}
	if user.unsure != "" {
		fmt.Fprintf(a.stderr, "radmatch: note: primary %s cannot look users up: whether it knows %s is not known\n", user.unsure, text.Printable(user.name.String(), 128))
	}
	if user.silent != "" {
		fmt.Fprintf(a.stderr, "radmatch: note: primary %s gives no answer: whether it knows %s too is not known\n", user.silent, text.Printable(typed, 128))
	}
	return user.name, nil
}

// literalHint says what to do about a name that was not taken.
func literalHint(err error) string {
	switch {
	case errors.Is(err, errUnknownName):
		return "is it spelled as the user signs in? --literal takes it as it is, such as for a user who has left"
	case errors.Is(err, errNoAnswer):
		return "--literal takes the name as it is: then type what the primary calls the user, as radmatch events shows it"
	}
	return "--literal with the name of the one who is meant"
}
