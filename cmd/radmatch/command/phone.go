package command

import (
	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/phone"
	"github.com/radmatch/radmatch/mfa/device"
)

func (a *app) phoneCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "phone",
		Short: "A push device in the terminal",
		Long: `A device that approves sign-ins, in the terminal, over the same protocol as any
other: for tests, demonstrations and users without a smartphone.`,
		Example: "  radmatch phone enroll 'https://mfa.example.org/enroll#TOKEN'\n  radmatch phone watch",
	}
	c.AddCommand(a.phoneEnrollCommand(), a.phoneWatchCommand())
	return c
}

func (a *app) phoneEnrollCommand() *cobra.Command {
	var name, state string
	var force bool
	c := &cobra.Command{
		Use:     "enroll LINK",
		Short:   "Enrol this terminal as a device",
		Example: "  radmatch phone enroll 'https://mfa.example.org/enroll#TOKEN' --name laptop",
		Args:    rangeArgs(1, 1, "radmatch phone enroll LINK; radmatch device invite USER makes the link"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := phone.File(state)
			if err != nil {
				return err
			}
			if name == "" {
				name = phone.Hostname()
			}
			if _, _, err := device.ParseInvitationLink(args[0]); err != nil {
				return console.UsageError("quote the whole link: the token is behind the #", "%w", err)
			}
			return phone.Enroll(cmd.Context(), a.Stdout, args[0], name, file, force)
		},
	}
	c.Flags().StringVar(&name, "name", "", "name of this device (default: the host's)")
	c.Flags().StringVar(&state, "state", "", "file of the device's key (default ~/.config/radmatch/phone.json)")
	c.Flags().BoolVar(&force, "force", false, "replace the device that the file holds")
	return c
}

func (a *app) phoneWatchCommand() *cobra.Command {
	var state string
	var o phone.WatchOptions
	var poll bool
	c := &cobra.Command{
		Use:   "watch",
		Short: "Show sign-in requests and answer them",
		Long: `Show each sign-in request and ask how to answer it, or answer all of them the same way.
A request that needs a number is never approved without the right one; a wrong
number denies it.

With --once the exit code says how the request ended: 0 as asked, 4 not approved
because the number was missing or wrong, 5 withdrawn before it was answered.`,
		Example: "  radmatch phone watch\n  radmatch phone watch --approve --once\n  radmatch phone watch --number 42 --once",
		Args:    rangeArgs(0, 0, "radmatch phone watch --help"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, err := phone.File(state)
			if err != nil {
				return err
			}
			o.HasNumber = cmd.Flags().Changed("number")
			w, err := phone.NewWatcher(a.Stdout, file, o)
			if err != nil {
				return err
			}
			return w.Run(cmd.Context(), poll, a.Stdin)
		},
	}
	f := c.Flags()
	f.BoolVar(&o.Approve, "approve", false, "approve every request that needs no number")
	f.BoolVar(&o.Deny, "deny", false, "deny every request")
	f.BoolVar(&o.NotMe, "not-me", false, "report every request as someone else's")
	f.StringVar(&o.Number, "number", "", "approve with this `number`")
	f.BoolVar(&o.Once, "once", false, "end after the first request")
	f.BoolVar(&poll, "poll", false, "ask every 3 s instead of using the event stream")
	f.StringVar(&state, "state", "", "file of the device's key (default ~/.config/radmatch/phone.json)")
	return c
}
