package command

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/text"
)

func (a *app) nodesCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "nodes",
		Short: "Show the servers that work with the database",
		Long: `Show each run of a server that works with the database, and of those that did within a
day: its version, its last sign of life, its sealing keys, the fingerprint of its
configuration, and how many changes of commands it has not seen yet. With the embedded
database that is the running server.

A * behind a fingerprint: not that of the configuration here. Secrets, users files,
addresses to listen on and the log are not part of it.`,
		Example: "  radmatch nodes\n  radmatch nodes --json",
		Args:    rangeArgs(0, 0, "radmatch nodes"),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.nodes(cmd.Context(), asJSON) },
	}
	jsonFlag(c, &asJSON)
	return c
}

// nodeReport is a run of a server, for machines.
type nodeReport struct {
	Run     int64    `json:"run"`
	Name    string   `json:"name"`
	Program string   `json:"program"`
	State   string   `json:"state"` // live, silent, ended
	Silence int64    `json:"silence_ms,omitempty"`
	Keys    []string `json:"keys"`
	Config  string   `json:"config"`
	Differs bool     `json:"config_differs"`
	Behind  int64    `json:"behind"`
}

func newNodeReport(n record.Node, config string) nodeReport {
	r := nodeReport{Run: n.Run, Name: n.Name, Program: n.Program, State: "silent", Silence: max(0, n.Silence.Milliseconds()),
		Keys: n.Keys, Config: n.Config, Differs: n.Live && n.Config != config, Behind: max(0, n.Behind)}
	switch {
	case n.Live:
		r.State = "live"
	case n.Silence < 0:
		r.State = "ended"
	}
	if !n.Live {
		r.Behind = 0 // it has no memory
	}
	return r
}

func (a *app) nodes(ctx context.Context, asJSON bool) error {
	cfg, err := a.LoadForCommand()
	if err != nil {
		return err
	}
	st, err := a.OpenStore(ctx, cfg)
	if err != nil {
		return err
	}
	defer st.Close()
	reports, err := nodeReports(ctx, cfg, st)
	if err != nil {
		return err
	}
	if !asJSON {
		return printNodes(a.Stdout, reports)
	}
	for _, r := range reports {
		if err := a.PrintJSON(r); err != nil {
			return err
		}
	}
	return nil
}

func nodeReports(ctx context.Context, cfg *config.Config, st *store.Store) (reports []nodeReport, err error) {
	nodes, err := st.Nodes(ctx)
	config := cfg.Fingerprint()
	for _, n := range nodes {
		reports = append(reports, newNodeReport(n, config))
	}
	return reports, err
}

func printNodes(w io.Writer, reports []nodeReport) error {
	if len(reports) == 0 {
		_, err := fmt.Fprintln(w, "No server works with the database")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tRUN\tSTATE\tPROGRAM\tKEYS\tCONFIG\tBEHIND")
	for _, r := range reports {
		state := r.State
		if state == "silent" {
			state = "silent for " + (time.Duration(r.Silence) * time.Millisecond).Round(time.Second).String()
		}
		mark := ""
		if r.Differs {
			mark = "*"
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s%s\t%d\n", text.Printable(r.Name, 64), r.Run, state, text.Printable(r.Program, 64),
			text.Printable(strings.Join(r.Keys, " "), 200), text.Printable(r.Config, 64), mark, r.Behind)
	}
	return t.Flush()
}
