package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa/store/datadir"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/store/sqlstore"
)

// partFolder is in data_dir, and holds a database that is not whole yet.
const partFolder = File + ".part"

// Copied is a database that is filled from elsewhere. It is in use when Place has put it
// into its folder, as a whole.
type Copied struct {
	dir    string
	lock   *os.File
	db     *DB // in partFolder
	tx     *sql.Tx
	insert map[string]*sql.Stmt
	counts map[string]int64
}

// NewCopied begins a database for a folder that has none, and takes the lock of the folder:
// ErrInUse where a server has it. The caller closes it.
func NewCopied(ctx context.Context, dir string, now func() time.Time) (_ *Copied, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	c := &Copied{dir: dir, insert: make(map[string]*sql.Stmt), counts: make(map[string]int64)}
	if err = errors.Join(datadir.NotForeign(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return nil, err
	}
	if c.lock, err = datadir.Acquire(filepath.Join(dir, datadir.LockFile)); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	if there, err := datadir.Exists(filepath.Join(dir, File)); err != nil || there {
		return nil, errors.Join(err, fmt.Errorf("%s is there: a copy never overwrites one; take it away", File))
	}
	part := filepath.Join(dir, partFolder)
	if err := os.RemoveAll(part); err != nil { // of a copy that was interrupted
		return nil, err
	}
	if err := os.Mkdir(part, 0o700); err != nil {
		return nil, err
	}
	c.db = &DB{dir: part, DB: &sqlstore.DB{Now: now, Snapshot: sql.TxOptions{ReadOnly: true}, Trail: trail{}}}
	return c, c.begin(ctx)
}

// begin makes the empty tables. Nothing is synced before Place: what is left of a copy that
// was interrupted is removed by the next one.
func (c *Copied) begin(ctx context.Context) (err error) {
	f, err := os.OpenFile(c.db.path(File), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return err
	}
	if c.db.SQL, err = sql.Open("sqlite", c.db.dsn("journal_mode(OFF)", "synchronous(OFF)")); err != nil {
		return err
	}
	c.db.SQL.SetMaxOpenConns(1)
	if err := c.db.migrate(ctx); err != nil {
		return err
	}
	c.tx, err = c.db.SQL.BeginTx(ctx, nil)
	return err
}

// Tables lists what there is to fill.
func (c *Copied) Tables(ctx context.Context) ([]record.Table, error) { return tables(ctx, c.tx) }

// Clear removes the rows that a new database has in a table.
func (c *Copied) Clear(ctx context.Context, table string) error {
	_, err := c.tx.ExecContext(ctx, `DELETE FROM "`+table+`"`)
	return err
}

// Insert adds a row to a table, with values for all of its columns. One that has the same key
// is replaced in table meta, which is never empty.
func (c *Copied) Insert(ctx context.Context, t record.Table, values []any) (err error) {
	stmt := c.insert[t.Name]
	if stmt == nil {
		verb := `INSERT`
		if t.Name == "meta" {
			verb = `INSERT OR REPLACE`
		}
		query := fmt.Sprintf(`%s INTO "%s" ("%s") VALUES (?%s)`, verb, t.Name, strings.Join(t.Columns, `", "`), strings.Repeat(", ?", len(t.Columns)-1))
		if stmt, err = c.tx.PrepareContext(ctx, query); err != nil {
			return err
		}
		c.insert[t.Name] = stmt
	}
	if _, err := stmt.ExecContext(ctx, values...); err != nil {
		return fmt.Errorf("table %s: %w", t.Name, err)
	}
	c.counts[t.Name]++
	return nil
}

// Finish brings what was filled in into the tables that are found by an index, and compares
// the number of rows of each table with what was inserted.
func (c *Copied) Finish(ctx context.Context) error {
	for _, stmt := range c.insert {
		if err := stmt.Close(); err != nil {
			return err
		}
	}
	is, err := c.Tables(ctx)
	if err != nil {
		return err
	}
	for _, t := range is {
		if want := c.counts[t.Name]; t.Rows != want && t.Name != "meta" {
			return fmt.Errorf("table %s has %d rows, not %d", t.Name, t.Rows, want)
		}
	}
	if err := c.tx.Commit(); err != nil {
		return err
	}
	c.tx = nil
	if err := c.db.foldAll(ctx); err != nil {
		return err
	}
	return quickCheck(ctx, c.db.SQL)
}

// Sync closes the database, and returns when it is on disk.
func (c *Copied) Sync() error {
	if err := c.db.SQL.Close(); err != nil {
		return err
	}
	c.db.SQL = nil
	f, err := os.OpenFile(c.db.path(File), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close(), datadir.Sync(c.db.dir))
}

// Place puts the database into its folder.
func (c *Copied) Place() error {
	if err := os.Rename(c.db.path(File), filepath.Join(c.dir, File)); err != nil {
		return err
	}
	return datadir.Sync(c.dir)
}

// Close lets go of the folder, and removes what was not placed.
func (c *Copied) Close() error {
	var errs []error
	if c.tx != nil {
		_ = c.tx.Rollback()
	}
	if c.db != nil {
		errs = append(errs, c.db.Close(), os.RemoveAll(c.db.dir))
	}
	return errors.Join(append(errs, c.lock.Close())...)
}
