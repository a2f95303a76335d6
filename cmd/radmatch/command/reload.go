package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/process"
	"github.com/radmatch/radmatch/cmd/radmatch/serve"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/store/datadir"
	"github.com/radmatch/radmatch/mfa/text"
)

// How long the command waits for the server to say how the reload went, and how
// often it looks.
const (
	reloadTimeout = 30 * time.Second
	reloadPoll    = 20 * time.Millisecond
)

func (a *app) reloadCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "reload",
		Short: "Make the running server read its configuration again",
		Long: `reload checks the configuration as "radmatch check" does. If it can be served, reload
sends SIGHUP to the server of its data_dir and waits until the server has read it. A
broken file reaches no server. Pending logins go on.

Exit codes: 0 it is served, 1 there is no server or it says nothing, 3 it cannot be served
and the old configuration stays.`,
		Example: "  radmatch reload\n  radmatch reload -c /etc/radmatch/radmatch.yaml",
		Args:    exactArgs(0, "radmatch reload"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.reloadServer(c.Context(), asJSON)
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func (a *app) reloadServer(ctx context.Context, asJSON bool) error {
	cfg, err := a.LoadConfig()
	if err != nil {
		return err
	}
	// For good: whom to signal is in a file of that user's, who must not choose one of
	// root's processes.
	if _, err := process.BecomeOwner(cfg.DataDir, true); err != nil {
		return err
	}
	if err := serve.Servable(cfg); err != nil {
		return &console.ExitError{Code: console.ExitConfig, Err: fmt.Errorf("the old configuration stays:\n%w", err), Hint: "radmatch check --connect"}
	}
	outcome, err := signalReload(ctx, cfg)
	if err != nil {
		return err
	}
	if len(outcome.Problems) > 0 {
		return &console.ExitError{Code: console.ExitConfig, Err: fmt.Errorf("the old configuration stays:\n%s", strings.Join(outcome.Problems, "\n")),
			Hint: "radmatch check, as the user that the server runs as"}
	}
	if asJSON {
		return a.PrintJSON(outcome)
	}
	for _, key := range outcome.Restart {
		fmt.Fprintf(a.Stdout, "note: %s takes effect at the next start\n", text.Printable(key, 100))
	}
	fmt.Fprintf(a.Stdout, "Reloaded: process %d serves %d clients\n", outcome.PID, outcome.Clients)
	return nil
}

// signalReload has the server of data_dir read its configuration, and returns what
// it says of that.
func signalReload(ctx context.Context, cfg *config.Config) (*datadir.Serving, error) {
	before, err := datadir.ReadServing(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	if before == nil {
		return nil, console.WithHint("is it running, and with this data_dir? A change of data_dir takes effect at the next start",
			fmt.Errorf("reload: no server serves %s", cfg.DataDir))
	}
	if err := syscall.Kill(before.PID, syscall.SIGHUP); err != nil {
		return nil, console.WithHint("run it as the user that radmatch serve runs as, or as root", fmt.Errorf("reload: signal process %d: %w", before.PID, err))
	}
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	tick := time.NewTicker(reloadPoll)
	defer tick.Stop()
	for {
		switch now, err := datadir.ReadServing(cfg.DataDir); {
		case err != nil:
			return nil, err
		case now == nil || now.PID != before.PID:
			return nil, console.WithHint("its log says why", errors.New("reload: the server has ended"))
		case now.Reloads > before.Reloads:
			return now, nil
		}
		select {
		case <-ctx.Done():
			return nil, console.WithHint("its log says how it went", fmt.Errorf("reload: process %d has not said how it went within %s", before.PID, reloadTimeout))
		case <-tick.C:
		}
	}
}
