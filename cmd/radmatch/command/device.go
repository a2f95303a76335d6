package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/providers"
	"github.com/radmatch/radmatch/cmd/radmatch/report"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/text"
)

func (a *app) deviceCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "device",
		Short:   "Push devices: invite, add, list, remove",
		Example: "  radmatch device invite anna\n  radmatch device add anna --provider chat\n  radmatch device list anna\n  radmatch device remove anna 'old phone'",
	}
	a.literalFlag(c)
	c.AddCommand(a.deviceInviteCommand(), a.deviceInvitationsCommand(), a.deviceUninviteCommand(), a.deviceAddCommand(), a.deviceListCommand(), a.deviceRemoveCommand())
	return c
}

func (a *app) deviceInviteCommand() *cobra.Command {
	var lifetime time.Duration
	var noQR, asJSON bool
	c := &cobra.Command{
		Use:   "invite USER",
		Short: "Make a link that enrols one device",
		Long: `Make a link, and its QR code, that enrols one device of USER. It works once. Anyone who
has it can approve as USER: hand it over as carefully as a password. It replaces an
unused older link of USER; "user block" and the removal of a device end it too.`,
		Example: "  radmatch device invite anna\n  radmatch device invite anna --lifetime 1h",
		Args:    rangeArgs(1, 1, "radmatch device invite USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := admin.CheckInvitation(mfa.NameOf(args[0]), lifetime)
			var wrong *admin.Invalid
			switch {
			case errors.As(err, &wrong):
				return console.UsageError("--lifetime 24h", "%w", flagged(err))
			case err != nil:
				return console.UsageError("radmatch device invite USER", "device invite: %w", err)
			}
			return a.inviteDevice(cmd.Context(), mfa.NameOf(args[0]).String(), lifetime, !noQR, asJSON)
		},
	}
	c.Flags().DurationVar(&lifetime, "lifetime", admin.DefaultInvitation, "how long the link works")
	c.Flags().BoolVar(&noQR, "no-qr", false, "only the link")
	jsonFlag(c, &asJSON)
	return c
}

// invitationReport is an invitation for machines. The link is there once, when it is made.
type invitationReport struct {
	User    string    `json:"user"`
	Link    string    `json:"link,omitempty"`
	Expires time.Time `json:"expires"`
}

func (a *app) inviteDevice(ctx context.Context, typed string, lifetime time.Duration, qr, asJSON bool) error {
	cfg, st, err := a.OpenConfigured(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	user, err := a.resolveUser(ctx, cfg, typed)
	if err != nil {
		return err
	}
	token, in, err := operations(st).Invite(ctx, actor(), user, lifetime)
	if errors.Is(err, op.ErrBlocked) {
		return console.WithHint("radmatch user unblock "+user.String(), fmt.Errorf("device: invite %q: %w", user, err))
	} else if err != nil {
		return fmt.Errorf("device: invite %q: %w", user, err)
	}
	link := device.InvitationLink(cfg.PublicURL(), token)
	if asJSON {
		return a.PrintJSON(invitationReport{user.String(), link, in.Expires})
	}
	fmt.Fprintf(a.Stdout, "%s\n\n", link)
	if qr {
		if err := console.PrintQR(a.Stdout, link); err != nil {
			return err
		}
		fmt.Fprintln(a.Stdout)
	}
	fmt.Fprintf(a.Stdout, "It enrols one device of %s until %s: open it in a browser there.\nIn a terminal: radmatch phone enroll '%s'\n",
		text.Printable(user.String(), 128), in.Expires.Format(time.DateTime), link)
	return nil
}

func (a *app) deviceListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "list [USER]",
		Short:   "List devices",
		Example: "  radmatch device list\n  radmatch device list anna",
		Args:    rangeArgs(0, 1, "radmatch device list [USER]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUserOrAll(cmd.Context(), args, func(st *store.Store, user mfa.Name) error {
				return a.listDevices(cmd.Context(), st, user, asJSON)
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) listDevices(ctx context.Context, st *store.Store, user mfa.Name, asJSON bool) error {
	devices, err := st.ListDevices(ctx, user)
	if err != nil {
		return fmt.Errorf("device: list: %w", err)
	}
	if asJSON {
		return console.PrintEach(a.Streams, devices, report.NewDevice)
	}
	if len(devices) == 0 {
		fmt.Fprintln(a.Stderr, "no devices")
		return nil
	}
	t := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "USER\tNAME\tID\tADDED\tLAST SEEN\tNUMBERS\tPASSKEY\tPROVIDER")
	for _, d := range devices {
		numbers, seen := "yes", d.Seen.Local().Format(time.DateTime)
		switch {
		case d.Provider != "":
			numbers, seen = "-", "-" // the provider's matter
		case d.Version < device.VersionNumber:
			numbers = "no: too old"
		}
		passkey := "no"
		if d.Passkey != nil {
			passkey = "yes"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", text.Printable(d.User.String(), 128), text.Printable(d.Name, 64), d.ID,
			d.Added.Local().Format(time.DateTime), seen, numbers, passkey, d.Provider)
	}
	return t.Flush()
}

func (a *app) deviceRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "remove USER ID|NAME",
		Short:   "Remove a device",
		Example: "  radmatch device remove anna 'old phone'",
		Args:    rangeArgs(2, 2, "radmatch device remove USER ID|NAME; radmatch device list USER shows both"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUser(cmd.Context(), args[0], func(st *store.Store, user mfa.Name) error {
				return a.removeDevice(cmd.Context(), st, user, args[1])
			})
		},
	}
}

func (a *app) removeDevice(ctx context.Context, st *store.Store, user mfa.Name, device string) error {
	if err := operations(st).RemoveDevice(ctx, actor(), user, device); err != nil {
		return console.WithHint("radmatch device list "+user.String(), fmt.Errorf("device: remove %q of %q: %w", device, user, err))
	}
	fmt.Fprintf(a.Stdout, "removed device %s of %s\n", text.Printable(device, 64), text.Printable(user.String(), 128))
	return a.noteLast(ctx, st, user)
}

func (a *app) deviceInvitationsCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "invitations [USER]",
		Short:   "List invitations that were not used",
		Example: "  radmatch device invitations\n  radmatch device invitations anna",
		Args:    rangeArgs(0, 1, "radmatch device invitations [USER]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUserOrAll(cmd.Context(), args, func(st *store.Store, user mfa.Name) error {
				return a.listInvitations(cmd.Context(), st, user, asJSON)
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) listInvitations(ctx context.Context, st *store.Store, user mfa.Name, asJSON bool) error {
	list, err := st.Invitations(ctx, user)
	if err != nil {
		return fmt.Errorf("device: invitations: %w", err)
	}
	if asJSON {
		return console.PrintEach(a.Streams, list, func(in *device.Invitation) invitationReport {
			return invitationReport{User: in.User.String(), Expires: in.Expires}
		})
	}
	if len(list) == 0 {
		fmt.Fprintln(a.Stderr, "no invitations")
		return nil
	}
	t := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "USER\tEXPIRES")
	for _, in := range list {
		fmt.Fprintf(t, "%s\t%s\n", text.Printable(in.User.String(), 128), in.Expires.Local().Format(time.DateTime))
	}
	return t.Flush()
}

func (a *app) deviceUninviteCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "uninvite USER",
		Short:   "Withdraw an invitation",
		Long:    "Withdraw the unused invitation of USER: its link no longer enrols a device.",
		Example: "  radmatch device uninvite anna",
		Args:    exactArgs(1, "radmatch device uninvite USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUser(cmd.Context(), args[0], func(st *store.Store, user mfa.Name) error {
				err := operations(st).Uninvite(cmd.Context(), actor(), user)
				if errors.Is(err, op.ErrNotFound) {
					return console.WithHint("radmatch device invitations", fmt.Errorf("device: uninvite: %w", err))
				}
				if err == nil {
					fmt.Fprintf(a.Stdout, "The invitation of %s works no longer\n", text.Printable(user.String(), 128))
				}
				return err
			})
		},
	}
}

func (a *app) deviceAddCommand() *cobra.Command {
	var provider, name string
	var asJSON bool
	c := &cobra.Command{
		Use:   "add USER --provider NAME",
		Short: "Register a user at another push provider",
		Long: `Register USER at an entry of push whose devices are not our own: type ntfy or
webhook. The prompts of clients that use this provider then go there. With ntfy each
device has a topic, which is printed once: anyone who knows it can approve for USER.`,
		Example: "  radmatch device add anna --provider chat\n  radmatch device add anna --provider ntfy --name 'work phone'",
		Args:    rangeArgs(1, 1, "radmatch device add USER --provider NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if provider == "" {
				return console.UsageError("radmatch device add USER --provider NAME", "device add: --provider must be there")
			}
			if name == "" {
				name = provider
			}
			err := admin.CheckDevice(mfa.NameOf(args[0]), name)
			var wrong *admin.Invalid
			switch {
			case errors.As(err, &wrong):
				return console.UsageError("--name 'work phone'", "device add: %w", flagged(err))
			case err != nil:
				return console.UsageError("radmatch device add USER --provider NAME", "device add: %w", err)
			}
			return a.addDevice(cmd.Context(), mfa.NameOf(args[0]).String(), provider, name, asJSON)
		},
	}
	c.Flags().StringVar(&provider, "provider", "", "the name of an entry of push")
	c.Flags().StringVar(&name, "name", "", "its name in events and commands (default: the provider's)")
	jsonFlag(c, &asJSON)
	return c
}

// subscriber is a push provider that a device subscribes to.
type subscriber interface{ Subscription(d device.Device) string }

// addedDevice is a new device with what is shown of it once.
type addedDevice struct {
	report.Device
	Topic string `json:"topic,omitempty"` // to subscribe to
}

func (a *app) addDevice(ctx context.Context, typed, provider, name string, asJSON bool) error {
	cfg, st, err := a.OpenConfigured(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	p, err := openOther(cfg, provider)
	if err != nil {
		return err
	}
	user, err := a.resolveUser(ctx, cfg, typed)
	if err != nil {
		return err
	}
	d, err := operations(st).AddDevice(ctx, actor(), user, provider, name)
	if err != nil {
		hint := "radmatch device list " + user.String()
		if errors.Is(err, device.ErrNameTaken) {
			hint = "--name 'work phone'"
		}
		return console.WithHint(hint, fmt.Errorf("device: add for %q: %w", user, err))
	}
	topic := ""
	if s, ok := p.(subscriber); ok {
		topic = s.Subscription(d)
	}
	if asJSON {
		return a.PrintJSON(addedDevice{report.NewDevice(&d), topic})
	}
	fmt.Fprintf(a.Stdout, "Added device %s of %s at %s\n", d.ID, text.Printable(user.String(), 128), provider)
	if topic != "" {
		fmt.Fprintf(a.Stdout, "Subscribe to this topic, and keep it secret: %s\n", topic)
	}
	return nil
}

// openOther builds a push provider whose devices are not our own.
func openOther(cfg *config.Config, name string) (mfa.Pusher, error) {
	i := slices.IndexFunc(cfg.Push, func(e config.Provider) bool { return e.Name == name })
	if i < 0 {
		return nil, console.UsageError("radmatch check", "device add: there is no push provider %q", name)
	}
	if providers.OwnDevices(cfg.Push[i]) {
		return nil, console.UsageError("radmatch device invite USER", "device add: the devices of %q enrol themselves", name)
	}
	return providers.OpenPusher(cfg, providers.Parts{}, cfg.Push[i])
}
