package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/radmatch/radmatch/mfa/store/datadir"
	"github.com/radmatch/radmatch/mfa/store/sqlstore"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date: file N of migrations leads to version
// N, which `PRAGMA user_version` holds. Each step is one transaction, which
// reads the version anew, so that two processes may start at once.
func (d *DB) migrate(ctx context.Context) error {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	version, err := schemaVersion(ctx, d.SQL)
	if err == nil && version == 0 {
		version, err = d.dumped(ctx, len(files))
	}
	if err != nil {
		return err
	}
	if version > len(files) {
		return fmt.Errorf("%s has schema version %d, this program knows %d: it is older than the database", File, version, len(files))
	}
	if version > 0 && version < len(files) && !d.server {
		if pid, ok := datadir.Holder(d.path(datadir.LockFile)); ok {
			return fmt.Errorf("%s has schema version %d and belongs to the running server (process %d): restart it with this version first", File, version, pid)
		}
	}
	for n := version; n < len(files); n++ {
		if err := d.step(ctx, n, files[n]); err != nil {
			return fmt.Errorf("%s: %w", files[n], err)
		}
	}
	return d.noteVersion(ctx, len(files))
}

// dumped looks for a database that came out of sqlite3's .dump, which leaves its
// version out, and gives it that back.
func (d *DB) dumped(ctx context.Context, known int) (version int, err error) {
	var tables, meta int
	const query = `SELECT count(*), count(*) FILTER (WHERE name = 'meta') FROM sqlite_schema WHERE type = 'table'`
	if err := d.SQL.QueryRowContext(ctx, query).Scan(&tables, &meta); err != nil || tables == 0 {
		return 0, err
	}
	if meta > 0 {
		err = d.SQL.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = 'schema'`).Scan(&version)
	}
	if meta == 0 || errors.Is(err, sql.ErrNoRows) {
		// Another process may be making it at this moment.
		if version, err = schemaVersion(ctx, d.SQL); err != nil || version > 0 {
			return version, err
		}
		return 0, fmt.Errorf("%s has tables but no schema version, as sqlite3's .dump leaves it: set PRAGMA user_version to that of the original (%d with this version)", File, known)
	}
	if err != nil {
		return 0, err
	}
	return version, d.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version))
		return err
	})
}

// noteVersion keeps the version in a table too.
func (d *DB) noteVersion(ctx context.Context, version int) error {
	var noted int
	err := d.SQL.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = 'schema'`).Scan(&noted)
	if err != nil && !errors.Is(err, sql.ErrNoRows) || noted == version {
		return err
	}
	return d.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO meta (key, value) VALUES ('schema', ?)`, version)
		return err
	})
}

// step runs one migration, unless another process has done so by now.
func (d *DB) step(ctx context.Context, from int, file string) error {
	text, err := migrations.ReadFile(file)
	if err != nil {
		return err
	}
	return d.Update(ctx, func(tx *sql.Tx) error {
		if v, err := schemaVersion(ctx, tx); err != nil || v > from {
			return err
		}
		if _, err := tx.ExecContext(ctx, string(text)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", from+1))
		return err
	})
}

func schemaVersion(ctx context.Context, q sqlstore.Querier) (v int, err error) {
	err = q.QueryRowContext(ctx, "PRAGMA user_version").Scan(&v)
	return v, err
}
