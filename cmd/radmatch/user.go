package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/otp"
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
				return usageError("radmatch user "+name+" USER", "user %s: the name is empty", name)
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
			return a.printJSON(r)
		}
		t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
		r.print(t)
		return t.Flush()
	})
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) userBlockCommand() *cobra.Command {
	var reason string
	c := a.userSubcommand("block", "Block a user: no login is accepted, whatever password and passcode are typed", func(ctx context.Context, st *store.Store, name mfa.Name) error {
		if err := admin.CheckReason(reason); err != nil {
			return usageError("radmatch user block USER --reason TEXT", "user block: %w", flagged(err))
		}
		return a.blockUser(ctx, st, name, reason)
	})
	c.Example += "\n  radmatch user block anna --reason \"left the company, INC-4711\""
	c.Flags().StringVar(&reason, "reason", "", "why, for the audit trail and user show")
	return c
}

// defaultText says what a login asks for first, and why.
func defaultText(u *mfa.User) string {
	switch m := u.DefaultMethod(); {
	case m == "":
		return "none"
	case m == u.Default:
		return string(m)
	case m == mfa.MethodPush:
		return "push (has a device)"
	}
	return "otp (has no device)"
}

// describePass says whether a pass can be used now.
func describePass(t *otp.Token, now time.Time) string {
	uses := admin.PassOptions{Once: t.Once}.Uses()
	switch {
	case t.Once && t.Next > 0:
		return "used"
	case !now.Before(t.Expires):
		return "expired " + t.Expires.Local().Format(time.DateTime)
	case now.Before(t.NotBefore):
		return "for " + uses + " from " + t.NotBefore.Local().Format(time.DateTime)
	}
	return "for " + uses + " until " + t.Expires.Local().Format(time.DateTime)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (a *app) blockUser(ctx context.Context, st *store.Store, name mfa.Name, reason string) error {
	if err := operations(st).Block(ctx, actor(), name, reason); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "Blocked %s\n", text.Printable(name.String(), 128))
	u, err := st.User(ctx, name)
	if err == nil && a.literal && !u.Registered() {
		fmt.Fprintf(a.stderr, "radmatch: note: %s has no method registered; the name must be the one that the primary returns\n", text.Printable(name.String(), 128))
	}
	return err
}

func (a *app) unblockUser(ctx context.Context, st *store.Store, name mfa.Name) error {
	if err := operations(st).Unblock(ctx, actor(), name); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "Unblocked %s\n", text.Printable(name.String(), 128))
	return nil
}
