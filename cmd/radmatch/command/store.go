package command

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/providers"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/store/move"
	"github.com/radmatch/radmatch/mfa/store/postgres"
	"github.com/radmatch/radmatch/mfa/store/seal"
	"github.com/radmatch/radmatch/mfa/store/sqlite"
)

func (a *app) storeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "store",
		Short:   "Move the database to PostgreSQL, and back",
		Example: "  radmatch store copy --to postgres://radmatch@pg/radmatch --password-file pg.password",
	}
	c.AddCommand(a.storeCopyCommand())
	return c
}

const storeCopyUsage = "radmatch store copy --to URL, or --from URL"

func (a *app) storeCopyCommand() *cobra.Command {
	var opt copyOptions
	c := &cobra.Command{
		Use:   "copy",
		Short: "Copy the whole database to PostgreSQL, or from there into data_dir",
		Long: `Copy everything that radmatch knows: users and their methods, blocks, events, counters.
--to copies radmatch.db into an empty PostgreSQL database, names it radmatch.db.moved
afterwards, and prints the lines for radmatch.yaml. --from copies a PostgreSQL database
into a data_dir that holds none, and marks the former as moved, so that no node serves it.

No server may run meanwhile. A copy is complete, or there is none: where it is
interrupted, the database that was copied is in use as before. Passcodes that were used
stay used.`,
		Example: `  radmatch store copy --to postgres://radmatch@pg/radmatch --password-file pg.password
  radmatch store copy --to postgres:///radmatch --key-file /etc/radmatch/seal.key
  radmatch store copy --from postgres://radmatch@pg/radmatch`,
		Args: rangeArgs(0, 0, storeCopyUsage),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.storeCopy(cmd.Context(), opt) },
	}
	c.Flags().StringVar(&opt.to, "to", "", "the empty PostgreSQL `database` to copy to: postgres://ROLE@HOST/DATABASE")
	c.Flags().StringVar(&opt.from, "from", "", "the PostgreSQL `database` to copy from")
	c.Flags().StringVar(&opt.passwordFile, "password-file", "", "a `file` with the password of the role (default store.password_file)")
	c.Flags().StringVar(&opt.keyFile, "key-file", "", "with --to: the `file` with the sealing key that the nodes will have, to make sure that it fits")
	jsonFlag(c, &opt.json)
	return c
}

// copyOptions are the flags of store copy.
type copyOptions struct {
	to, from, passwordFile, keyFile string
	json                            bool
}

// copyReport is what was copied, for machines.
type copyReport struct {
	To     string           `json:"to"` // postgres or sqlite
	Tables map[string]int64 `json:"tables"`
	File   string           `json:"file"` // of the embedded database: where it is now
}

func (a *app) storeCopy(ctx context.Context, f copyOptions) error {
	url, flag := f.to, "--to"
	if f.from != "" {
		url, flag = f.from, "--from"
	}
	if (f.to == "") == (f.from == "") {
		return console.UsageError(storeCopyUsage, "copy: one of --to and --from says where the PostgreSQL database is")
	}
	if f.keyFile != "" && f.from != "" {
		return console.UsageError(storeCopyUsage, "copy: --key-file belongs to --to; the key of data_dir is in seal.key_file, or seal.key there")
	}
	if _, err := config.DatabaseURL(url); errors.Is(err, config.ErrPasswordInURL) {
		return console.UsageError(storeCopyUsage, "copy: %s %w and name that with --password-file", flag, err)
	} else if err != nil {
		return console.UsageError(storeCopyUsage, "copy: %s %w", flag, err)
	}
	cfg, err := config.LoadStore(a.ConfigFile)
	if err != nil {
		return a.ExplainConfig(err)
	}
	if err := a.BecomeOwner(cfg.DataDir); err != nil {
		return err
	}
	if f.passwordFile == "" {
		f.passwordFile = cfg.Store.PasswordFile
	}
	opt := a.moveOptions(cfg, url, f)
	var counts move.Counts
	if f.to != "" {
		counts, err = move.ToPostgres(ctx, opt)
	} else {
		counts, err = move.ToSQLite(ctx, opt)
	}
	if err != nil {
		return explainCopy(err)
	}
	if f.to != "" {
		return a.copiedTo(cfg, f, counts)
	}
	return a.copiedFrom(cfg, f, counts)
}

func (a *app) moveOptions(cfg *config.Config, url string, f copyOptions) move.Options {
	opt := move.Options{Dir: cfg.DataDir, URL: url, PasswordFile: f.passwordFile, Keys: providers.StoreOptions(cfg).Keys, Now: time.Now}
	if opt.Keys == nil {
		opt.Keys = seal.NewKeys(cfg.DataDir)
	}
	if f.keyFile != "" {
		opt.Target = seal.KeysAt(f.keyFile)
	}
	opt.Progress = func(table string, done, all int64) {
		fmt.Fprintf(a.Stderr, "radmatch: note: %s: %d of %d\n", table, done, all)
	}
	return opt
}

// explainCopy says what to do about an error.
func explainCopy(err error) error {
	err = fmt.Errorf("store copy: %w", err)
	switch {
	case errors.Is(err, store.ErrInUse):
		return console.WithHint("stop the server first: all that it does while the copy is made would be lost", err)
	case errors.Is(err, move.ErrNotEmpty):
		return console.WithHint("a database that only check or nodes have looked at is not empty either: drop it, and create it again", err)
	case errors.Is(err, move.ErrOutcome):
		return console.WithHint("give the same command again: it finishes a copy that is complete, or says how to undo one", err)
	case errors.Is(err, move.ErrKeys):
		return console.WithHint("copy the key file that this server has, and name the copy", err)
	case errors.Is(err, postgres.ErrMoved):
		return console.WithHint("the copy that was made is the database now", err)
	}
	return err
}

// copiedTo says what was copied to PostgreSQL, and what comes next.
func (a *app) copiedTo(cfg *config.Config, f copyOptions, counts move.Counts) error {
	moved := filepath.Join(cfg.DataDir, sqlite.MovedFile)
	if f.json {
		return a.PrintJSON(copyReport{To: "postgres", Tables: counts, File: moved})
	}
	if len(counts) == 0 {
		fmt.Fprintln(a.Stdout, "The copy was complete already")
	} else {
		fmt.Fprintf(a.Stdout, "Copied to PostgreSQL: %s\n", listCounts(counts))
	}
	fmt.Fprintf(a.Stdout, "The database before is %s now: keep it until the nodes have served for a while\n", moved)
	key, source := f.keyFile, cfg.Seal.KeyFile
	sealed := fmt.Sprintf("{key_file: %s}", quoteYAML(source))
	switch {
	case key != "":
		sealed = fmt.Sprintf("{key_file: %s}", quoteYAML(key))
	case cfg.Seal.KeyEnv != "":
		sealed = fmt.Sprintf("{key_env: %s}", cfg.Seal.KeyEnv)
	case source == "":
		key = "/etc/radmatch/seal.key"
		sealed = fmt.Sprintf("{key_file: %s}", key)
		fmt.Fprintf(a.Stdout, "The sealing key is %s: copy it to %s on each node, for the user of the server to read (0640)\n", filepath.Join(cfg.DataDir, seal.File), key)
	}
	fmt.Fprintf(a.Stdout, "\nFor radmatch.yaml of each node, in place of what it says of them now:\n\nstore:\n  type: postgres\n  url: %s\n", quoteYAML(f.to))
	if f.passwordFile != "" {
		fmt.Fprintf(a.Stdout, "  password_file: %s\n", quoteYAML(f.passwordFile))
	}
	fmt.Fprintf(a.Stdout, "seal: %s\nnode: %s\n", sealed, providers.NodeName(cfg))
	return nil
}

// copiedFrom says what was copied from PostgreSQL, and what comes next.
func (a *app) copiedFrom(cfg *config.Config, f copyOptions, counts move.Counts) error {
	file := filepath.Join(cfg.DataDir, sqlite.File)
	if f.json {
		return a.PrintJSON(copyReport{To: "sqlite", Tables: counts, File: file})
	}
	fmt.Fprintf(a.Stdout, "Copied from PostgreSQL into %s: %s\n", file, listCounts(counts))
	fmt.Fprintln(a.Stdout, "Nodes refuse the PostgreSQL database now. To undo that, take the copy away, then: DELETE FROM meta WHERE key = 'moved'")
	if cfg.Store.Postgres() {
		fmt.Fprintln(a.Stdout, "\nIn radmatch.yaml take out store and node; seal stays as it is")
	}
	return nil
}

// listCounts is "3 events, 1 tokens": the tables that have rows.
func listCounts(counts move.Counts) string {
	var list []string
	for _, table := range slices.Sorted(maps.Keys(counts)) {
		if counts[table] > 0 {
			list = append(list, fmt.Sprintf("%s %d", table, counts[table]))
		}
	}
	return strings.Join(list, ", ")
}

// quoteYAML is a text as YAML has it: JSON strings are YAML.
func quoteYAML(s string) string {
	text, err := console.PlainJSON(s)
	if err != nil {
		return s
	}
	return strings.TrimSpace(text)
}
