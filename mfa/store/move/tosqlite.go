package move

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/radmatch/radmatch/mfa/store/postgres"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/store/sqlite"
	"github.com/radmatch/radmatch/otp"
)

// ToSQLite copies the PostgreSQL database into o.Dir, which must hold none, and marks it as
// moved: nodes refuse it then, and those that stood still meanwhile can append nothing. ErrLive
// where nodes run.
func ToSQLite(ctx context.Context, o Options) (Counts, error) {
	to, err := sqlite.NewCopied(ctx, o.Dir, o.Now)
	if err != nil {
		return nil, err
	}
	defer to.Close()
	conn, err := o.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.close()
	if err := o.prepare(ctx, conn); err != nil {
		return nil, err
	}
	out := outgoing{Options: o, to: to, counts: make(Counts)}
	if err := out.copy(ctx, conn); err != nil {
		return nil, err
	}
	if err := to.Place(); err != nil {
		return nil, fmt.Errorf("the PostgreSQL database is marked as moved, but: %w", err)
	}
	return out.counts, nil
}

// prepare brings the schema up to date, and makes sure that the keys fit.
func (o *Options) prepare(ctx context.Context, conn *link) error {
	var there bool
	err := conn.QueryRow(ctx, `SELECT to_regclass('site') IS NOT NULL AND to_regclass('meta') IS NOT NULL AND to_regclass('events') IS NOT NULL`).Scan(&there)
	if err == nil && !there {
		err = errors.New("the PostgreSQL database holds nothing of radmatch")
	}
	if err != nil {
		return err
	}
	if there, err := o.Keys.Exist(); err != nil || !there {
		return errors.Join(err, fmt.Errorf("%s is missing: copy it from a node", o.Keys.Name))
	}
	db, err := postgres.Open(ctx, postgres.Settings{URL: o.URL, PasswordFile: o.PasswordFile, Keys: o.Keys, Now: o.Now})
	if err != nil {
		return err
	}
	return db.Close()
}

// outgoing is a copy from PostgreSQL.
type outgoing struct {
	Options
	to     *sqlite.Copied
	tx     pgx.Tx
	tables map[string]record.Table // of SQLite
	counts Counts
}

// copy copies everything as of one moment. Nobody can write meanwhile: each commit of a node
// or a command begins with its row in nodes.
func (out *outgoing) copy(ctx context.Context, conn *link) error {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		return err
	}
	out.tx = tx
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	// Before the first statement that reads: the moment is after the lock.
	for _, s := range []string{`SET LOCAL lock_timeout = '10s'`, `LOCK TABLE nodes IN EXCLUSIVE MODE`} {
		if _, err := tx.Exec(ctx, s); err != nil {
			return err
		}
	}
	if err := out.notLive(ctx); err != nil {
		return err
	}
	if err := out.fill(ctx); err != nil {
		return err
	}
	if err := out.to.Finish(ctx); err != nil {
		return err
	}
	if err := out.to.Sync(); err != nil {
		return err
	}
	// A node that stood still finds its run gone, and gets no other.
	const mark = `INSERT INTO meta (key, value) VALUES ('moved', extract(epoch FROM now())::bigint * 1000000)`
	for _, s := range []string{mark, `DELETE FROM nodes WHERE run > 0`} {
		if _, err := tx.Exec(ctx, s); err != nil {
			return err
		}
	}
	return conn.commit(ctx, tx)
}

// notLive returns ErrLive where a node has given a sign of life just now.
func (out *outgoing) notLive(ctx context.Context) error {
	rows, err := out.tx.Query(ctx, `SELECT DISTINCT name FROM nodes WHERE run > 0 AND beat > clock_timestamp() - interval '5 seconds' ORDER BY name`)
	if err != nil {
		return err
	}
	live, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err == nil && len(live) > 0 {
		err = fmt.Errorf("%w: %s", ErrLive, strings.Join(live, ", "))
	}
	return err
}

func (out *outgoing) fill(ctx context.Context) error {
	tables, err := out.to.Tables(ctx)
	if err != nil {
		return err
	}
	pg, err := pgTables(ctx, out.tx)
	if err != nil {
		return err
	}
	if err := checkTables(tables, pg); err != nil {
		return err
	}
	out.tables = make(map[string]record.Table)
	for i := range tables {
		t := tables[i]
		if columns := sqliteTables[t.Name]; columns != nil {
			t.Columns = columns
		}
		out.tables[t.Name] = t
	}
	if err := out.sequence(ctx); err != nil {
		return err
	}
	for i := range tables {
		if err := out.table(ctx, out.tables[tables[i].Name]); err != nil {
			return fmt.Errorf("table %s: %w", tables[i].Name, err)
		}
	}
	return out.trail(ctx)
}

// table copies one table, except for the trail.
func (out *outgoing) table(ctx context.Context, t record.Table) error {
	switch {
	case t.Name == "tokens":
		return out.tokens(ctx, t)
	case isShared(&t):
		return out.rows(ctx, t, `SELECT `+quoted(t.Columns)+` FROM `+pgx.Identifier{t.Name}.Sanitize(), nil)
	case t.Name == "prompts":
		return out.rows(ctx, t, `SELECT id, data FROM prompts`, nil)
	case t.Name == "meta":
		if err := out.to.Insert(ctx, t, []any{"names", int64(1)}); err != nil { // the keys of users are forms of names
			return err
		}
		return out.rows(ctx, t, `SELECT key, value FROM meta`, func(row []any) bool {
			key, _ := row[0].(string)
			return !slices.Contains(ownMeta, key)
		})
	case t.Name == "class_key":
		if err := out.to.Clear(ctx, t.Name); err != nil {
			return err
		}
		return out.rows(ctx, t, `SELECT class_key FROM site`, nil)
	}
	return nil // the trail, and what is made of the others
}

func quoted(columns []string) string { return `"` + strings.Join(columns, `", "`) + `"` }

// rows copies what a query finds and keep keeps, which may change it; nil: all.
func (out *outgoing) rows(ctx context.Context, t record.Table, query string, keep func([]any) bool) error {
	rows, err := out.tx.Query(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		row, err := rows.Values()
		if err != nil {
			return err
		}
		for i := range row {
			row[i] = toSQLite(row[i])
		}
		if keep != nil && !keep(row) {
			continue
		}
		if err := out.to.Insert(ctx, t, row); err != nil {
			return err
		}
		out.counts[t.Name]++
	}
	return rows.Err()
}

// sequence lets the ids of bypasses go on where they were.
func (out *outgoing) sequence(ctx context.Context) error {
	t := record.Table{Name: "sqlite_sequence", Columns: []string{"name", "seq"}}
	return out.rows(ctx, t, `SELECT 'bypasses', pg_sequence_last_value(pg_get_serial_sequence('bypasses', 'id')::regclass)`, func(row []any) bool {
		return row[1] != nil
	})
}

// tokens copies the tokens. SQLite knows no floor (postgres.DB): what may have been used up by
// logins that a failover has lost is void from then on.
func (out *outgoing) tokens(ctx context.Context, t record.Table) error {
	var floor int64
	if err := out.tx.QueryRow(ctx, `SELECT floor FROM site`).Scan(&floor); err != nil {
		return err
	}
	sure := make(map[string]bool)
	if floor > 0 {
		rows, err := out.tx.Query(ctx, `SELECT DISTINCT token FROM events WHERE at > $1 AND step IS NOT NULL AND token IS NOT NULL`, floor)
		if err != nil {
			return err
		}
		var id string
		if _, err := pgx.ForEachRow(rows, []any{&id}, func() error { sure[postgres.Untext(id)] = true; return nil }); err != nil {
			return err
		}
	}
	at := func(name string) int { return slices.Index(t.Columns, name) }
	return out.rows(ctx, t, `SELECT `+quoted(t.Columns)+` FROM tokens`, func(row []any) bool {
		if floor > 0 {
			doubt(row, at, floor, sure)
		}
		return true
	})
}

// doubt voids what was used up before the floor perhaps.
func doubt(row []any, at func(string) int, floor int64, sure map[string]bool) {
	number := func(name string) int64 { n, _ := row[at(name)].(int64); return n }
	if number("created") >= floor {
		return
	}
	id, _ := row[at("id")].(string)
	kind, _ := row[at("kind")].(string)
	period := number("period")
	switch {
	case kind != string(otp.Pass) && period > 0:
		row[at("next")] = max(number("next"), floor/1e6/period+max(0, number("drift"))+2)
	case kind == string(otp.Pass) || !sure[id]:
		if expires := number("expires"); expires == 0 || expires > floor {
			row[at("expires")] = floor
		}
	}
}

// trail copies events and reports as one trail, whose ids rise strictly. Entries that were
// pruned and only keep a number are left out.
func (out *outgoing) trail(ctx context.Context) error {
	const where = ` FROM events WHERE coalesce(kind, 0) <> 99`
	var all int64
	if err := out.tx.QueryRow(ctx, `SELECT (SELECT count(*)`+where+`) + (SELECT count(*) FROM accounting)`).Scan(&all); err != nil {
		return err
	}
	const query = `SELECT false, at, run, n, coalesce(name, usr), client, reason, tries, token, step, drift, data, kind, NULL::bytea, NULL::boolean` + where + `
		UNION ALL SELECT true, at, run, n, coalesce(name, usr), client, NULL, NULL, NULL, NULL, NULL, data, NULL, mark, interim FROM accounting ORDER BY 2, 3, 4`
	rows, err := out.tx.Query(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	p := out.progress("events", all)
	var id int64
	for rows.Next() {
		row, err := rows.Values()
		if err != nil {
			return err
		}
		at, ok := row[1].(int64)
		if !ok {
			return fmt.Errorf("time of an event is a %T", row[1])
		}
		id = max(id+1, at)
		if err := out.entry(ctx, id, row); err != nil {
			return err
		}
		p.add()
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if p.done != all {
		return fmt.Errorf("there are %d events and reports in PostgreSQL, and %d were copied", all, p.done)
	}
	return nil
}

// entry inserts a row of the trail, of the statement of trail.
func (out *outgoing) entry(ctx context.Context, id int64, row []any) error {
	for i := range row {
		row[i] = toSQLite(row[i])
	}
	user, client, data := row[4], row[5], row[11]
	if row[0] == int64(1) {
		out.counts["accounting"]++
		return out.to.Insert(ctx, out.tables["accounting"], []any{id, user, client, row[13], row[14], data})
	}
	out.counts["events"]++
	return out.to.Insert(ctx, out.tables["events"], []any{id, user, client, row[6], row[7], row[8], row[9], row[10], data, row[12]})
}
