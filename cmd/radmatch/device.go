package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

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
				return usageError("--lifetime 24h", "%w", flagged(err))
			case err != nil:
				return usageError("radmatch device invite USER", "device invite: %w", err)
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
	cfg, st, err := a.openConfigured(ctx)
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
		return withHint("radmatch user unblock "+user.String(), fmt.Errorf("device: invite %q: %w", user, err))
	} else if err != nil {
		return fmt.Errorf("device: invite %q: %w", user, err)
	}
	link := device.InvitationLink(cfg.PublicURL(), token)
	if asJSON {
		return a.printJSON(invitationReport{user.String(), link, in.Expires})
	}
	fmt.Fprintf(a.stdout, "%s\n\n", link)
	if qr {
		if err := printQR(a.stdout, link); err != nil {
			return err
		}
		fmt.Fprintln(a.stdout)
	}
	fmt.Fprintf(a.stdout, "It enrols one device of %s until %s: open it in a browser there.\nIn a terminal: radmatch phone enroll '%s'\n",
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
		return printEach(a.streams, devices, newDeviceReport)
	}
	if len(devices) == 0 {
		fmt.Fprintln(a.stderr, "no devices")
		return nil
	}
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
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
		return withHint("radmatch device list "+user.String(), fmt.Errorf("device: remove %q of %q: %w", device, user, err))
	}
	fmt.Fprintf(a.stdout, "removed device %s of %s\n", text.Printable(device, 64), text.Printable(user.String(), 128))
	return a.noteLast(ctx, st, user)
}
