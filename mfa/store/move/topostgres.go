package move

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/radmatch/radmatch/mfa/store/postgres"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/store/sqlite"
)

// ToPostgres copies the database in o.Dir into an empty schema of PostgreSQL and puts it out
// of use: its file is sqlite.MovedFile then. No server may run. Where an earlier call was
// interrupted between these two steps, it does the second one.
func ToPostgres(ctx context.Context, o Options) (Counts, error) {
	from, err := sqlite.OpenMoving(ctx, sqlite.Settings{Dir: o.Dir, Now: o.Now, Keys: o.Keys})
	if err != nil {
		return nil, err
	}
	defer from.Close()
	if err := o.checkTarget(from.Sealed()); err != nil {
		return nil, err
	}
	conn, err := o.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.close()
	in := incoming{Options: o, from: from, counts: make(Counts)}
	if err := in.copy(ctx, conn); err != nil {
		return nil, err
	}
	if err := from.Retire(); err != nil {
		return nil, fmt.Errorf("the copy is complete, but: %w", err)
	}
	_, _ = conn.Exec(ctx, `ANALYZE`) // autovacuum does so in a minute
	return in.counts, nil
}

// incoming is a copy to PostgreSQL.
type incoming struct {
	Options
	from    *sqlite.Moving
	tx      pgx.Tx
	counts  Counts
	pg      map[string][]pgColumn
	numbers map[string]int64 // the last of each user that has an account
	n       int64            // the last row of run 0
}

// copy makes and fills the tables in one transaction. It does nothing where they are there
// already, from this very database.
func (in *incoming) copy(ctx context.Context, conn *link) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	in.tx = tx
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := postgres.Migrating(ctx, tx); err != nil {
		return err
	}
	last, err := in.from.LastEvent(ctx)
	if err != nil {
		return err
	}
	if done, err := isCopyOf(ctx, tx, last); err != nil || done {
		return err
	}
	if err := postgres.Create(ctx, tx); err != nil {
		return err
	}
	if err := in.fill(ctx); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO meta (key, value) VALUES ('copied', $1)`, last); err != nil {
		return err
	}
	return conn.commit(ctx, tx)
}

// isCopyOf reports whether the schema holds a copy of the database whose last entry is last.
// ErrNotEmpty where it holds anything else.
func isCopyOf(ctx context.Context, tx pgx.Tx, last int64) (bool, error) {
	const query = `SELECT count(*), coalesce(bool_or(c.relname = 'meta'), false) FROM pg_class c
		WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
			AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')`
	var n int
	var meta bool
	if err := tx.QueryRow(ctx, query).Scan(&n, &meta); err != nil || n == 0 {
		return false, err
	}
	var copied, moved *int64
	if meta {
		const marks = `SELECT (SELECT value FROM meta WHERE key = 'copied'), (SELECT value FROM meta WHERE key = 'moved')`
		if err := tx.QueryRow(ctx, marks).Scan(&copied, &moved); err != nil {
			return false, errors.Join(ErrNotEmpty, err)
		}
	}
	if copied != nil && *copied == last && last > 0 && moved == nil {
		return true, nil
	}
	return false, ErrNotEmpty
}

// fill copies every table, and compares the number of rows.
func (in *incoming) fill(ctx context.Context) (err error) {
	tables, err := in.from.Tables(ctx)
	if err != nil {
		return err
	}
	if in.pg, err = pgTables(ctx, in.tx); err != nil {
		return err
	}
	if err := checkTables(tables, in.pg); err != nil {
		return err
	}
	if in.numbers, err = in.accounts(ctx); err != nil {
		return err
	}
	for i := range tables {
		if err := in.table(ctx, &tables[i]); err != nil {
			return fmt.Errorf("table %s: %w", tables[i].Name, err)
		}
	}
	return in.finish(ctx)
}

// table copies one table.
func (in *incoming) table(ctx context.Context, t *record.Table) error {
	columns := sqliteTables[t.Name]
	if isShared(t) {
		columns = t.Columns
	}
	query := `SELECT "` + strings.Join(columns, `", "`) + `" FROM "` + t.Name + `"`
	switch {
	case isShared(t):
		return in.load(ctx, t, columns, query, nil)
	case t.Name == "events":
		return in.load(ctx, t, eventColumns, query+` ORDER BY id`, in.event)
	case t.Name == "accounting":
		// A report may be here twice whose retransmission came late.
		query = strings.Replace(query, ` FROM`, `, row_number() OVER (PARTITION BY mark ORDER BY id) FROM`, 1)
		return in.load(ctx, t, reportColumns, query+` ORDER BY id`, in.report)
	case t.Name == "prompts":
		return in.load(ctx, t, promptColumns, query, prompt)
	case t.Name == "meta":
		return in.meta(ctx)
	case t.Name == "class_key":
		return in.classKey(ctx)
	}
	return nil // it is made of the others
}

// finish makes what follows from the rows that were copied.
func (in *incoming) finish(ctx context.Context) error {
	statements := []string{
		`INSERT INTO folded (usr, seq) SELECT usr, max(seq) FROM events WHERE seq IS NOT NULL GROUP BY usr`,
		`UPDATE meta SET value = greatest((SELECT max(at) FROM events), (SELECT max(at) FROM accounting), 0) WHERE key = 'folded'`,
		fmt.Sprintf(`UPDATE nodes SET n = %d WHERE run = 0`, in.n),
	}
	for _, s := range statements {
		if _, err := in.tx.Exec(ctx, s); err != nil {
			return err
		}
	}
	return in.identity(ctx)
}

// identity lets the ids of bypasses go on where they were.
func (in *incoming) identity(ctx context.Context) error {
	for row, err := range in.from.Rows(ctx, `SELECT seq FROM sqlite_sequence WHERE name = 'bypasses'`) {
		if err != nil {
			return err
		}
		if _, err := in.tx.Exec(ctx, `SELECT setval(pg_get_serial_sequence('bypasses', 'id'), greatest($1::bigint, 1))`, row[0]); err != nil {
			return err
		}
	}
	return nil
}

// load copies the rows of a query into columns of table t, and compares their number with
// what there is afterwards. make makes the new row of an old one; nil: they are the same.
func (in *incoming) load(ctx context.Context, t *record.Table, columns []string, query string, change func([]any) ([]any, error)) error {
	of := make(map[string]pgColumn)
	for _, c := range in.pg[t.Name] {
		of[c.name] = c
	}
	p := in.progress(t.Name, t.Rows)
	next, stop := iter.Pull2(in.from.Rows(ctx, query))
	defer stop()
	source := pgx.CopyFromFunc(func() ([]any, error) {
		row, err, ok := next()
		if !ok || err != nil {
			return nil, err
		}
		p.add()
		if change != nil {
			if row, err = change(row); err != nil {
				return nil, err
			}
		}
		for i, name := range columns {
			row[i] = toPostgres(row[i], of[name])
		}
		return row, nil
	})
	n, err := in.tx.CopyFrom(ctx, pgx.Identifier{t.Name}, columns, source)
	if err != nil {
		return err
	}
	var is int64
	if err := in.tx.QueryRow(ctx, `SELECT count(*) FROM `+pgx.Identifier{t.Name}.Sanitize()).Scan(&is); err != nil {
		return err
	}
	if is != n || is != t.Rows {
		return fmt.Errorf("there are %d rows in SQLite, and %d in PostgreSQL", t.Rows, is)
	}
	in.counts[t.Name] = n
	return nil
}

// accounts are the keys of those users whose log counts.
func (in *incoming) accounts(ctx context.Context) (map[string]int64, error) {
	users := make(map[string]int64)
	for row, err := range in.from.Rows(ctx, `SELECT usr FROM users UNION SELECT usr FROM tokens UNION SELECT usr FROM devices UNION SELECT usr FROM wrong_codes`) {
		if err != nil {
			return nil, err
		}
		if key, ok := row[0].(string); ok {
			users[key] = 0
		}
	}
	return users, nil
}

// meta copies what table meta says of the site, and not of the database itself.
func (in *incoming) meta(ctx context.Context) error {
	values := make(map[string]int64)
	for row, err := range in.from.Rows(ctx, `SELECT key, value FROM meta`) {
		if err != nil {
			return err
		}
		key, _ := row[0].(string)
		value, ok := row[1].(int64)
		if !ok {
			return fmt.Errorf("key %s is a %T", key, row[1])
		}
		if !slices.Contains(ownMeta, key) {
			values[key] = value
		}
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if _, err := in.tx.Exec(ctx, `INSERT INTO meta (key, value) VALUES ($1, $2)`, key, values[key]); err != nil {
			return err
		}
	}
	in.counts["meta"] = int64(len(values))
	return nil
}

func (in *incoming) classKey(ctx context.Context) error {
	for row, err := range in.from.Rows(ctx, `SELECT key FROM class_key`) {
		if err != nil {
			return err
		}
		if _, err := in.tx.Exec(ctx, `UPDATE site SET class_key = $1`, row[0]); err != nil {
			return err
		}
		in.counts["class_key"]++
	}
	return nil
}
