package command

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/mfa/store"
)

func (a *app) rekeyCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "rekey",
		Short: "Encrypt the tokens' secrets with a new key",
		Long: `rekey makes a new key in data_dir/seal.key, seals every token with it and takes
the old key out of the file. The server may run. A backup of the database from
before needs the key file from before: make a new one with "backup --with-key".`,
		Example: "  radmatch rekey",
		Args:    rangeArgs(0, 0, "radmatch rekey"),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.rekey(cmd.Context(), asJSON) },
	}
	jsonFlag(c, &asJSON)
	return c
}

// rekeyReport is what was sealed, for machines.
type rekeyReport struct {
	Tokens int `json:"tokens"`
}

func (a *app) rekey(ctx context.Context, asJSON bool) error {
	return a.WithStore(ctx, func(st *store.Store) error {
		n, err := operations(st).Rekey(ctx, actor())
		if err != nil {
			return err
		}
		if asJSON {
			return a.PrintJSON(rekeyReport{n})
		}
		fmt.Fprintf(a.Stdout, "%d tokens sealed with a new key\n", n)
		return nil
	})
}
