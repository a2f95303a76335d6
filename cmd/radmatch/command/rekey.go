package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/providers"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/store/seal"
)

func (a *app) rekeyCommand() *cobra.Command {
	var prepare, asJSON bool
	c := &cobra.Command{
		Use:   "rekey",
		Short: "Encrypt the tokens' secrets with a new key",
		Long: `rekey makes a new key in data_dir/seal.key, seals every token with it and takes
the old key out of the file. The server may run. A backup of the database from
before needs the key file from before: make a new one with "backup --with-key".

Where seal.key_file names another file, which nodes may share, first add the key with
--prepare, copy the file to the other nodes and reload each: rekey uses a key only when
every server that runs has it. With seal.key_env add a line to the value in its place, and
restart.`,
		Example: "  radmatch rekey\n  radmatch rekey --prepare",
		Args:    rangeArgs(0, 0, "radmatch rekey"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if prepare {
				return a.prepareKey(asJSON)
			}
			return a.rekey(cmd.Context(), asJSON)
		},
	}
	c.Flags().BoolVar(&prepare, "prepare", false, "only add a key to the key file of this host")
	jsonFlag(c, &asJSON)
	return c
}

// rekeyReport is what was sealed, for machines.
type rekeyReport struct {
	Tokens int `json:"tokens"`
}

func (a *app) rekey(ctx context.Context, asJSON bool) error {
	cfg, st, err := a.OpenDatabase(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	n, err := operations(st).Rekey(ctx, actor())
	switch {
	case errors.Is(err, store.ErrLacking):
		return console.WithHint("copy the key file there and reload (radmatch reload), then try again", err)
	case errors.Is(err, os.ErrPermission):
		return console.WithHint("add the key as the owner of the file: radmatch rekey --prepare", err)
	case err != nil:
		return err
	}
	if asJSON {
		return a.PrintJSON(rekeyReport{n})
	}
	fmt.Fprintf(a.Stdout, "%d tokens sealed with a new key\n", n)
	if cfg.Seal != (config.Seal{}) {
		fmt.Fprintln(a.Stdout, "note: nothing is sealed with the old key now; take it out on the other hosts too, and where this command may not write")
	}
	return nil
}

// prepareReport is where a key was added, for machines.
type prepareReport struct {
	File string `json:"file"`
	Key  byte   `json:"key"`
}

// prepareKey adds a key to the key file, or makes the file where it lies outside of data_dir.
func (a *app) prepareKey(asJSON bool) error {
	cfg, err := config.LoadStore(a.ConfigFile)
	if err != nil {
		return a.ExplainConfig(err)
	}
	keys, file := providers.StoreOptions(cfg).Keys, cfg.Seal.KeyFile
	switch {
	case cfg.Seal.KeyEnv != "":
		return console.WithHint("the number of the newest key and one, a blank, and what openssl rand -base64 32 prints", fmt.Errorf("rekey: %w (%s)", seal.ErrEnvironment, cfg.Seal.KeyEnv))
	case keys == nil:
		if err := a.BecomeOwner(cfg.DataDir); err != nil {
			return err
		}
		keys, file = seal.NewKeys(cfg.DataDir), filepath.Join(cfg.DataDir, seal.File)
	}
	there, err := keys.Exist()
	if err != nil {
		return err
	}
	var id byte = 1
	switch {
	case there:
		id, err = keys.Add()
	case !keys.Shared:
		err = console.WithHint("the first start makes it", fmt.Errorf("rekey: there is no %s", file))
	default:
		err = keys.Create()
	}
	if err != nil {
		return err
	}
	if asJSON {
		return a.PrintJSON(prepareReport{file, id})
	}
	fmt.Fprintf(a.Stdout, "Added key %d to %s; nothing is sealed with it yet\n", id, file)
	if !there {
		fmt.Fprintln(a.Stdout, "note: the user that the server runs as must be able to read it")
	}
	if keys.Shared {
		fmt.Fprintln(a.Stdout, "Copy the file to the other nodes, then on each of them: radmatch reload")
	}
	fmt.Fprintln(a.Stdout, "Then: radmatch rekey")
	return nil
}
