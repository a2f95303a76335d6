package command

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/report"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/otp"
)

func (a *app) tapCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "tap",
		Short:   "Temporary Access Pass: issue, list, revoke",
		Example: "  radmatch tap issue anna --lifetime 8h\n  radmatch tap revoke anna",
	}
	a.literalFlag(c)
	c.AddCommand(a.tapIssueCommand(), a.tapListCommand(), a.tapRevokeCommand())
	return c
}

func (a *app) tapIssueCommand() *cobra.Command {
	var o admin.PassOptions
	var asJSON bool
	c := &cobra.Command{
		Use:   "issue USER",
		Short: "Issue a pass; it replaces the user's old one",
		Long: `Issue a Temporary Access Pass: a passcode that USER can type until it expires. It is
shown once, and replaces the old one. The password is still needed.`,
		Example: "  radmatch tap issue anna\n  radmatch tap issue anna --lifetime 72h\n  radmatch tap issue anna --once",
		Args:    exactArgs(1, "radmatch tap issue USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.issuePass(cmd.Context(), mfa.NameOf(args[0]).String(), o, asJSON)
		},
	}
	c.Flags().DurationVar(&o.Lifetime, "lifetime", otp.DefaultPassLifetime, "how long it is valid: 10m to 720h")
	c.Flags().BoolVar(&o.Once, "once", false, "valid for one login")
	jsonFlag(c, &asJSON)
	return c
}

// issuedPass is a new pass with what is shown of it once.
type issuedPass struct {
	report.Pass
	Shown string `json:"pass"`
}

func (a *app) issuePass(ctx context.Context, typed string, o admin.PassOptions, asJSON bool) error {
	if err := o.Check(mfa.NameOf(typed)); err != nil {
		return console.UsageError("radmatch tap issue USER --lifetime 1h", "tap issue: %w", err)
	}
	var t otp.Token
	var shown string
	err := a.withUser(ctx, typed, func(st *store.Store, user mfa.Name) (err error) {
		t, shown, err = operations(st).IssuePass(ctx, actor(), user, o)
		return err
	})
	if err != nil {
		return fmt.Errorf("tap issue: %w", err)
	}
	if asJSON {
		return a.PrintJSON(issuedPass{report.NewPass(&t, time.Now()), shown})
	}
	fmt.Fprintf(a.Stdout, "%s\n\nThe pass of %s, for %s until %s. It is not shown again.\n",
		shown, text.Printable(t.User.String(), 128), o.Uses(), t.Expires.Local().Format(time.DateTime))
	return nil
}

func (a *app) tapListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "list [USER]",
		Short:   "List passes",
		Example: "  radmatch tap list\n  radmatch tap list anna --json",
		Args:    rangeArgs(0, 1, "radmatch tap list [USER]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUserOrAll(cmd.Context(), args, func(st *store.Store, user mfa.Name) error {
				return a.listPasses(cmd.Context(), st, user, asJSON)
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) listPasses(ctx context.Context, st *store.Store, user mfa.Name, asJSON bool) error {
	passes, err := operations(st).ListPasses(ctx, user)
	if err != nil {
		return err
	}
	now := time.Now()
	if asJSON {
		return console.PrintEach(a.Streams, passes, func(t *otp.Token) report.Pass { return report.NewPass(t, now) })
	}
	if len(passes) == 0 {
		fmt.Fprintln(a.Stderr, "no passes")
		return nil
	}
	t := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "USER\tID\tISSUED\tSTATE")
	for i := range passes {
		p := &passes[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", text.Printable(p.User.String(), 128), p.ID, p.Created.Local().Format(time.DateTime), report.PassState(p, now))
	}
	return t.Flush()
}

func (a *app) tapRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "revoke USER",
		Short:   "Revoke the user's pass",
		Example: "  radmatch tap revoke anna",
		Args:    exactArgs(1, "radmatch tap revoke USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUser(cmd.Context(), args[0], func(st *store.Store, user mfa.Name) error {
				return a.revokePass(cmd.Context(), st, user)
			})
		},
	}
}

func (a *app) revokePass(ctx context.Context, st *store.Store, user mfa.Name) error {
	switch err := operations(st).RevokePass(ctx, actor(), user); {
	case errors.Is(err, admin.ErrNoPass):
		return console.WithHint("radmatch user show "+user.String(), fmt.Errorf("tap revoke: %w", err))
	case err != nil:
		return err
	}
	fmt.Fprintf(a.Stdout, "Revoked the pass of %s\n", text.Printable(user.String(), 128))
	return a.noteLast(ctx, st, user)
}
