package postgres

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/zap"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrating is the advisory lock of who changes the schema.
const migrating = 0x7261646d // "radm"

// lockTries is how often a change of the schema is tried that waits for a lock of others.
const lockTries = 3

// TooOldError means that the database holds no longer what this program looks at.
type TooOldError struct {
	Serves, Known int // the oldest schema that programs may know, and what this one knows
}

// Error implements error.
func (e *TooOldError) Error() string {
	return fmt.Sprintf("this program is too old for the database: it knows schema version %d, the database serves programs that know %d; install the version of the other nodes", e.Known, e.Serves)
}

// olderError means that a change has to wait for nodes whose program looks at what it removes.
type olderError struct{ nodes string }

func (e *olderError) Error() string {
	return "the schema cannot be changed while older programs run: stop these nodes, or install this version there: " + e.nodes
}

// migration is the step to the version of the schema that its place gives.
type migration struct {
	file, text string
	// serves is the oldest schema that programs may know from here on: it removes what older
	// ones look at. 0: it only adds.
	serves int
}

var servesLine = regexp.MustCompile(`\A-- serves: (\d+)\n`)

// readMigrations returns the steps in files, file N at place N-1.
func readMigrations(files fs.FS) (list []migration, err error) {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		m := migration{file: name, text: string(text)}
		if line := servesLine.FindStringSubmatch(m.text); line != nil {
			if m.serves, err = strconv.Atoi(line[1]); err != nil || m.serves < 2 || m.serves > i+1 {
				return nil, fmt.Errorf("%s: serves: want 2 to %d", name, i+1)
			}
		}
		list = append(list, m)
	}
	return list, nil
}

// tooOld returns a TooOldError where programs must know more than this one does.
func (d *DB) tooOld(serves int) error {
	if known := len(d.migrations); serves > known {
		return &TooOldError{Serves: serves, Known: known}
	}
	return nil
}

// migrate brings the schema up to date. What adds is done while nodes with the program before
// go on. What removes waits until none of those runs that looks at it, and this program works
// without: it is done at a later start, or by Tidy. Each step is one transaction, and
// does not wait for others for long.
func (d *DB) migrate(ctx context.Context) error {
	version, serves, err := d.schema(ctx, d.SQL)
	if err == nil {
		err = d.tooOld(serves)
	}
	for tries := 1; err == nil && version < len(d.migrations); {
		var v int
		v, err = d.step(ctx, lockTime)
		var refused *pgconn.PgError
		var older *olderError
		switch {
		case err == nil:
			version, tries = v, 1
		case errors.As(err, &older) && !d.adds(version):
			d.log.Info("a change of the database waits for nodes with an older program", zap.String("nodes", older.nodes), zap.String("change", d.migrations[version].file))
			return nil
		case errors.As(err, &refused) && refused.Code == lockNotAvailable:
			err = fmt.Errorf("the schema is as it was, for another transaction holds a lock that its change needs; nodes go on; start this one again: %w", err)
			if tries < lockTries {
				d.log.Warn("cannot change the schema of the database yet; will retry", zap.Error(err))
				tries++
				err = pause(ctx, lockPause)
			}
		}
	}
	return err
}

// leaveLater makes the steps that had to wait for nodes with an older program. Logins of this
// node wait meanwhile, so it hardly waits for a lock: the next time will do.
func (d *DB) leaveLater(ctx context.Context) error {
	version, serves, err := d.schema(ctx, d.SQL)
	if err == nil {
		err = d.tooOld(serves)
	}
	for err == nil && version < len(d.migrations) {
		version, err = d.step(ctx, lockTimeServing)
	}
	var refused *pgconn.PgError
	var older *olderError
	if errors.As(err, &older) || errors.As(err, &refused) && refused.Code == lockNotAvailable {
		return nil
	}
	return err
}

const (
	lockNotAvailable = "55P03"
	// lockTime is how long a lock is waited for at a start, and lockTimeServing by a node that
	// serves.
	lockTime, lockTimeServing = "2s", "50ms"
	// lockPause lets those go on that were behind a change that waited for a lock.
	lockPause = time.Second
)

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// adds reports whether a step behind this version adds something, without which this program
// cannot work.
func (d *DB) adds(version int) bool {
	return slices.ContainsFunc(d.migrations[version:], func(m migration) bool { return m.serves == 0 })
}

// schema returns the version of the schema, 0 for an empty one, and the oldest that
// programs may know.
func (d *DB) schema(ctx context.Context, q querier) (version, serves int, err error) {
	var there bool
	if err = q.QueryRowContext(ctx, `SELECT to_regclass('meta') IS NOT NULL AND to_regclass('site') IS NOT NULL`).Scan(&there); err != nil || !there {
		return 0, 0, err
	}
	err = q.QueryRowContext(ctx, `SELECT (SELECT value FROM meta WHERE key = 'schema'), (SELECT serves FROM site)`).Scan(&version, &serves)
	return version, serves, err
}

// movedKey is of table meta: the database was copied into a data_dir, which is where it is now.
const movedKey = `moved`

// ErrMoved means that what the database holds is elsewhere now.
var ErrMoved = errors.New("it was copied into a data_dir (radmatch store copy --from), which has taken its place; to undo that: DELETE FROM meta WHERE key = 'moved'")

// notMoved returns ErrMoved where a copy has taken the place of the database.
func notMoved(ctx context.Context, q querier) error {
	var moved bool
	err := q.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM meta WHERE key = '`+movedKey+`')`).Scan(&moved)
	if err == nil && moved {
		err = ErrMoved
	}
	return err
}

// Create makes the tables of a new database in a transaction.
func Create(ctx context.Context, tx pgx.Tx) error {
	list, err := readMigrations(migrations)
	if err != nil {
		return err
	}
	serves := 1
	for i, m := range list {
		serves = max(serves, m.serves)
		if _, err := tx.Exec(ctx, m.text, pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("%s: %w", m.file, err)
		}
		if i > 0 {
			continue
		}
		if _, err := tx.Exec(ctx, firstSite, classKey()); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, raiseServes, serves); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, noteSchema, len(list))
	return err
}

// Migrating takes the lock of who changes the schema, until tx ends.
func Migrating(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '`+lockTime+`'`); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, migrating)
	return err
}

const (
	firstSite   = `INSERT INTO site (serves, class_key) VALUES (1, $1)`
	raiseServes = `UPDATE site SET serves = greatest(serves, $1)`
	noteSchema  = `INSERT INTO meta (key, value) VALUES ('schema', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value`
)

func classKey() []byte {
	key := make([]byte, 32)
	rand.Read(key)
	return key
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// step runs the next migration, unless another process has done so by now, and returns the
// version that there is then. It waits for each lock for lockTime at most.
func (d *DB) step(ctx context.Context, lockTime string) (version int, err error) {
	err = d.Update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `SET LOCAL lock_timeout = '`+lockTime+`'`); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, migrating); err != nil {
			return err
		}
		var serves int
		if version, serves, err = d.schema(ctx, tx); err != nil || version >= len(d.migrations) {
			return errors.Join(err, d.tooOld(serves))
		}
		m := d.migrations[version]
		if m.serves > 0 {
			if err := leaveBehind(ctx, tx, m.serves); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, m.text, pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("%s: %w", m.file, err)
		}
		if version == 0 {
			if _, err := tx.ExecContext(ctx, firstSite, classKey()); err != nil {
				return err
			}
		}
		version++
		_, err = tx.ExecContext(ctx, noteSchema, version)
		return err
	})
	return version, err
}

// leaveBehind refuses programs from now on that know an older schema than serves, or returns an
// olderError where one runs. A program that begins a run looks at the row of site first, and locks it.
// A node that stands still at this moment finds that its count of commits is another.
func leaveBehind(ctx context.Context, tx *sql.Tx, serves int) error {
	if _, err := tx.ExecContext(ctx, raiseServes, serves); err != nil {
		return err
	}
	const query = `SELECT string_agg(name || ' (' || program || ')', ', ' ORDER BY name) FROM nodes WHERE run > 0 AND schema < $1 AND beat > now() - interval '` + alive + `'`
	var nodes sql.NullString
	if err := tx.QueryRowContext(ctx, query, serves).Scan(&nodes); err != nil {
		return err
	}
	if nodes.Valid {
		return &olderError{nodes: nodes.String}
	}
	_, err := tx.ExecContext(ctx, `UPDATE nodes SET batch = -1 WHERE run > 0 AND schema < $1`, serves)
	return err
}
