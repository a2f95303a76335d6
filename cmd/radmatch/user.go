package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/otp"
)

func (a *app) userCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "user",
		Short:   "A user's methods and blocks: show, block, unblock",
		Example: "  radmatch user show anna\n  radmatch user block anna\n  radmatch user unblock anna",
	}
	a.literalFlag(c)
	c.AddCommand(
		a.userSubcommand("show", "Show the methods and blocks of a user", a.showUser),
		a.userSubcommand("block", "Let a user in no more, whatever password and code are typed", a.blockUser),
		a.userSubcommand("unblock", "Lift every block of a user: this one, \"this was not me\", and locked codes", a.unblockUser),
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

func (a *app) showUser(ctx context.Context, st *store.Store, name mfa.Name) error {
	u, err := st.User(ctx, name)
	if err != nil {
		return err
	}
	devices, err := st.ListDevices(ctx, name)
	if err != nil {
		return err
	}
	tokens, err := codeTokens(ctx, st, name)
	if err != nil {
		return err
	}
	pass, err := passOf(ctx, st, name)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	row := func(key, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", key, fmt.Sprintf(format, args...)) }
	row("user", "%s", push.Printable(u.Name.String(), 128))
	row("blocked", "%s", yesNo(u.Blocked))
	row("default", "%s", defaultMethod(u))
	for _, d := range devices {
		if d.Provider != "" {
			row("device", "%s %s, at %s", d.ID, push.Printable(d.Name, 64), d.Provider)
			continue
		}
		row("device", "%s %s, last seen %s", d.ID, push.Printable(d.Name, 64), d.Seen.Local().Format(time.DateTime))
	}
	for _, o := range tokens {
		row("token", "%s %s", o.ID, describeToken(&o))
	}
	if pass != nil {
		row("pass", "%s %s", pass.ID, describePass(pass, time.Now()))
	}
	for _, group := range u.PushBlocked {
		row("no push at", "%s: the user has reported a login there", push.Printable(group, 64))
	}
	if len(devices)+len(tokens) == 0 && pass == nil {
		row("methods", "none")
	}
	return t.Flush()
}

// defaultMethod says what a login asks for first, and why.
func defaultMethod(u mfa.User) string {
	switch {
	case u.Default == mfa.MethodPush && u.Devices > 0, u.Default == mfa.MethodOTP && u.Codes > 0:
		return string(u.Default)
	case u.Devices > 0:
		return "push (has a device)"
	case u.Codes > 0:
		return "otp (has no device)"
	}
	return "none"
}

// describePass says whether a pass can be used now.
func describePass(t *otp.Token, now time.Time) string {
	uses := "any number of logins"
	if t.Once {
		uses = "one login"
	}
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

func (a *app) blockUser(ctx context.Context, st *store.Store, name mfa.Name) error {
	before, err := st.User(ctx, name)
	if err != nil {
		return err
	}
	if err := st.SetBlocked(ctx, name, true, adminEvent(name, "user blocked")); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "Blocked %s\n", push.Printable(name.String(), 128))
	if a.literal && before.Devices+before.Codes == 0 && !before.HasPass {
		fmt.Fprintf(a.stderr, "radmatch: note: %s has no method registered; the name must be the one that the primary returns\n", push.Printable(name.String(), 128))
	}
	return nil
}

// unblockUser lifts all that keeps a user out. The server forgets wrong codes
// and denials from before when it sees the change.
func (a *app) unblockUser(ctx context.Context, st *store.Store, name mfa.Name) error {
	u, err := st.User(ctx, name)
	if err != nil {
		return err
	}
	if err := st.SetBlocked(ctx, name, false, adminEvent(name, "user unblocked")); err != nil {
		return err
	}
	if len(u.PushBlocked) > 0 {
		if err := st.ClearPushBlocks(ctx, name, adminEvent(name, "push allowed again")); err != nil {
			return err
		}
	}
	fmt.Fprintf(a.stdout, "Unblocked %s\n", push.Printable(name.String(), 128))
	return nil
}
