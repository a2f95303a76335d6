package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/radius/profile"
)

// Client is one client as the command shows it.
type Client struct {
	store.ClientStats
	Configured bool          `json:"configured"`
	Addresses  []string      `json:"addresses,omitempty"`
	Behind     string        `json:"behind,omitempty"`             // the client that is its proxy
	NAS        []string      `json:"nas,omitempty"`                // how it is told there
	NASTimeout time.Duration `json:"nas_timeout_ns,omitempty"`     // in effect: how long it waits for an answer
	Origin     string        `json:"nas_timeout_origin,omitempty"` // where that comes from
	Latched    []latched     `json:"latched,omitempty"`
	Signing    string        `json:"-"` // what to do about unsigned requests

	tooShort bool // it gives up before a user can answer
}

type latched struct {
	Addr  netip.Addr `json:"addr"`
	Since time.Time  `json:"since"`
}

// Clients lists the clients of the configuration in its order, then those
// that only the database knows.
func Clients(cfg *config.Config, stats []store.ClientStats, latches []store.LatchedSource) []*Client {
	var reports []*Client
	at := func(name string) *Client {
		i := slices.IndexFunc(reports, func(r *Client) bool { return r.Client == name })
		if i < 0 {
			i = len(reports)
			reports = append(reports, &Client{ClientStats: store.ClientStats{Client: name}})
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
		r.Latched = append(r.Latched, latched{l.Addr, l.Since})
	}
	return reports
}

// PrintClients prints clients for readers.
func PrintClients(w io.Writer, reports []*Client) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
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
			NASTimeout(r.NASTimeout), last)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range reports {
		printSigning(w, r)
		printWaiting(w, r)
	}
	return nil
}

// printWaiting says where a client gives up before a user can answer.
func printWaiting(w io.Writer, r *Client) {
	name := text.Printable(r.Client, 64)
	if r.Late > 0 {
		fmt.Fprintf(w, "\n%s: %d requests were decided when it no longer waited\n", name, r.Late)
	}
	if r.tooShort {
		fmt.Fprintf(w, "\n%s: waits %s for an answer (%s), a user needs %s: see radmatch check\n", name, NASTimeout(r.NASTimeout), r.Origin, profile.EnoughTime)
	}
}

// printSigning says what a client's packets tell about Message-Authenticator.
func printSigning(w io.Writer, r *Client) {
	name := cmp.Or(text.Printable(r.Client, 64), "no client's")
	if len(r.Latched) > 0 {
		addrs := make([]string, len(r.Latched))
		for i, l := range r.Latched {
			addrs[i] = l.Addr.String()
		}
		fmt.Fprintf(w, "\n%s: must sign (has signed before): %s\n", name, strings.Join(addrs, ", "))
	}
	if len(r.UnsignedFrom) > 0 && r.Signed > 0 {
		addrs := make([]string, len(r.UnsignedFrom))
		for i, s := range r.UnsignedFrom {
			addrs[i] = s.Addr.String()
		}
		fmt.Fprintf(w, "\n%s: mixed, signed and unsigned, and so let in unsigned: %s\n", name, strings.Join(addrs, ", "))
	}
	if r.Unsigned > 0 {
		fmt.Fprintf(w, "\n%s: %d requests came without Message-Authenticator: %s\n", name, r.Unsigned, cmp.Or(r.Signing, "the client is not in the configuration"))
	}
	for _, reason := range slices.Sorted(maps.Keys(r.Refused)) {
		fmt.Fprintf(w, "%s: %d requests discarded: %s\n", name, r.Refused[reason], text.Printable(reason, 64))
	}
}
