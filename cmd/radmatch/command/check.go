package command

import (
	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/cmd/radmatch/check"
)

func (a *app) checkCommand() *cobra.Command {
	var connect, asJSON bool
	c := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration",
		Long: `check reads the configuration and prints every problem and every warning, one a line.
For each client it prints which users are asked for a passcode instead of a push, and
why, and what its profile says of its device.
With --connect it also opens the database, each primary and each push provider, tries
the addresses to listen on (not those that the running server holds), and fetches
web.public_url as a phone would; if that fails, it is a warning.

Exit codes: 0 it can be served (there may be warnings), 3 it cannot.`,
		Example: "  radmatch check\n  radmatch check --connect -c /etc/radmatch/radmatch.yaml",
		Args:    exactArgs(0, "radmatch check"),
		RunE: func(c *cobra.Command, _ []string) error {
			return check.Run(c.Context(), a.Streams, &a.Site, connect, asJSON)
		},
	}
	c.Flags().BoolVar(&connect, "connect", false, "try the database, each primary and each push provider")
	jsonFlag(c, &asJSON)
	return c
}
