package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/otp"
)

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

// resolveRows puts the names that the primaries use into the rows of a file.
// Those whose user no primary knows are bad ones. Where a primary gives no
// answer nothing is imported: the same file then does in an hour.
func (a *app) resolveRows(ctx context.Context, cfg *config.Config, rows []otp.Row) (good []otp.Row, bad []otp.RowError, err error) {
	if a.literal || len(rows) == 0 {
		return rows, nil, nil
	}
	r, err := newResolver(cfg)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	var names []mfa.Name
	at := map[mfa.NameKey]int{}
	for _, row := range rows {
		if _, ok := at[row.Token.User.Key()]; !ok {
			at[row.Token.User.Key()] = len(names)
			names = append(names, row.Token.User)
		}
	}
	users, failed, err := r.resolveAll(ctx, names)
	if err != nil {
		return nil, nil, withHint(literalHint(err), fmt.Errorf("totp import: nothing is imported: %w", err))
	}
	var renamed []string
	unsure := ""
	for _, row := range rows {
		i := at[row.Token.User.Key()]
		if failed[i] != nil {
			bad = append(bad, otp.RowError{Line: row.Line, Problem: failed[i].Error()})
			continue
		}
		if !users[i].name.Is(row.Token.User) {
			renamed = append(renamed, fmt.Sprintf("%s (%s in the file)", text.Printable(users[i].name.String(), 128), text.Printable(row.Token.User.String(), 128)))
		}
		if users[i].unsure != "" {
			unsure = users[i].unsure
		}
		row.Token.User = users[i].name
		good = append(good, row)
	}
	if len(renamed) > 0 {
		fmt.Fprintf(a.stderr, "radmatch: note: %d rows are for users whom the primary calls otherwise: %s\n", len(renamed), few(renamed))
	}
	if unsure != "" {
		fmt.Fprintf(a.stderr, "radmatch: note: primary %s cannot look users up: whether it knows those of the file is not known\n", unsure)
	}
	return good, bad, nil
}

// resolveAll is resolve for many names; failed has why one is not taken. It ends
// with the first that a primary gives no answer for.
func (r *resolver) resolveAll(ctx context.Context, names []mfa.Name) (users []resolved, failed []error, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	users, failed = make([]resolved, len(names)), make([]error, len(names))
	forEach(len(names), func(i int) {
		if ctx.Err() != nil {
			return
		}
		users[i], failed[i] = r.resolve(ctx, names[i])
		if err := failed[i]; err != nil && !errors.Is(err, errUnknownName) && !errors.Is(err, errSeveralUsers) {
			cancel(err)
		}
	})
	return users, failed, context.Cause(ctx)
}

// namesTime is how long `check --connect` looks registered users up.
const namesTime = 30 * time.Second

// checkNames warns of registered users whom no primary knows by the name that they
// have here: their second factor, and a block, count for nobody.
func (a *app) checkNames(ctx context.Context, cfg *config.Config) error {
	if !hasDatabase(cfg) {
		return nil
	}
	st, err := a.openStore(ctx, cfg)
	if err != nil {
		return err
	}
	defer st.Close()
	if err := a.warnClashes(ctx, st); err != nil {
		return err
	}
	names, err := registered(ctx, st)
	if err != nil || len(names) == 0 {
		return err
	}
	r, err := newResolver(cfg)
	if err != nil {
		return err
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(ctx, namesTime)
	defer cancel()
	failed := make([]error, len(names))
	forEach(len(names), func(i int) {
		if failed[i] = ctx.Err(); failed[i] == nil {
			failed[i] = r.knows(ctx, names[i])
		}
	})
	var unknown []string
	var silent error
	notKnown := 0
	for i, err := range failed {
		switch {
		case errors.Is(err, errUnknownName):
			unknown = append(unknown, text.Printable(names[i].String(), 128))
		case err != nil:
			silent = err
			notKnown++
		}
	}
	if len(unknown) > 0 {
		a.find(foundWarning, "", fmt.Sprintf("%d registered users are called otherwise at the primary, or have left: %s: what is registered for them counts for nobody; radmatch user show NAME --literal",
			len(unknown), few(unknown)), "")
	}
	if notKnown > 0 {
		a.find(foundNote, "", fmt.Sprintf("whether a primary knows %d of the registered users is not known: %v", notKnown, silent), "")
	}
	return nil
}

// warnClashes warns of users who were several before their names were compared as
// directories do it.
func (a *app) warnClashes(ctx context.Context, st *store.Store) error {
	clashes, err := st.Clashes(ctx)
	for _, c := range clashes {
		a.find(foundWarning, "", fmt.Sprintf("user %s was kept apart from %q, which is the same name: what is registered there counts for nobody, and the user was blocked; see radmatch user show, register what is missing, then radmatch user unblock, which removes the rest",
			text.Printable(c.User.String(), 128), c.Others), "")
	}
	return err
}

// registered are the users who have a method, or are blocked.
func registered(ctx context.Context, st *store.Store) ([]mfa.Name, error) {
	all, err := st.Users(ctx)
	if err != nil {
		return nil, err
	}
	var names []mfa.Name
	for _, name := range all {
		u, err := st.User(ctx, name)
		if err != nil {
			return nil, err
		}
		if u.Blocked || u.HasPass || u.Devices+u.Codes > 0 {
			names = append(names, name)
		}
	}
	return names, nil
}

// errUnsure is a name of a primary that cannot look users up.
var errUnsure = errors.New("cannot look users up")

// knows returns nil where a primary has a user who is called name.
func (r *resolver) knows(ctx context.Context, name mfa.Name) error {
	unknown := error(errUnknownName)
	for _, f := range r.finders {
		sure, err := false, f.err
		if err == nil {
			_, sure, err = f.finder.FindNamed(ctx, name)
		}
		switch {
		case errors.Is(err, mfa.ErrRejected):
		case err != nil:
			unknown = fmt.Errorf("primary %s %w: %w", f.name, errNoAnswer, err)
		case sure:
			return nil
		default:
			unknown = fmt.Errorf("primary %s %w", f.name, errUnsure)
		}
	}
	return unknown
}

// few is a list of names for a line of text: the first ones.
func few(names []string) string {
	const most = 5
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
