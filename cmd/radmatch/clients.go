package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/radius/profile"
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

// clientReport is one client as the command shows it.
type clientReport struct {
	store.ClientStats
	Configured bool            `json:"configured"`
	Addresses  []string        `json:"addresses,omitempty"`
	Behind     string          `json:"behind,omitempty"`             // the client that is its proxy
	NAS        []string        `json:"nas,omitempty"`                // how it is told there
	NASTimeout time.Duration   `json:"nas_timeout_ns,omitempty"`     // in effect: how long it waits for an answer
	Origin     string          `json:"nas_timeout_origin,omitempty"` // where that comes from
	Latched    []latchedReport `json:"latched,omitempty"`
	Signing    string          `json:"-"` // what to do about unsigned requests

	tooShort bool // it gives up before a user can answer
}

type latchedReport struct {
	Addr  netip.Addr `json:"addr"`
	Since time.Time  `json:"since"`
}

func (a *app) clients(ctx context.Context, asJSON bool) error {
	cfg, st, err := a.openConfigured(ctx)
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
	reports := mergeClients(cfg, stats, latches)
	if asJSON {
		for _, r := range reports {
			if err := a.printJSON(r); err != nil {
				return err
			}
		}
		return nil
	}
	return a.printClients(reports)
}

// mergeClients lists the clients of the configuration in its order, then those
// that only the database knows.
func mergeClients(cfg *config.Config, stats []store.ClientStats, latches []store.LatchedSource) []*clientReport {
	var reports []*clientReport
	at := func(name string) *clientReport {
		i := slices.IndexFunc(reports, func(r *clientReport) bool { return r.Client == name })
		if i < 0 {
			i = len(reports)
			reports = append(reports, &clientReport{ClientStats: store.ClientStats{Client: name}})
		}
		return reports[i]
	}
	for i := range cfg.Clients {
		r := at(cfg.Clients[i].Name)
		r.Configured, r.Behind, r.NAS = true, cfg.Clients[i].Behind, cfg.Clients[i].NAS
		for _, p := range cfg.Clients[i].Addresses {
			r.Addresses = append(r.Addresses, fmt.Sprint(p))
		}
	}
	for _, s := range stats {
		at(s.Client).ClientStats = s
	}
	for i := range cfg.Clients {
		c := &cfg.Clients[i]
		r := at(c.Name)
		if p, err := profile.Lookup(c.Profile); err == nil {
			r.Signing, r.tooShort = p.SigningHint(), p.TooShort(c.NASTimeout)
		}
		if c.NASTimeout > 0 {
			r.NASTimeout, r.Origin = c.NASTimeout, c.Origin("nas_timeout")
		}
	}
	for _, l := range latches {
		r := at(l.Client)
		r.Latched = append(r.Latched, latchedReport{l.Addr, l.Since})
	}
	return reports
}

func (a *app) printClients(reports []*clientReport) error {
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CLIENT\tPACKETS\tACCEPT\tREJECT\tCHALLENGE\tNO ANSWER\tSIGNED\tUNSIGNED\tMEAN\tMAX\tNAS TIMEOUT\tLAST SEEN")
	for _, r := range reports {
		if r.Client == "" {
			continue // no client's: see printSigning
		}
		last := "never"
		if !r.Last.IsZero() {
			last = r.Last.Local().Format(time.DateTime)
		}
		name := text.Printable(r.Client, 64)
		if !r.Configured {
			name += " (not in the configuration)"
		}
		if r.Behind != "" {
			name += " (behind " + r.Behind + ")"
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\n", name, r.Packets, r.Accepts, r.Rejects, r.Challenges, r.Discards,
			r.Signed, r.Unsigned, r.Mean.Round(roundTo(r.Mean)), r.Max.Round(roundTo(r.Max)),
			waits(r.NASTimeout), last)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range reports {
		a.printSigning(r)
		a.printWaiting(r)
	}
	return nil
}

// waits is a NAS timeout for readers.
func waits(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return d.Round(100 * time.Millisecond).String()
}

// printWaiting says where a client gives up before a user can answer.
func (a *app) printWaiting(r *clientReport) {
	name := text.Printable(r.Client, 64)
	if r.Late > 0 {
		fmt.Fprintf(a.stdout, "\n%s: %d requests were decided when it no longer waited\n", name, r.Late)
	}
	if r.tooShort {
		fmt.Fprintf(a.stdout, "\n%s: waits %s for an answer (%s), a user needs %s: see radmatch check\n", name, waits(r.NASTimeout), r.Origin, profile.EnoughTime)
	}
}

// printSigning says what a client's packets tell about Message-Authenticator.
func (a *app) printSigning(r *clientReport) {
	name := cmp.Or(text.Printable(r.Client, 64), "no client's")
	if len(r.Latched) > 0 {
		addrs := make([]string, len(r.Latched))
		for i, l := range r.Latched {
			addrs[i] = l.Addr.String()
		}
		fmt.Fprintf(a.stdout, "\n%s: must sign (has signed before): %s\n", name, strings.Join(addrs, ", "))
	}
	if len(r.UnsignedFrom) > 0 && r.Signed > 0 {
		addrs := make([]string, len(r.UnsignedFrom))
		for i, s := range r.UnsignedFrom {
			addrs[i] = s.Addr.String()
		}
		fmt.Fprintf(a.stdout, "\n%s: mixed, signed and unsigned, and so let in unsigned: %s\n", name, strings.Join(addrs, ", "))
	}
	if r.Unsigned > 0 {
		fmt.Fprintf(a.stdout, "\n%s: %d requests came without Message-Authenticator: %s\n", name, r.Unsigned, cmp.Or(r.Signing, "the client is not in the configuration"))
	}
	for _, reason := range slices.Sorted(maps.Keys(r.Refused)) {
		fmt.Fprintf(a.stdout, "%s: %d requests discarded: %s\n", name, r.Refused[reason], text.Printable(reason, 64))
	}
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
			return usageError("radmatch clients unlatch "+name+" 203.0.113.10", "ADDR must be an IP address; got %q", args[1])
		}
	}
	return a.withStore(ctx, func(st *store.Store) error {
		n, err := operations(st).Unlatch(ctx, actor(), name, addr)
		switch {
		case errors.Is(err, op.ErrNotFound):
			return withHint("radmatch clients", err)
		case err != nil:
			return err
		case asJSON:
			return a.printJSON(unlatchReport{name, n})
		}
		fmt.Fprintf(a.stdout, "%d unlatched\n", n)
		return nil
	})
}
