package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/report"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/text"
)

func (a *app) bypassCommand() *cobra.Command {
	const usage = "radmatch bypass --group GROUP --for 30m --reason TEXT, or --user USER"
	var b mfa.Bypass
	var group, user string
	var d time.Duration
	var asJSON bool
	c := &cobra.Command{
		Use:   "bypass",
		Short: "Let a group or a user sign in without a second factor for a time",
		Long: `bypass lets one user, or the members of one group, sign in with the password only, for
at most 24 hours, for the day on which the second factor is out of order. It ends by
itself. Each such login has the reason "bypass" in the audit trail, and the bypass is an
event with your name. The log repeats it every 5 minutes, and "radmatch check" shows it.

The password is still checked. Users who are blocked, disabled or in none of the groups
that the client allows are still rejected. A bypass wins over "require" in the
configuration.`,
		Example: "  radmatch bypass --group staff --for 30m --reason \"push service is down, INC-4711\"\n" +
			"  radmatch bypass --group staff --client vpn --for 2h --reason \"phones without network\"\n" +
			"  radmatch bypass --user anna --client rdg --for 8h --reason \"lost phone, INC-4712\"\n" +
			"  radmatch bypass list\n  radmatch bypass end 1",
		Args: exactArgs(0, usage),
		RunE: func(cmd *cobra.Command, _ []string) error {
			b.Group, b.User = mfa.GroupOf(group), mfa.NameOf(user)
			if err := admin.CheckBypass(&b, d); err != nil {
				return console.UsageError(usage, "bypass: %w", flagged(err))
			}
			return a.beginBypass(cmd.Context(), b, d, asJSON)
		},
	}
	c.Flags().StringVar(&group, "group", "", "the group whose members need no second factor")
	c.Flags().StringVar(&user, "user", "", "the user who needs no second factor, instead of a group")
	a.literalFlag(c)
	jsonFlag(c, &asJSON)
	c.Flags().StringVar(&b.Client, "client", "", "only at this client")
	c.Flags().DurationVar(&d, "for", 0, "how long, 1s to 24h (required)")
	c.Flags().StringVar(&b.Reason, "reason", "", "why, for the audit trail (required)")
	c.AddCommand(
		a.bypassListCommand(),
		a.bypassEndCommand(),
	)
	return c
}

func (a *app) bypassListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the bypasses in force",
		Example: "  radmatch bypass list\n  radmatch bypass list --json",
		Args:    exactArgs(0, "radmatch bypass list"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.WithStore(cmd.Context(), func(st *store.Store) error { return a.listBypasses(cmd.Context(), st, asJSON) })
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) beginBypass(ctx context.Context, b mfa.Bypass, d time.Duration, asJSON bool) error {
	cfg, st, err := a.OpenConfigured(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	if b.Client != "" && !slices.ContainsFunc(cfg.Clients, func(c config.Client) bool { return c.Name == b.Client }) {
		return console.UsageError("radmatch clients", "bypass: no client %q in %s", b.Client, a.ConfigFile)
	}
	if b.User.IsZero() {
		err = a.checkGroup(ctx, cfg, b.Group, b.Client)
	} else {
		b.User, err = a.resolveUser(ctx, cfg, b.User.Sent())
	}
	if err != nil {
		return err
	}
	if b, err = operations(st).BeginBypass(ctx, actor(), b, d); err != nil {
		return err
	}
	if asJSON {
		if err := a.PrintJSON(report.NewBypass(&b, d)); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.Stdout, "Bypass %d: %s at %s until %s\nTo end it before: radmatch bypass end %d\n",
			b.ID, report.BypassFor(&b), report.BypassAt(&b), b.Until.Local().Format(time.DateTime), b.ID)
	}
	for i := range cfg.Clients {
		c := &cfg.Clients[i]
		if r := c.MFA.Require; (b.Client == "" || b.Client == c.Name) && (len(r.Addresses) > 0 || !mfa.MatchGroup(mfa.GroupsOf(r.Groups...), []mfa.Group{b.Group}).IsZero()) {
			fmt.Fprintf(a.Stderr, "radmatch: note: client %s always requires a second factor (require); the bypass wins over it\n", c.Name)
		}
	}
	return nil
}

func (a *app) listBypasses(ctx context.Context, st *store.Store, asJSON bool) error {
	list, left, err := st.StoredBypasses(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		for i := range list {
			if err := a.PrintJSON(report.NewBypass(&list[i], left[i])); err != nil {
				return err
			}
		}
		return nil
	}
	if len(list) == 0 {
		fmt.Fprintln(a.Stdout, "no bypass is in force")
		return nil
	}
	t := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tGROUP\tUSER\tWHERE\tUNTIL\tLEFT\tBY\tREASON")
	for i := range list {
		b := &list[i]
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", b.ID, cmp.Or(text.Printable(b.Group.String(), admin.MaxReason), "-"), cmp.Or(text.Printable(b.User.String(), 128), "-"), report.BypassAt(b),
			b.Until.Local().Format(time.DateTime), max(0, left[i].Truncate(time.Second)), text.Printable(b.Operator, 64), text.Printable(b.Reason, admin.MaxReason))
	}
	return t.Flush()
}

func (a *app) bypassEndCommand() *cobra.Command {
	const usage = "radmatch bypass end ID, or --all"
	var all bool
	c := &cobra.Command{
		Use:     "end [ID]",
		Short:   "End a bypass before its time",
		Example: "  radmatch bypass end 1\n  radmatch bypass end --all",
		Args:    rangeArgs(0, 1, usage),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) == 1) {
				return console.UsageError(usage, "bypass end: which one must be said")
			}
			if all {
				return a.WithStore(cmd.Context(), func(st *store.Store) error { return a.endBypasses(cmd.Context(), st) })
			}
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return console.UsageError("radmatch bypass list", "bypass end: %q is no number", args[0])
			}
			return a.WithStore(cmd.Context(), func(st *store.Store) error { return a.endBypass(cmd.Context(), st, id) })
		},
	}
	c.Flags().BoolVar(&all, "all", false, "end every bypass")
	return c
}

func (a *app) endBypass(ctx context.Context, st *store.Store, id int64) error {
	err := operations(st).EndBypass(ctx, actor(), id)
	if errors.Is(err, op.ErrNotFound) {
		return console.WithHint("radmatch bypass list", err)
	}
	if err == nil {
		fmt.Fprintf(a.Stdout, "Ended bypass %d\n", id)
	}
	return err
}

// endBypasses ends all.
func (a *app) endBypasses(ctx context.Context, st *store.Store) error {
	ended, err := operations(st).EndBypasses(ctx, actor())
	for _, id := range ended {
		fmt.Fprintf(a.Stdout, "Ended bypass %d\n", id)
	}
	return err
}
