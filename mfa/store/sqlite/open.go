package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"

	"github.com/radmatch/radmatch/mfa/store/datadir"
	"github.com/radmatch/radmatch/mfa/store/seal"
	"github.com/radmatch/radmatch/mfa/store/sqlstore"
)

// File is the database in data_dir.
const File = "radmatch.db"

// Settings say which database is opened and how.
type Settings struct {
	Dir    string           // data_dir, made where it is missing
	Server bool             // takes the lock of Dir
	Now    func() time.Time // for the ids of events
	Keys   *seal.Keys       // nil: those in Dir
}

// DB is the database in one folder. The methods that read may be called concurrently; of those
// that write, a server calls one at a time.
type DB struct {
	dir          string
	server       bool
	*sqlstore.DB // reads, and the writes that are not on the path of a login

	// Only for a server.
	last    *sql.Stmt // the last change
	lock    *os.File
	ack     *os.File         // datadir.AppliedFile
	acked   int64            // the last change that memory has; for who writes
	notices *datadir.Notices // of commands; nil: they are not heard
	writer  writer
}

// Open opens the database in set.Dir, makes it where it is missing, and brings its
// schema up to date. For a server it takes the lock of the folder: ErrInUse where another
// server has it. ctx is only for the opening.
func Open(ctx context.Context, set Settings) (_ *DB, err error) {
	if set.Dir == "" {
		return nil, errors.New("no directory given")
	}
	dir, err := filepath.Abs(set.Dir)
	if err != nil {
		return nil, err
	}
	if set.Keys == nil {
		set.Keys = seal.NewKeys(dir)
	}
	d := &DB{dir: dir, server: set.Server, DB: &sqlstore.DB{
		Keys: set.Keys, Now: set.Now, Snapshot: sql.TxOptions{ReadOnly: true}, Trail: trail{},
	}}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	if err := d.openFiles(); err != nil {
		return nil, err
	}
	if err := d.openDatabase(ctx); err != nil {
		return nil, err
	}
	if set.Server {
		if err := d.serve(ctx); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// openFiles makes the directory and, for a server, takes its lock.
func (d *DB) openFiles() error {
	if err := datadir.NotForeign(d.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	if !d.server {
		return nil
	}
	var err error
	if d.lock, err = datadir.Acquire(d.path(datadir.LockFile)); err != nil {
		return err
	}
	d.ack, err = datadir.OpenFile(d.path(datadir.AppliedFile))
	return err
}

func (d *DB) openDatabase(ctx context.Context) error {
	if err := d.notLost(); err != nil {
		return err
	}
	// SQLite gives its other files the mode of this one. O_EXCL, because
	// closing a file that SQLite has open would drop its POSIX locks.
	f, err := os.OpenFile(d.path(File), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = errors.Join(f.Close(), d.notJustMoved())
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	// SQLite's own error does not say that it is the permissions.
	if err := unix.Access(d.path(File), unix.R_OK|unix.W_OK); err != nil {
		return &os.PathError{Op: "open", Path: d.path(File), Err: err}
	}
	if d.SQL, err = sql.Open("sqlite", d.dsn("journal_mode(WAL)", "synchronous(FULL)")); err != nil {
		return err
	}
	// No bound: who writes must not wait for one who reads the trail.
	d.SQL.SetMaxIdleConns(4)
	if err := d.migrate(ctx); err != nil {
		return err
	}
	if err := d.OpenKeys(ctx, File); err != nil {
		return err
	}
	return d.reform(ctx)
}

// notLost refuses to begin anew beside the keys of a database that was there: an
// empty one knows no methods, and where require_user_match is false a user who has
// none needs no second factor.
func (d *DB) notLost() error {
	if err := d.notMoved(); err != nil {
		return err
	}
	trace := seal.File
	if d.Keys.Shared {
		trace = datadir.AppliedFile // keys that lie elsewhere may come before the database
	}
	info, err := os.Stat(d.path(trace))
	if errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	info, err = os.Stat(d.path(File))
	if errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 {
		return fmt.Errorf("%s is missing or empty, but %s is there: restore the database, or remove %s to begin anew", File, trace, trace)
	}
	return err
}

// notMoved refuses to begin anew where the database was copied to PostgreSQL.
func (d *DB) notMoved() error {
	if there, err := datadir.Exists(d.path(File)); err != nil || there {
		return err
	}
	return d.noMovedFile()
}

// notJustMoved takes away the file that this process has made where the database was copied
// since notMoved looked.
func (d *DB) notJustMoved() error {
	err := d.noMovedFile()
	if err != nil {
		err = errors.Join(err, os.Remove(d.path(File)))
	}
	return err
}

func (d *DB) noMovedFile() error {
	there, err := datadir.Exists(d.path(MovedFile))
	if err == nil && there {
		err = fmt.Errorf("%s was copied to PostgreSQL (radmatch store copy --to) and is %s now: set store.type: postgres, or copy it back (--from)", File, MovedFile)
	}
	return err
}

// serve opens what only a server needs.
func (d *DB) serve(ctx context.Context) (err error) {
	if d.last, err = d.SQL.PrepareContext(ctx, `SELECT coalesce(max(id), 0) FROM changes`); err != nil {
		return err
	}
	d.writer.open = func() (conn, error) {
		c, err := new(sqlite.Driver).Open(d.dsn("journal_mode(WAL)", "synchronous(FULL)"))
		if err != nil {
			return nil, err
		}
		return c.(conn), nil
	}
	// A database that cannot be written must stop the start, not the first login.
	if err := d.Update(ctx, func(*sql.Tx) error { return nil }); err != nil {
		return err
	}
	if d.notices, err = datadir.Listen(d.dir); err != nil {
		d.notices = nil // it looks for changes more often
	}
	return nil
}

// dsn is the same for every connection of a kind, so that none lacks a pragma.
// FULL: a commit returns when the log is synced.
func (d *DB) dsn(pragmas ...string) string {
	q := url.Values{"_txlock": {"immediate"}, "_pragma": append([]string{"busy_timeout(5000)"}, pragmas...)}
	u := url.URL{Scheme: "file", Path: d.path(File), RawQuery: q.Encode()}
	return u.String()
}

func (d *DB) path(name string) string { return filepath.Join(d.dir, name) }

// Close lets go of the folder.
func (d *DB) Close() error {
	errs := []error{d.writer.close()}
	if d.last != nil {
		errs = append(errs, d.last.Close())
	}
	if d.SQL != nil {
		errs = append(errs, d.SQL.Close())
	}
	if d.notices != nil {
		errs = append(errs, d.notices.Close())
	}
	for _, f := range []*os.File{d.ack, d.lock} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}
