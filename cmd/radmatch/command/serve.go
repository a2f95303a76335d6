package command

import (
	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/cmd/radmatch/process"
	"github.com/radmatch/radmatch/cmd/radmatch/serve"
)

func (a *app) serveCommand() *cobra.Command {
	var readyFile, profile string
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `serve runs until SIGTERM or SIGINT, then lets waiting logins end for at most 25 s.
SIGHUP reads the configuration and the users again; if they are broken, the old ones
stay and the log says so. Addresses, data_dir and limits need a restart.`,
		Example: "  radmatch serve -c /etc/radmatch/radmatch.yaml",
		Args:    exactArgs(0, "radmatch serve -c FILE"),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.LoadConfig()
			if err != nil {
				return err
			}
			if profile != "" {
				stop, err := process.ProfileCPU(profile)
				if err != nil {
					return err
				}
				defer stop()
			}
			return serve.Run(c.Context(), cfg, serve.Options{Load: a.LoadConfig, Log: a.Stderr, ReadyFile: readyFile})
		},
	}
	c.Flags().StringVar(&readyFile, "ready-file", "", "write the bound addresses to this file when the server is ready")
	c.Flags().StringVar(&profile, "cpu-profile", "", "write where the CPU time goes to this file, for go tool pprof")
	return c
}
