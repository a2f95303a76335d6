package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"os"
	"strings"

	"github.com/radmatch/radmatch/mfa/store/datadir"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/store/seal"
	"github.com/radmatch/radmatch/mfa/store/sqlstore"
)

// MovedFile is the database after it was copied to PostgreSQL. No server opens it.
const MovedFile = File + ".moved"

// foldAtOnce is how many events are brought into tables by one commit of a copy.
const foldAtOnce = 10_000

var (
	errNoDatabase = errors.New("there is no " + File + " to copy")
	errOthers     = errors.New("another process works with " + File + ": try again when it has ended")
)

// Moving is a database that is copied elsewhere. Nobody else has it open.
type Moving struct {
	db    *DB
	tx    *sql.Tx
	proof []byte
	used  []byte
}

// OpenMoving opens the database in set.Dir for a copy: with the lock of the folder, with the
// current schema, and with all that was used up in its tables. What it holds stays the same.
// ErrInUse where a server runs. The caller closes it.
func OpenMoving(ctx context.Context, set Settings) (_ *Moving, err error) {
	m := &Moving{db: &DB{dir: set.Dir}}
	if there, err := datadir.Exists(m.db.path(File)); err != nil || !there {
		return nil, errors.Join(err, errNoDatabase)
	}
	if there, err := datadir.Exists(m.db.path(MovedFile)); err != nil || there {
		return nil, errors.Join(err, fmt.Errorf("%s is there already, from a copy before: take it away", MovedFile))
	}
	set.Server = true
	if m.db, err = Open(ctx, set); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			m.Close()
		}
	}()
	if err := m.db.foldAll(ctx); err != nil {
		return nil, err
	}
	if err := m.db.SQL.QueryRowContext(ctx, `SELECT proof FROM seal_key`).Scan(&m.proof); err != nil {
		return nil, err
	}
	if m.used, err = m.db.KeysInUse(ctx); err != nil {
		return nil, err
	}
	return m, m.shut(ctx)
}

// Sealed returns what only the right keys open, the ids of those that something is sealed
// with, and the keys.
func (m *Moving) Sealed() (proof, used []byte, ring *seal.Ring) {
	return m.proof, m.used, m.db.Keys.Ring()
}

// foldAll brings all events into the tables that are slow to write.
func (d *DB) foldAll(ctx context.Context) error {
	for {
		if n, err := d.Fold(ctx, foldAtOnce); err != nil || n == 0 {
			return err
		}
	}
}

// shut keeps everybody else out. The database leaves its write-ahead log, which only the one
// process that has it open can do; a command that waits meanwhile, and opens the file when
// that is MovedFile, cannot go back to one: SQLite finds that the file was moved.
func (m *Moving) shut(ctx context.Context) (err error) {
	d := m.db
	if err := errors.Join(d.last.Close(), d.SQL.Close()); err != nil {
		return err
	}
	d.last = nil
	q := url.Values{"_txlock": {"exclusive"}, "_pragma": {"busy_timeout(1000)", "locking_mode(EXCLUSIVE)", "journal_mode(DELETE)", "synchronous(FULL)"}}
	u := url.URL{Scheme: "file", Path: d.path(File), RawQuery: q.Encode()}
	if d.SQL, err = sql.Open("sqlite", u.String()); err != nil {
		return err
	}
	d.SQL.SetMaxOpenConns(1)
	if m.tx, err = d.SQL.BeginTx(ctx, nil); isBusy(err) {
		return errOthers
	}
	return err
}

// Tables lists what there is to copy.
func (m *Moving) Tables(ctx context.Context) ([]record.Table, error) { return tables(ctx, m.tx) }

// Rows yields the rows of a query, which may take any time. The values are int64, string,
// []byte or nil.
func (m *Moving) Rows(ctx context.Context, query string) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		if err := eachRow(ctx, m.tx, query, yield); err != nil && !errors.Is(err, errEnough) {
			yield(nil, err)
		}
	}
}

// errEnough ends the reading of rows.
var errEnough = errors.New("enough")

func eachRow(ctx context.Context, q sqlstore.Querier, query string, yield func([]any, error) bool) error {
	var values, into []any
	return sqlstore.Each(ctx, q, query, nil, func(r *sql.Rows) error {
		if values == nil {
			names, err := r.Columns()
			if err != nil {
				return err
			}
			values, into = make([]any, len(names)), make([]any, len(names))
			for i := range values {
				into[i] = &values[i]
			}
		}
		if err := r.Scan(into...); err != nil {
			return err
		}
		if !yield(values, nil) {
			return errEnough
		}
		return nil
	})
}

// LastEvent is the place of the newest entry of the trail: it tells one database, at one
// time, from others.
func (m *Moving) LastEvent(ctx context.Context) (id int64, err error) {
	err = m.tx.QueryRowContext(ctx, lastEvent).Scan(&id)
	return id, err
}

// Retire takes the database out of use, after it was copied.
func (m *Moving) Retire() error {
	d := m.db
	if err := os.Rename(d.path(File), d.path(MovedFile)); err != nil {
		return err
	}
	return datadir.Sync(d.dir)
}

// Close lets go of the folder.
func (m *Moving) Close() error {
	if m.tx != nil {
		_ = m.tx.Rollback() // it has changed nothing
	}
	return m.db.Close()
}

// tables lists the tables with their columns and the number of their rows.
func tables(ctx context.Context, q sqlstore.Querier) (list []record.Table, err error) {
	const query = `SELECT m.name, (SELECT group_concat(name) FROM (SELECT name FROM pragma_table_info(m.name) ORDER BY cid))
		FROM sqlite_schema m WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY m.name`
	err = sqlstore.Each(ctx, q, query, nil, func(r *sql.Rows) error {
		var t record.Table
		var columns string
		err := r.Scan(&t.Name, &columns)
		t.Columns = strings.Split(columns, ",")
		list = append(list, t)
		return err
	})
	for i := range list {
		if err == nil {
			err = q.QueryRowContext(ctx, `SELECT count(*) FROM "`+list[i].Name+`"`).Scan(&list[i].Rows)
		}
	}
	return list, err
}
