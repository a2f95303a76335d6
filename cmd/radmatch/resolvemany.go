package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/otp"
)

// resolveRows puts the names that the primaries use into the rows of a file, and says
// so where they are others.
func (a *app) resolveRows(ctx context.Context, cfg *config.Config, rows []otp.Row) (good []otp.Row, bad []otp.RowError, err error) {
	if a.literal || len(rows) == 0 {
		return rows, nil, nil
	}
	r, err := newResolver(cfg)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	all, err := r.ResolveRows(ctx, rows)
	if err != nil {
		return nil, nil, withHint(literalHint(err), fmt.Errorf("totp import: %w", err))
	}
	if len(all.Renamed) > 0 {
		var list []string
		for _, n := range all.Renamed {
			list = append(list, fmt.Sprintf("%s (%s in the file)", text.Printable(n.User.String(), 128), text.Printable(n.InFile.String(), 128)))
		}
		fmt.Fprintf(a.stderr, "radmatch: note: %d rows are for users whom the primary calls otherwise: %s\n", len(list), few(list))
	}
	if all.Unsure != "" {
		fmt.Fprintf(a.stderr, "radmatch: note: primary %s cannot look users up: whether it knows those of the file is not known\n", all.Unsure)
	}
	return all.Good, all.Bad, nil
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
	var unknown []string
	var silent error
	notKnown := 0
	for i, err := range r.Know(ctx, names) {
		switch {
		case errors.Is(err, admin.ErrUnknownName):
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
		if u.Blocked || u.Registered() {
			names = append(names, name)
		}
	}
	return names, nil
}

// few is a list of names for a line of text: the first ones.
func few(names []string) string {
	const most = 5
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
