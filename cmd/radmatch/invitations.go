package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/text"
)

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
		return printEach(a.streams, list, func(in *device.Invitation) invitationReport {
			return invitationReport{User: in.User.String(), Expires: in.Expires}
		})
	}
	if len(list) == 0 {
		fmt.Fprintln(a.stderr, "no invitations")
		return nil
	}
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
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
					return withHint("radmatch device invitations", fmt.Errorf("device: uninvite: %w", err))
				}
				if err == nil {
					fmt.Fprintf(a.stdout, "The invitation of %s works no longer\n", text.Printable(user.String(), 128))
				}
				return err
			})
		},
	}
}
