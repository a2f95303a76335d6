package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/text"
)

func (a *app) methodCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "method",
		Short:   "Set a user's default method",
		Example: "  radmatch method default anna otp",
	}
	a.literalFlag(c)
	c.AddCommand(a.methodDefaultCommand())
	return c
}

func (a *app) methodDefaultCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "default USER push|otp",
		Short: "Set the method that logins ask for",
		Long: `Set the method that a login of USER asks for, as long as the user has it. Without one it
is push if the user has a device, otherwise a passcode.`,
		Example:   "  radmatch method default anna otp",
		Args:      exactArgs(2, "radmatch method default USER push|otp"),
		ValidArgs: []string{string(mfa.MethodPush), string(mfa.MethodOTP)},
		RunE: func(cmd *cobra.Command, args []string) error {
			m := mfa.Method(args[1])
			err := admin.CheckDefault(mfa.NameOf(args[0]), m)
			var wrong *admin.Invalid
			switch {
			case errors.As(err, &wrong):
				return console.UsageError("radmatch method default USER push|otp", "method default: %s", wrong.Rule)
			case err != nil:
				return console.UsageError("radmatch method default USER push|otp", "method default: %w", err)
			}
			return a.withUser(cmd.Context(), args[0], func(st *store.Store, user mfa.Name) error {
				return a.setDefault(cmd.Context(), st, user, m)
			})
		},
	}
}

func (a *app) setDefault(ctx context.Context, st *store.Store, user mfa.Name, m mfa.Method) error {
	if err := operations(st).SetDefault(ctx, actor(), user, m); err != nil {
		return err
	}
	u, err := st.User(ctx, user)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Stdout, "Default method of %s: %s\n", text.Printable(user.String(), 128), m)
	switch {
	case m == mfa.MethodPush && u.Devices == 0:
		fmt.Fprintf(a.Stderr, "radmatch: note: %s has no device yet: radmatch device invite %s\n", text.Printable(user.String(), 128), text.Printable(user.String(), 128))
	case m == mfa.MethodOTP && u.Codes == 0:
		fmt.Fprintf(a.Stderr, "radmatch: note: %s has no token yet: radmatch totp add %s\n", text.Printable(user.String(), 128), text.Printable(user.String(), 128))
	}
	return nil
}
