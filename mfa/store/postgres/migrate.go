package postgres

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrating is the advisory lock of who changes the schema.
const migrating = 0x7261646d // "radm"

// migrate brings the schema up to date: file N of migrations leads to version N. They only
// add, so that nodes with the program before go on. Each is one transaction, and does not
// wait for others for long.
func (d *DB) migrate(ctx context.Context) error {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	version, serves, err := d.schema(ctx, d.SQL)
	if err != nil {
		return err
	}
	if version > len(files) && serves > len(files) {
		return fmt.Errorf("the database has schema version %d and serves programs from %d on, this program knows %d: it is too old", version, serves, len(files))
	}
	for version < len(files) {
		if version, err = d.step(ctx, files); err != nil {
			return err
		}
	}
	return nil
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
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := migrations.ReadFile(file)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, string(text), pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	if _, err := tx.Exec(ctx, firstSite, classKey()); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, noteSchema, len(files))
	return err
}

// Migrating takes the lock of who changes the schema, until tx ends.
func Migrating(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '2s'`); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, migrating)
	return err
}

const (
	firstSite  = `INSERT INTO site (serves, class_key) VALUES (1, $1)`
	noteSchema = `INSERT INTO meta (key, value) VALUES ('schema', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value`
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
// version that there is then.
func (d *DB) step(ctx context.Context, files []string) (version int, err error) {
	err = d.Update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `SET LOCAL lock_timeout = '2s'`); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, migrating); err != nil {
			return err
		}
		if version, _, err = d.schema(ctx, tx); err != nil || version >= len(files) {
			return err
		}
		text, err := migrations.ReadFile(files[version])
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, string(text), pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("%s: %w", files[version], err)
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
