package command

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/report"
	"github.com/radmatch/radmatch/cmd/radmatch/serve"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/login"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/text"
)

func (a *app) userCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "user",
		Short:   "A user's methods and blocks: show, list, block, unblock",
		Example: "  radmatch user show anna\n  radmatch user block anna\n  radmatch user unblock anna",
	}
	a.literalFlag(c)
	c.AddCommand(
		a.userShowCommand(),
		a.userListCommand(),
		a.userBlockCommand(),
		a.userSubcommand("unblock", "Lift every block of a user, with \"this was not me\" and locked passcodes", a.unblockUser),
	)
	return c
}

func (a *app) userSubcommand(name, short string, f func(context.Context, *store.Store, mfa.Name) error) *cobra.Command {
	return &cobra.Command{
		Use:     name + " USER",
		Short:   short,
		Example: "  radmatch user " + name + " anna",
		Args:    exactArgs(1, "radmatch user "+name+" USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if mfa.NameOf(args[0]).IsZero() {
				return console.UsageError("radmatch user "+name+" USER", "user %s: the name is empty", name)
			}
			return a.withUser(cmd.Context(), args[0], func(st *store.Store, user mfa.Name) error { return f(cmd.Context(), st, user) })
		},
	}
}

func (a *app) userShowCommand() *cobra.Command {
	var asJSON bool
	c := a.userSubcommand("show", "Show the methods, blocks, locks and last logins of a user", func(ctx context.Context, st *store.Store, name mfa.Name) error {
		r, err := a.showUser(ctx, st, name)
		if err != nil {
			return err
		}
		if asJSON {
			return a.PrintJSON(r)
		}
		t := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
		r.Print(t)
		return t.Flush()
	})
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) userBlockCommand() *cobra.Command {
	var reason string
	c := a.userSubcommand("block", "Block a user: no login is accepted, whatever password and passcode are typed", func(ctx context.Context, st *store.Store, name mfa.Name) error {
		if err := admin.CheckReason(reason); err != nil {
			return console.UsageError("radmatch user block USER --reason TEXT", "user block: %w", flagged(err))
		}
		return a.blockUser(ctx, st, name, reason)
	})
	c.Example += "\n  radmatch user block anna --reason \"left the company, INC-4711\""
	c.Flags().StringVar(&reason, "reason", "", "why, for the audit trail and user show")
	return c
}

func (a *app) blockUser(ctx context.Context, st *store.Store, name mfa.Name, reason string) error {
	if err := operations(st).Block(ctx, actor(), name, reason); err != nil {
		return err
	}
	fmt.Fprintf(a.Stdout, "Blocked %s\n", text.Printable(name.String(), 128))
	u, err := st.User(ctx, name)
	if err == nil && a.literal && !u.Registered() {
		fmt.Fprintf(a.Stderr, "radmatch: note: %s has no method registered; the name must be the one that the primary returns\n", text.Printable(name.String(), 128))
	}
	return err
}

func (a *app) unblockUser(ctx context.Context, st *store.Store, name mfa.Name) error {
	if err := operations(st).Unblock(ctx, actor(), name); err != nil {
		return err
	}
	fmt.Fprintf(a.Stdout, "Unblocked %s\n", text.Printable(name.String(), 128))
	return nil
}

func (a *app) showUser(ctx context.Context, st *store.Store, name mfa.Name) (*report.User, error) {
	limits, err := a.limits(ctx, st)
	if err != nil {
		return nil, err
	}
	r, err := operations(st).Show(ctx, name, limits)
	if err != nil {
		return nil, err
	}
	return report.NewUser(r), nil
}

// limits are those of a server that starts now. Without a configuration that can be
// read nothing is known of them, and they are nil.
func (a *app) limits(ctx context.Context, st *store.Store) (admin.Limits, error) {
	cfg, err := a.LoadForCommand()
	if err != nil {
		fmt.Fprintln(a.Stderr, "radmatch: note: whether codes are locked is not known: the configuration cannot be read (radmatch check)")
		return nil, nil
	}
	limits := &login.Limits{}
	return limits, serve.RestoreLimits(ctx, st, cfg, limits)
}

func (a *app) userListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the users with a method or a block",
		Example: "  radmatch user list\n  radmatch user list --json",
		Args:    exactArgs(0, "radmatch user list"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.WithStore(cmd.Context(), func(st *store.Store) error { return a.listUsers(cmd.Context(), st, asJSON) })
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

// listedUser is a line of `user list`.
type listedUser struct {
	User     string   `json:"user"`
	Blocked  bool     `json:"blocked"`
	Default  string   `json:"default"`
	Devices  int      `json:"devices"`
	Tokens   int      `json:"tokens"`
	Pass     bool     `json:"pass"` // valid now
	NoPushAt []string `json:"no_push_at,omitempty"`
}

func (a *app) listUsers(ctx context.Context, st *store.Store, asJSON bool) error {
	names, err := st.Users(ctx)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	if !asJSON {
		fmt.Fprintln(t, "USER\tBLOCKED\tDEFAULT\tDEVICES\tTOKENS\tPASS\tNO PUSH AT")
	}
	for _, name := range names {
		u, err := st.User(ctx, name)
		if err != nil {
			return err
		}
		l := listedUser{u.Name.String(), u.Blocked, report.DefaultMethod(&u), u.Devices, u.Codes, u.Pass, u.PushBlocked}
		if asJSON {
			if err := a.PrintJSON(l); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%s\t%s\n", text.Printable(l.User, 128), report.YesNo(l.Blocked), l.Default, l.Devices, l.Tokens,
			report.YesNo(l.Pass), report.OrDash(strings.Join(l.NoPushAt, ","), 64))
	}
	return t.Flush()
}
