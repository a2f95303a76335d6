package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/text"
)

// NameFinder is what every primary says of names. Both methods return the canonical
// name of a user, or mfa.ErrRejected where the primary has no such user; sure is false
// where it cannot tell whether there is one.
type NameFinder interface {
	// FindName is given what a user types to sign in.
	FindName(ctx context.Context, typed mfa.Name) (name mfa.Name, sure bool, err error)
	// FindNamed is given a canonical name, which a user need not be able to sign in with.
	FindNamed(ctx context.Context, name mfa.Name) (_ mfa.Name, sure bool, err error)
}

// Primary is a primary as a Resolver asks it.
type Primary struct {
	Name   string
	Finder NameFinder
	Err    error // why it could not be built; it then gives no answer
}

// Resolver finds the canonical names of users at the primaries that clients use, in
// the order of the file. A method, a block or a limit counts for the name that a
// primary returns at a login; an operator types what they know the user by: an
// address, a name with a domain, a name with a slip in it. Its methods may be called
// concurrently.
type Resolver []Primary

// Resolved is the user whom an operator means.
type Resolved struct {
	Name mfa.Name
	// Unsure is the primary that could not tell whether there is such a user, and
	// Silent the one that gave no answer; both may be empty.
	Unsure, Silent string
}

// Why a name is not taken.
var (
	ErrUnknownName  = errors.New("no primary knows")
	ErrSeveralUsers = errors.New("may be")
	ErrNoAnswer     = errors.New("gives no answer")
)

// candidate is what one primary makes of a name.
type candidate struct {
	primary string
	name    mfa.Name
	sure    bool
}

// Resolve returns the one user whom typed can mean. Two users who sign in with the
// same name at different primaries are an error: an operator must not block one
// and mean the other.
func (r Resolver) Resolve(ctx context.Context, typed mfa.Name) (Resolved, error) {
	var found []candidate
	var silent string
	var failed error
	var unknown []string
	for i := range r {
		p := &r[i]
		name, sure, err := p.find(ctx, typed)
		switch {
		case errors.Is(err, mfa.ErrRejected):
			unknown = append(unknown, p.Name+": "+strings.TrimSuffix(err.Error(), ": "+mfa.ErrRejected.Error()))
		case err != nil && failed == nil:
			silent, failed = p.Name, fmt.Errorf("primary %s %w: %w", p.Name, ErrNoAnswer, err)
		case err == nil:
			found = append(found, candidate{p.Name, name, sure})
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return compareTrue(b.sure, a.sure) })
	switch {
	case len(found) == 0 && failed != nil:
		return Resolved{}, failed
	case len(found) == 0:
		return Resolved{}, fmt.Errorf("%w %q (%s)", ErrUnknownName, typed, strings.Join(unknown, "; "))
	case slices.ContainsFunc(found, func(c candidate) bool { return !c.name.Is(found[0].name) }):
		return Resolved{}, ambiguousName(typed, found)
	case found[0].sure:
		return Resolved{Name: found[0].name, Silent: silent}, nil
	case failed != nil: // the one that is silent may know the user under another name
		return Resolved{}, failed
	}
	return Resolved{Name: found[0].name, Unsure: found[0].primary}, nil
}

func (p *Primary) find(ctx context.Context, typed mfa.Name) (name mfa.Name, sure bool, err error) {
	if p.Err != nil {
		return mfa.Name{}, false, p.Err
	}
	name, sure, err = p.Finder.FindName(ctx, typed)
	if errors.Is(err, mfa.ErrRejected) {
		if name, sure, named := p.Finder.FindNamed(ctx, typed); !errors.Is(named, mfa.ErrRejected) {
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
	return fmt.Errorf("%q %w %s", typed, ErrSeveralUsers, strings.Join(whom, ", or "))
}

// lookups is how many names are looked up at once: a directory keeps connections
// for its logins.
const lookups = 8

// forEach calls f with the index of each of n things, a few at a time.
func forEach(n int, f func(i int)) {
	var all sync.WaitGroup
	next := make(chan int)
	for range min(n, lookups) {
		all.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
}

// resolveAll is Resolve for many names; failed has why one is not taken. It ends
// with the first that a primary gives no answer for.
func (r Resolver) resolveAll(ctx context.Context, names []mfa.Name) (users []Resolved, failed []error, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	users, failed = make([]Resolved, len(names)), make([]error, len(names))
	forEach(len(names), func(i int) {
		if ctx.Err() != nil {
			return
		}
		users[i], failed[i] = r.Resolve(ctx, names[i])
		if err := failed[i]; err != nil && !errors.Is(err, ErrUnknownName) && !errors.Is(err, ErrSeveralUsers) {
			cancel(err)
		}
	})
	return users, failed, context.Cause(ctx)
}

// errUnsure is a name of a primary that cannot look users up.
var errUnsure = errors.New("cannot look users up")

// Know returns for each of the canonical names nil where a primary has a user who is
// called so, ErrUnknownName where none has, and why that is not known otherwise.
func (r Resolver) Know(ctx context.Context, names []mfa.Name) []error {
	failed := make([]error, len(names))
	forEach(len(names), func(i int) {
		if failed[i] = ctx.Err(); failed[i] == nil {
			failed[i] = r.knows(ctx, names[i])
		}
	})
	return failed
}

func (r Resolver) knows(ctx context.Context, name mfa.Name) error {
	unknown := error(ErrUnknownName)
	for _, p := range r {
		sure, err := false, p.Err
		if err == nil {
			_, sure, err = p.Finder.FindNamed(ctx, name)
		}
		switch {
		case errors.Is(err, mfa.ErrRejected):
		case err != nil:
			unknown = fmt.Errorf("primary %s %w: %w", p.Name, ErrNoAnswer, err)
		case sure:
			return nil
		default:
			unknown = fmt.Errorf("primary %s %w", p.Name, errUnsure)
		}
	}
	return unknown
}
