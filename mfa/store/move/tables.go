package move

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/radmatch/radmatch/mfa/store/record"
)

// sqliteTables are the tables of SQLite that PostgreSQL has otherwise, with their columns.
var sqliteTables = map[string][]string{
	"events":     {"id", "usr", "client", "reason", "tries", "token", "step", "drift", "data", "kind"},
	"accounting": {"id", "usr", "client", "mark", "interim", "data"},
	"prompts":    {"id", "data"},
	"meta":       {"key", "value"},
	"class_key":  {"key"}, // a column of table site
	// Made of the others.
	"event_user": {"usr", "id"},
	// What a running server reads again; none runs.
	"changes": {"id", "usr"},
}

// postgresTables are the tables of PostgreSQL that SQLite has otherwise or not.
var postgresTables = []string{
	"events", "accounting", "prompts", "meta",
	"folded", // made of the others; SQLite has a mark for all users
	"nodes",  // of the servers that share the database, such as site and the next
	"site", "states0", "states1", "acme", "offers",
}

// ownMeta are the keys of table meta that are about one database itself.
var ownMeta = []string{"schema", "names", "beat", "folded", "thinned", "copied", "moved"}

// pgColumn is a column of PostgreSQL.
type pgColumn struct {
	name, kind string
	notNull    bool
}

// pgTables lists the tables of the current schema.
func pgTables(ctx context.Context, tx pgx.Tx) (map[string][]pgColumn, error) {
	const query = `SELECT c.relname, a.attname, format_type(a.atttypid, NULL), a.attnotnull FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
			AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') ORDER BY c.relname, a.attnum`
	rows, err := tx.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	tables := make(map[string][]pgColumn)
	var table string
	var c pgColumn
	_, err = pgx.ForEachRow(rows, []any{&table, &c.name, &c.kind, &c.notNull}, func() error {
		tables[table] = append(tables[table], c)
		return nil
	})
	return tables, err
}

// checkTables makes sure that every table of either database is copied, or known not to be.
func checkTables(lite []record.Table, pg map[string][]pgColumn) error {
	for i := range lite {
		t := &lite[i]
		want, special := sqliteTables[t.Name]
		if !special {
			for _, c := range pg[t.Name] {
				want = append(want, c.name)
			}
		}
		if !sameColumns(t, want) {
			return unknown("SQLite", t)
		}
	}
	for name, columns := range pg {
		shared := slices.ContainsFunc(lite, func(t record.Table) bool { return t.Name == name })
		if !shared && !slices.Contains(postgresTables, name) {
			t := record.Table{Name: name}
			for _, c := range columns {
				t.Columns = append(t.Columns, c.name)
			}
			return unknown("PostgreSQL", &t)
		}
	}
	return nil
}

// isShared reports whether a table is copied as it is.
func isShared(t *record.Table) bool { return sqliteTables[t.Name] == nil }
