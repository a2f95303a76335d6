package command

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/serve"
	"github.com/radmatch/radmatch/mfa/store"
)

func (a *app) backupCommand() *cobra.Command {
	var withKey, asJSON bool
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a copy of the database",
		Long: `backup writes a copy of the database, as of one moment, into FILE (mode 0600), which
appears when it is whole and was read through. The server may run. Without the key
file data_dir/seal.key the tokens in it cannot be opened: --with-key writes a copy of
that into FILE.key. Keep the two in different places.

docs/backup.md says how to restore one.`,
		Example: "  radmatch backup /var/backups/radmatch.db\n  radmatch backup --with-key radmatch.db",
		Args:    exactArgs(1, "radmatch backup FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.backup(cmd.Context(), args[0], withKey, asJSON)
		},
	}
	c.Flags().BoolVar(&withKey, "with-key", false, "write the key file too, as FILE.key")
	jsonFlag(c, &asJSON)
	return c
}

// backupReport is what was written, for machines.
type backupReport struct {
	File    string `json:"file"`
	KeyFile string `json:"key_file,omitempty"`
}

func (a *app) backup(ctx context.Context, file string, withKey, asJSON bool) error {
	cfg, st, err := a.OpenDatabase(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	if st.IsOwn(file) || st.IsOwn(file+".key") {
		return console.UsageError("radmatch backup FILE", "backup: %s is a file of the server", file)
	}
	temp, keys, err := a.copyDatabase(ctx, st, cfg.DataDir, file)
	if err != nil {
		return serve.DamageHint(fmt.Errorf("backup: %w", err))
	}
	if err := operations(st).NoteBackup(ctx, actor(), filepath.Base(file)); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if err := errors.Join(st.Close(), a.AsRoot()); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if withKey {
		if err := writeWhole(file+".key", func(f *os.File) error { _, err := f.Write(keys); return err }); err != nil {
			return errors.Join(fmt.Errorf("backup: %w", err), os.Remove(temp))
		}
	}
	if err := place(temp, file); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if asJSON {
		wrote := backupReport{File: file}
		if withKey {
			wrote.KeyFile = file + ".key"
		}
		return a.PrintJSON(wrote)
	}
	fmt.Fprintf(a.Stdout, "Wrote %s\n", file)
	if withKey {
		fmt.Fprintf(a.Stdout, "Wrote %s.key: keep it in another place\n", file)
	}
	return nil
}

// copyDatabase writes the copy beside file or, where root works as the owner of
// data_dir, who may not write there, into data_dir.
func (a *app) copyDatabase(ctx context.Context, st *store.Store, dir, file string) (temp string, keys []byte, err error) {
	at := filepath.Dir(file)
	if a.AsOwner() {
		if at = dir; !hasRoom(dir) {
			return "", nil, fmt.Errorf("%s has no room for a copy: run it as the user of the server", dir)
		}
	}
	temp = filepath.Join(at, ".radmatch-backup-"+rand.Text())
	if keys, err = st.Backup(ctx, temp); err != nil {
		err = errors.Join(err, removeIfThere(temp))
	}
	return temp, keys, err
}

// hasRoom reports whether a copy of the database fits beside it, and leaves room
// for what comes.
func hasRoom(dir string) bool {
	const spare = 64 << 20
	info, err := os.Stat(filepath.Join(dir, "radmatch.db"))
	var fs unix.Statfs_t
	if err != nil || unix.Statfs(dir, &fs) != nil {
		return false
	}
	return uint64(fs.Bavail)*uint64(fs.Bsize) > uint64(info.Size())+spare
}

// place makes file of temp, whole or not at all, and removes temp.
func place(temp, file string) error {
	if filepath.Dir(temp) == filepath.Dir(file) {
		if err := os.Rename(temp, file); err != nil {
			return errors.Join(err, removeIfThere(temp))
		}
		return syncFolder(filepath.Dir(file))
	}
	defer os.Remove(temp)
	in, err := os.OpenFile(temp, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	return writeWhole(file, func(f *os.File) error { _, err := io.Copy(f, in); return err })
}

// writeWhole writes a file (0600) that appears when it is whole and synced.
func writeWhole(file string, write func(*os.File) error) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".radmatch-backup-*") // 0600
	if err != nil {
		return err
	}
	if err = errors.Join(write(f), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, removeIfThere(f.Name()))
	}
	return syncFolder(filepath.Dir(file))
}

func removeIfThere(file string) error {
	if err := os.Remove(file); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
