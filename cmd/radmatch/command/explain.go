package command

import (
	"context"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/explain"
)

func (a *app) explainCommand() *cobra.Command {
	var f explainFlags
	c := &cobra.Command{
		Use:   "explain USER",
		Short: "Show which line of the plan applies to a user, and why",
		Long: `explain says what would happen to a login of USER after the right password: for each
client and each way to send the password, which line of the plan decides and which lines
before it do not apply, and what the Access-Accept would carry. It sends no request and
no prompt. --from is the address of the user, as a signed request would carry it; without
--from it is not known.`,
		Example: "  radmatch explain alice\n  radmatch explain alice --client vpn --from 198.51.100.7",
		Args:    exactArgs(1, "radmatch explain USER"),
		RunE: func(c *cobra.Command, args []string) error {
			if f.from != "" {
				var err error
				if f.address, err = netip.ParseAddr(f.from); err != nil {
					return console.UsageError("radmatch explain USER --from 198.51.100.7", "explain: --from %q is no address", f.from)
				}
			}
			return a.explain(c.Context(), args[0], f)
		},
	}
	c.Flags().StringVar(&f.client, "client", "", "only this client")
	c.Flags().StringVar(&f.from, "from", "", "the address of the user")
	jsonFlag(c, &f.json)
	return c
}

// explainFlags are the flags of the command.
type explainFlags struct {
	client, from string
	address      netip.Addr
	json         bool
}

func (a *app) explain(ctx context.Context, name string, f explainFlags) error {
	cfg, st, err := a.OpenConfigured(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	x, err := explain.New(ctx, cfg, st, name)
	if err != nil {
		return err
	}
	x.Address = f.address
	defer x.Close()
	found := false
	for i := range cfg.Clients {
		if f.client != "" && cfg.Clients[i].Name != f.client {
			continue
		}
		found = true
		e, err := x.Client(ctx, &cfg.Clients[i])
		if err != nil {
			return err
		}
		if f.json {
			err = a.PrintJSON(e)
		} else {
			err = e.Print(a.Stdout)
		}
		if err != nil {
			return err
		}
	}
	if !found {
		return console.UsageError("radmatch clients", "no client %q in %s", f.client, a.ConfigFile)
	}
	return nil
}
