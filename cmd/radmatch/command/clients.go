package command

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/report"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/store/op"
)

func (a *app) clientsCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "clients",
		Short: "Show the RADIUS clients: packets, latency, signed requests, NAS timeout",
		Long: `Show what the server has counted for each client since it started, and the addresses
that have signed a request. With require_message_authenticator: auto an unsigned
request from such an address is refused, until "clients unlatch" forgets it.

A client behind another has a line of its own. The PACKETS and signed requests of the
other one are those of both.

NAS TIMEOUT is how long the client waits for an answer: its nas_timeout in the
configuration, or the one of its profile; - if neither has one.`,
		Example: "  radmatch clients\n  radmatch clients --json\n  radmatch clients unlatch vpn 203.0.113.10",
		Args:    rangeArgs(0, 0, "radmatch clients"),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.clients(cmd.Context(), asJSON) },
	}
	jsonFlag(c, &asJSON)
	c.AddCommand(a.clientsUnlatchCommand())
	return c
}

func (a *app) clients(ctx context.Context, asJSON bool) error {
	cfg, st, err := a.OpenConfigured(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	stats, err := st.ClientStats(ctx)
	if err != nil {
		return err
	}
	latches, err := st.Latches(ctx)
	if err != nil {
		return err
	}
	reports := report.Clients(cfg, stats, latches)
	if asJSON {
		for _, r := range reports {
			if err := a.PrintJSON(r); err != nil {
				return err
			}
		}
		return nil
	}
	return report.PrintClients(a.Stdout, reports)
}

func (a *app) clientsUnlatchCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "unlatch NAME [ADDR]",
		Short: "Accept unsigned requests from a client or one of its addresses again",
		Long: `With require_message_authenticator: auto, an address that has once signed a request
is refused when it does not sign. Unlatch it after the client was replaced by one
that cannot sign. Until it signs again, forged answers can be passed off on it.`,
		Example: "  radmatch clients unlatch vpn\n  radmatch clients unlatch vpn 203.0.113.10",
		Args:    rangeArgs(1, 2, "radmatch clients unlatch NAME [ADDR]"),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.unlatch(cmd.Context(), args, asJSON) },
	}
	jsonFlag(c, &asJSON)
	return c
}

// unlatchReport is how many addresses were unlatched, for machines.
type unlatchReport struct {
	Client    string `json:"client"`
	Unlatched int    `json:"unlatched"`
}

func (a *app) unlatch(ctx context.Context, args []string, asJSON bool) error {
	name := args[0]
	var addr netip.Addr
	if len(args) > 1 {
		var err error
		if addr, err = netip.ParseAddr(args[1]); err != nil {
			return console.UsageError("radmatch clients unlatch "+name+" 203.0.113.10", "ADDR must be an IP address; got %q", args[1])
		}
	}
	return a.WithStore(ctx, func(st *store.Store) error {
		n, err := operations(st).Unlatch(ctx, actor(), name, addr)
		switch {
		case errors.Is(err, op.ErrNotFound):
			return console.WithHint("radmatch clients", err)
		case err != nil:
			return err
		case asJSON:
			return a.PrintJSON(unlatchReport{name, n})
		}
		fmt.Fprintf(a.Stdout, "%d unlatched\n", n)
		return nil
	})
}
