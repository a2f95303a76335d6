package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"

	"github.com/radmatch/radmatch/mfa/store/datadir"
	"github.com/radmatch/radmatch/mfa/store/seal"
	"github.com/radmatch/radmatch/mfa/store/sqlstore"
)

// backupTries is how often a backup with its key is made anew where a rekey came
// between the two.
const backupTries = 3

// Backup writes a copy of the database, as of one moment, into file, which must
// not be there or be empty. The server may run. keys is the key file that belongs
// to it. The copy is synced and has been read through.
func (d *DB) Backup(ctx context.Context, file string) (keys []byte, err error) {
	for range backupTries {
		if err := d.copyTo(ctx, file); err != nil {
			return nil, err
		}
		ring, err := d.Keys.OnDisk()
		if err != nil {
			return nil, err
		}
		// The rekey that came between has taken the copy's key out.
		if err = checkCopy(ctx, file, ring); err == nil {
			return ring.Marshal(), nil
		} else if !errors.Is(err, seal.ErrSeal) {
			return nil, err
		}
		if err := os.Truncate(file, 0); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("the sealing key changes again and again; try later")
}

func (d *DB) copyTo(ctx context.Context, file string) error {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600) // SQLite would give it another mode
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := d.SQL.ExecContext(ctx, `VACUUM INTO ?`, file); err != nil {
		return err
	}
	return f.Sync()
}

// checkCopy reads a copy through, and opens its proof with the keys. errSeal means
// that they do not fit.
func checkCopy(ctx context.Context, file string, ring *seal.Ring) error {
	file, err := filepath.Abs(file) // a URL takes the first folder of another path for a host
	if err != nil {
		return err
	}
	u := url.URL{Scheme: "file", Path: file, RawQuery: "mode=ro&immutable=1"}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return err
	}
	defer db.Close()
	if err := quickCheck(ctx, db); err != nil {
		return err
	}
	var proof []byte
	if err := db.QueryRowContext(ctx, `SELECT proof FROM seal_key`).Scan(&proof); err != nil {
		return err
	}
	return ring.Check(proof)
}

// IsOwn reports whether path is one of the files that the store works with.
func (d *DB) IsOwn(path string) bool {
	abs, err := filepath.Abs(path)
	if err != nil {
		return true
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return false // it cannot be written to either
	}
	own, err := filepath.EvalSymlinks(d.dir)
	if err != nil || dir != own {
		return err != nil
	}
	switch name := filepath.Base(abs); name {
	case seal.File, datadir.LockFile, datadir.AppliedFile:
		return true
	default:
		return name == File || strings.HasPrefix(name, File+"-")
	}
}

// ErrDamaged means that the database's file is not as it was written.
var ErrDamaged = errors.New("the database is damaged")

// Verify reads the whole database through. ErrDamaged where it is not sound.
func (d *DB) Verify(ctx context.Context) error {
	return quickCheck(ctx, d.SQL)
}

// quickCheck finds pages that are damaged, and rows that are only in an index.
func quickCheck(ctx context.Context, q sqlstore.Querier) error {
	var found []string
	err := sqlstore.Each(ctx, q, `PRAGMA quick_check(5)`, nil, func(r *sql.Rows) error {
		var line string
		err := r.Scan(&line)
		if line = strings.Join(strings.Fields(line), " "); line != "ok" {
			found = append(found, line)
		}
		return err
	})
	if IsDamage(err) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("%w: %s", ErrDamaged, strings.Join(found, "; "))
	}
	return err
}

// IsDamage reports whether SQLite has found its file damaged.
func IsDamage(err error) bool {
	const corrupt, notADB = 11, 26 // SQLITE_CORRUPT, SQLITE_NOTADB; the bits above say where
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code()&0xff == corrupt || e.Code()&0xff == notADB)
}
