package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/providers"
	"github.com/radmatch/radmatch/cmd/radmatch/report"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/otp"
)

// literalFlag gives a command whose arguments name a user the flag --literal.
func (a *app) literalFlag(c *cobra.Command) {
	c.PersistentFlags().BoolVar(&a.literal, "literal", false, "use the name as typed, without asking the primary")
}

// withUser calls f with the database and with what the primary calls the user whom
// the operator has typed.
func (a *app) withUser(ctx context.Context, typed string, f func(st *store.Store, user mfa.Name) error) error {
	if a.literal {
		return a.WithStore(ctx, func(st *store.Store) error { return f(st, mfa.NameOf(typed)) })
	}
	cfg, st, err := a.OpenConfigured(ctx)
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
		return a.WithStore(ctx, func(st *store.Store) error { return f(st, mfa.Name{}) })
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
	r, err := providers.NewResolver(cfg)
	if err != nil {
		return mfa.Name{}, err
	}
	defer r.Close()
	user, err := r.Resolve(ctx, name)
	if err != nil {
		return mfa.Name{}, console.WithHint(literalHint(err), err)
	}
	if !user.Name.Is(name) {
		fmt.Fprintf(a.Stderr, "radmatch: the user is %s (you typed %s)\n", text.Printable(user.Name.String(), 128), text.Printable(typed, 128))
	}
	if user.Unsure != "" {
		fmt.Fprintf(a.Stderr, "radmatch: note: primary %s cannot look users up: whether it knows %s is not known\n", user.Unsure, text.Printable(user.Name.String(), 128))
	}
	if user.Silent != "" {
		fmt.Fprintf(a.Stderr, "radmatch: note: primary %s gives no answer: whether it knows %s too is not known\n", user.Silent, text.Printable(typed, 128))
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

// checkGroup refuses a group for a bypass that none of the primaries knows at
// which it would count.
func (a *app) checkGroup(ctx context.Context, cfg *config.Config, g mfa.Group, client string) error {
	if a.literal {
		return nil
	}
	r, err := providers.NewResolver(cfg)
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
		unknown := r.UnknownGroup(ctx, c.Primary, g)
		if unknown == "" {
			return nil
		}
		why = unknown
	}
	if why == "" {
		return nil
	}
	return console.WithHint("--literal takes the group as it is typed", fmt.Errorf("bypass: %s", why))
}

// resolveRows puts the names that the primaries use into the rows of a file, and says
// so where they are others.
func (a *app) resolveRows(ctx context.Context, cfg *config.Config, rows []otp.Row) (good []otp.Row, bad []otp.RowError, err error) {
	if a.literal || len(rows) == 0 {
		return rows, nil, nil
	}
	r, err := providers.NewResolver(cfg)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	all, err := r.ResolveRows(ctx, rows)
	if err != nil {
		return nil, nil, console.WithHint(literalHint(err), fmt.Errorf("totp import: %w", err))
	}
	if len(all.Renamed) > 0 {
		var list []string
		for _, n := range all.Renamed {
			list = append(list, fmt.Sprintf("%s (%s in the file)", text.Printable(n.User.String(), 128), text.Printable(n.InFile.String(), 128)))
		}
		fmt.Fprintf(a.Stderr, "radmatch: note: %d rows are for users whom the primary calls otherwise: %s\n", len(list), report.Few(list))
	}
	if all.Unsure != "" {
		fmt.Fprintf(a.Stderr, "radmatch: note: primary %s cannot look users up: whether it knows those of the file is not known\n", all.Unsure)
	}
	return all.Good, all.Bad, nil
}
