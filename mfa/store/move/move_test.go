package move_test

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/store/move"
	"github.com/radmatch/radmatch/mfa/store/postgres"
	"github.com/radmatch/radmatch/mfa/store/postgrestest"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/store/seal"
	"github.com/radmatch/radmatch/mfa/store/sqlite"
	"github.com/radmatch/radmatch/otp"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// site is a data_dir and a PostgreSQL database for it.
type site struct {
	t        *testing.T
	dir      string
	pg       *postgrestest.Server
	database string
}

func newSite(t *testing.T) *site {
	t.Helper()
	pg := postgrestest.Shared(t)
	return &site{t: t, dir: t.TempDir(), pg: pg, database: pg.NewDatabase(t)}
}

func (s *site) options() move.Options {
	return move.Options{Dir: s.dir, URL: s.pg.URL(s.database), Keys: seal.NewKeys(s.dir), Now: time.Now}
}

func (s *site) file() string { return filepath.Join(s.dir, sqlite.File) }

// embedded opens the embedded database.
func (s *site) embedded() *store.Store {
	return s.open(store.Options{Dir: s.dir, Server: true})
}

// node opens the PostgreSQL database.
func (s *site) node() *store.Store {
	return s.open(store.Options{Dir: s.t.TempDir(), Server: true, URL: s.pg.URL(s.database), Standby: "none", Node: "a", Keys: seal.NewKeys(s.dir)})
}

func (s *site) open(opt store.Options) *store.Store {
	s.t.Helper()
	st, err := store.Open(s.t.Context(), opt)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { st.Close() })
	return st
}

// raw runs statements on the file, which nobody else has open.
func (s *site) raw(f func(*sql.DB)) {
	s.t.Helper()
	db, err := sql.Open("sqlite", s.file())
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	f(db)
}

func (s *site) exec(statements ...string) {
	s.t.Helper()
	s.raw(func(db *sql.DB) {
		for _, statement := range statements {
			if _, err := db.ExecContext(s.t.Context(), statement); err != nil {
				s.t.Fatalf("%s: %v", statement, err)
			}
		}
	})
}

func (s *site) do(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) to() move.Counts {
	s.t.Helper()
	n, err := move.ToPostgres(s.t.Context(), s.options())
	s.do(err)
	return n
}

// seed fills every table. A table that is added needs a row here.
func (s *site) seed() {
	s.t.Helper()
	ctx := s.t.Context()
	st := s.embedded()
	alice := mfa.NameOf("Alice")
	for _, user := range []mfa.Name{alice, mfa.NameOf("bob")} {
		_, err := st.AddTokens(ctx, []otp.Token{{User: user, Kind: otp.TOTP, Secret: []byte("12345678901234567890"), Algorithm: "SHA1", Digits: 6, Period: 30, Serial: "S" + user.String()}}, admin("added"))
		s.do(err)
	}
	for i := range 5 {
		s.do(st.Record(ctx, mfa.Event{ID: fmt.Sprint("login", i), Kind: mfa.EventLogin, Origin: mfa.Origin{User: alice, Client: "vpn"}, Plan: mfa.PlanOTP, Reason: mfa.ReasonDefaultOTP, Outcome: mfa.Accept}))
	}
	_, err := st.WebPushKey(ctx)
	s.do(err)
	s.do(st.Close())
	const odd = `CAST(x'61ff62' AS TEXT)`
	s.exec(
		`INSERT INTO users (usr, name, blocked, unblocked, method) VALUES ('carol', 'Carol', 1, 17, 'totp')`,
		`INSERT INTO removed VALUES (x'0102', 'gone', 99)`,
		`INSERT INTO devices (id, usr, name, key, version, added, seen, passkey, passkey_id, provider, endpoint, web_key, web_auth) VALUES
			('d1', 'alice', 'phone', x'00ff', 1, 2, 3, CAST('{"id":"qg==","key":"AQ=="}' AS BLOB), x'aa', '', 'https://push', x'01', x'02'), ('d2', 'alice', 'other', x'', 1, 2, 3, NULL, NULL, 'duo', '', NULL, NULL)`,
		`INSERT INTO invitations VALUES (x'0a', 'Dora', 9999999999999999)`,
		`INSERT INTO push_blocks VALUES ('bob', 'vpn')`,
		`INSERT INTO latches VALUES ('vpn', '192.0.2.1', 5)`,
		`INSERT INTO bypasses (id, grp, client, began, until, seen, reason, operator, usr) VALUES (7, 'vpn', '', 1, 9999999999999999, 1, 'outage', 'root', ''), (8, 'gone', '', 1, 2, 1, '', '', '')`,
		`DELETE FROM bypasses WHERE id = 8`,
		`INSERT INTO wrong_codes VALUES ('alice', 3, 1, 10, 11, 12)`,
		`INSERT INTO stats VALUES ('vpn', x'7b7d')`,
		`INSERT INTO meta VALUES ('pruned', 1700000000000000)`,
		`INSERT INTO events (id, usr, client, reason, data) SELECT 1, `+odd+`, 'vpn', 'wrong_password', data FROM events ORDER BY id LIMIT 1`,
		`INSERT INTO events (id, usr, client, kind, data) SELECT 2, ' ALICE ', 'vpn', 3, data FROM events ORDER BY id DESC LIMIT 1`,
		`INSERT INTO events (id, usr, token, step, drift, data) SELECT 3, 'Alice', id, 700, -1, (SELECT data FROM events ORDER BY id DESC LIMIT 1) FROM tokens WHERE usr = 'alice'`,
		`INSERT INTO accounting (id, usr, client, mark, interim, data) SELECT 4, 'alice', 'vpn', x'05', 1, data FROM events LIMIT 1`,
		`INSERT INTO accounting (id, usr, client, mark, interim, data) SELECT 6, 'alice', 'vpn', x'05', NULL, data FROM events LIMIT 1`,
	)
	prompt, err := record.EncodePrompt(&mfa.OpenPrompt{ID: "p1", Origin: mfa.Origin{User: alice}, Opened: time.UnixMicro(5)})
	s.do(err)
	s.exec(`INSERT INTO prompts VALUES ('p1', x'` + hex.EncodeToString(prompt) + `')`)
	s.embedded().Close()
	db, err := sqlite.Open(ctx, sqlite.Settings{Dir: s.dir, Server: true, Now: time.Now})
	s.do(err)
	_, err = db.Fold(ctx, 1000)
	s.do(errors.Join(err, db.Close()))
}

func admin(text string) mfa.Event {
	return mfa.Event{Kind: mfa.EventAdmin, Details: mfa.Details{Text: text, Operator: "root"}}
}

// dump reads all tables.
func (s *site) dump() map[string][]string {
	s.t.Helper()
	all := make(map[string][]string)
	s.raw(func(db *sql.DB) {
		var names []string
		rows, err := db.QueryContext(s.t.Context(), `SELECT name FROM sqlite_schema WHERE type = 'table'`)
		s.do(err)
		for rows.Next() {
			var name string
			s.do(rows.Scan(&name))
			names = append(names, name)
		}
		s.do(rows.Err())
		for _, name := range names {
			all[name] = s.rows(db, name)
		}
	})
	return all
}

func (s *site) rows(db *sql.DB, table string) (list []string) {
	s.t.Helper()
	rows, err := db.QueryContext(s.t.Context(), `SELECT * FROM "`+table+`"`)
	s.do(err)
	defer rows.Close()
	columns, err := rows.Columns()
	s.do(err)
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		s.do(rows.Scan(into...))
		list = append(list, fmt.Sprintf("%#v", values))
	}
	s.do(rows.Err())
	slices.Sort(list)
	return list
}

// TestThereAndBack: all that is in the tables is there afterwards, and nothing is forgotten.
func TestThereAndBack(t *testing.T) {
	s := newSite(t)
	s.seed()
	want := s.dump()
	for table, rows := range want {
		if len(rows) == 0 {
			t.Errorf("table %s: got no row; want one from seed, so that this test sees it", table)
		}
	}
	counts := s.to()
	if counts["events"] != int64(len(want["events"])) || counts["tokens"] != 2 {
		t.Errorf("got %v", counts)
	}
	if got := s.pg.Count(t, s.database, `SELECT max(seq) FROM events WHERE usr = 'alice'`); got != 7 {
		t.Errorf("got number %d for the last entry of alice; want 7, all of them", got)
	}
	if got := s.pg.Count(t, s.database, `SELECT count(*) FROM events e WHERE usr = 'alice' AND seq > (SELECT seq FROM folded WHERE usr = 'alice')`); got != 0 {
		t.Errorf("%d entries are not folded", got)
	}
	if got := s.pg.Count(t, s.database, `SELECT next FROM tokens WHERE usr = 'alice'`); got != 701 {
		t.Errorf("got next step %d; want that after the one that was used", got)
	}
	if got := s.pg.Count(t, s.database, `SELECT nextval(pg_get_serial_sequence('bypasses', 'id'))`); got != 9 {
		t.Errorf("got bypass %d; want one that was never there", got)
	}
	if _, err := move.ToSQLite(t.Context(), s.options()); err != nil {
		t.Fatal(err)
	}
	got := s.dump()
	for table, rows := range want {
		switch table {
		case "changes": // of the server that ran
			continue
		case "meta":
			rows, got[table] = only(rows, "pruned", "names", "folded"), only(got[table], "pruned", "names", "folded")
		case "accounting": // the second mark of two
			rows, got[table] = rows[:1], got[table][:1]
		case "sqlite_sequence":
			rows, got[table] = []string{`[]interface {}{"bypasses", 9}`}, only(got[table], "bypasses")
		}
		if !reflect.DeepEqual(got[table], rows) {
			t.Errorf("table %s: got\n%s\nwant\n%s", table, strings.Join(got[table], "\n"), strings.Join(rows, "\n"))
		}
	}
	s.embedded()
}

func only(rows []string, keys ...string) (found []string) {
	for _, row := range rows {
		if slices.ContainsFunc(keys, func(key string) bool { return strings.Contains(row, `"`+key+`"`) }) {
			found = append(found, row)
		}
	}
	return found
}

// TestServed: what was copied is served there, and no more here; a log goes on where it was.
func TestServed(t *testing.T) {
	s := newSite(t)
	s.seed()
	s.to()
	if _, err := store.Open(t.Context(), store.Options{Dir: s.dir, Server: true}); err == nil || !strings.Contains(err.Error(), "copied to PostgreSQL") {
		t.Errorf("got %v; want that the database was copied", err)
	}
	n := s.node()
	alice := mfa.NameOf("alice")
	u, err := n.User(t.Context(), alice)
	s.do(err)
	if last := s.pg.Count(t, s.database, `SELECT max(seq) FROM events WHERE usr = 'alice'`); u.Version.N != last || last == 0 {
		t.Errorf("got version %d; want %d", u.Version.N, last)
	}
	s.do(n.Append(t.Context(), u.Version, mfa.Event{ID: "next", Kind: mfa.EventLogin, Origin: mfa.Origin{User: alice}, Plan: mfa.PlanOTP, Reason: mfa.ReasonDefaultOTP, Outcome: mfa.Accept}))
	if _, err := move.ToSQLite(t.Context(), s.options()); !errors.Is(err, move.ErrLive) || !strings.Contains(err.Error(), ": a") {
		t.Errorf("beside a node: got %v; want %v: a", err, move.ErrLive)
	}
	s.do(n.Close())

	// A node that stands still meanwhile appends nothing to what was moved.
	still := s.node()
	s.pg.Exec(t, s.database, `CREATE FUNCTION silent() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.beat := now() - interval '1 minute'; RETURN NEW; END $$`)
	s.pg.Exec(t, s.database, `CREATE TRIGGER silent BEFORE UPDATE ON nodes FOR EACH ROW EXECUTE FUNCTION silent()`)
	s.pg.Exec(t, s.database, `UPDATE nodes SET beat = now()`)
	if u, err = still.User(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	if _, err = move.ToSQLite(t.Context(), s.options()); err != nil {
		t.Fatal(err)
	}
	if err := still.Append(t.Context(), u.Version, mfa.Event{ID: "late", Kind: mfa.EventLogin, Origin: mfa.Origin{User: alice}, Plan: mfa.PlanOTP, Reason: mfa.ReasonDefaultOTP, Outcome: mfa.Accept}); err == nil {
		t.Error("a node appended to a database that was moved")
	}
	if err := still.SetBlocked(t.Context(), alice, true, admin("block")); !errors.Is(err, postgres.ErrMoved) {
		t.Errorf("a command: got %v; want %v", err, postgres.ErrMoved)
	}
	opt := store.Options{Dir: t.TempDir(), URL: s.pg.URL(s.database), Keys: seal.NewKeys(s.dir)}
	if _, err := store.Open(t.Context(), opt); !errors.Is(err, postgres.ErrMoved) {
		t.Errorf("got %v; want %v", err, postgres.ErrMoved)
	}
	s.embedded()
}

// TestWaiting: a command that waits for the file while it is copied changes nothing in what was
// put out of use.
func TestWaiting(t *testing.T) {
	s := newSite(t)
	s.seed()
	m, err := sqlite.OpenMoving(t.Context(), sqlite.Settings{Dir: s.dir, Now: time.Now})
	s.do(err)
	before := s.opened()
	done := make(chan error, 1)
	go func() {
		st, err := store.Open(context.Background(), store.Options{Dir: s.dir})
		if err == nil {
			err = errors.Join(st.Note(context.Background(), admin("late")), st.Close())
		}
		done <- err
	}()
	for s.opened() <= before {
		select {
		case err := <-done:
			t.Fatalf("the command does not wait: got %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	s.do(errors.Join(m.Retire(), m.Close()))
	if err := <-done; err == nil {
		t.Error("a command changed a database that was moved: got no error; want one")
	}
	if _, err := os.Stat(s.file()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it made a new one: got %v; want none", err)
	}
}

// opened is how often this process has the database open.
func (s *site) opened() (n int) {
	s.t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		s.t.Skip(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && to == s.file() {
			n++
		}
	}
	return n
}

// TestFinishedLater: a copy that ended between its last two steps is finished by the next.
func TestFinishedLater(t *testing.T) {
	s := newSite(t)
	s.seed()
	s.to()
	s.do(os.Rename(s.file()+".moved", s.file()))
	if n := s.to(); len(n) != 0 {
		t.Errorf("got %v; want that nothing was copied", n)
	}
	s.do(os.Rename(s.file()+".moved", s.file()))
	st := s.embedded()
	s.do(st.Note(t.Context(), admin("something")))
	s.do(st.Close())
	if _, err := move.ToPostgres(t.Context(), s.options()); !errors.Is(err, move.ErrNotEmpty) {
		t.Errorf("after a change: got %v; want %v", err, move.ErrNotEmpty)
	}
}

func TestRefused(t *testing.T) {
	s := newSite(t)
	if _, err := move.ToPostgres(t.Context(), s.options()); err == nil || !strings.Contains(err.Error(), "no radmatch.db") {
		t.Errorf("without a database: got %v", err)
	}
	if _, err := move.ToSQLite(t.Context(), s.options()); err == nil || !strings.Contains(err.Error(), "holds nothing of radmatch") {
		t.Errorf("from an empty one: got %v", err)
	}
	if n := s.pg.Count(t, s.database, `SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace`); n != 0 {
		t.Errorf("it made %d tables there", n)
	}
	s.seed()
	before := s.dump()

	refused := func(what, want string, change func(*move.Options)) {
		t.Helper()
		o := s.options()
		if change != nil {
			change(&o)
		}
		if _, err := move.ToPostgres(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v; want %q", what, err, want)
		}
	}
	st := s.embedded()
	refused("a server runs", "in use by another server", nil)
	s.do(st.Close())
	command := s.open(store.Options{Dir: s.dir})
	refused("a command runs", "another process works with", nil)
	s.do(command.Close())
	other := seal.KeysAt(filepath.Join(t.TempDir(), "other.key"))
	s.do(other.Create())
	refused("the keys of the target are others", move.ErrKeys.Error(), func(o *move.Options) { o.Target = other })
	refused("a wrong URL", "hostname", func(o *move.Options) { o.URL = "postgres://x@nowhere.invalid/radmatch" })
	refused("nobody there", "connect", func(o *move.Options) { o.URL = "postgres://x@127.0.0.1:1/radmatch" })
	s.pg.Exec(t, s.database, `CREATE TABLE mine (x integer)`)
	refused("not empty", move.ErrNotEmpty.Error(), nil)
	s.pg.Exec(t, s.database, `DROP TABLE mine`)
	cut, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := move.ToPostgres(cut, s.options()); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: got %v", err)
	}
	s.exec(`CREATE TABLE added_later (x INTEGER)`)
	refused("a table that is new", "does not know how to copy table added_later", nil)
	s.exec(`DROP TABLE added_later`, `ALTER TABLE latches ADD COLUMN added_later INTEGER`)
	refused("a column that is new", "does not know how to copy table latches", nil)
	s.exec(`ALTER TABLE latches DROP COLUMN added_later`, `UPDATE prompts SET data = x'00'`)
	refused("a row that cannot be", "table prompts", nil)
	if n := s.pg.Count(t, s.database, `SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace`); n != 0 {
		t.Errorf("a copy that failed left %d tables", n)
	}
	after := s.dump()
	delete(before, "prompts")
	delete(after, "prompts")
	delete(before, "meta") // a server ran
	delete(after, "meta")
	for table := range before {
		if !reflect.DeepEqual(after[table], before[table]) {
			t.Errorf("a copy that failed changed table %s: got %v; want %v", table, after[table], before[table])
		}
	}
}

// TestRefusedBack: a copy back overwrites nothing, needs the key, and leaves PostgreSQL as it was.
func TestRefusedBack(t *testing.T) {
	s := newSite(t)
	s.seed()
	s.to()
	refused := func(what, want string, change func(*move.Options)) {
		t.Helper()
		o := s.options()
		change(&o)
		if _, err := move.ToSQLite(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v; want %q", what, err, want)
		}
	}
	other := seal.KeysAt(filepath.Join(t.TempDir(), "other.key"))
	refused("no key", "is missing: copy it", func(o *move.Options) { o.Keys = other })
	s.do(other.Create())
	refused("another key", "is not the key", func(o *move.Options) { o.Keys = other })
	s.do(os.WriteFile(s.file(), nil, 0o600))
	refused("a database", "never overwrites", func(*move.Options) {})
	s.do(os.Remove(s.file()))
	s.pg.Exec(t, s.database, `CREATE TABLE added_later (x integer)`)
	refused("a table that is new", "does not know how to copy table added_later", func(*move.Options) {})
	s.pg.Exec(t, s.database, `DROP TABLE added_later`)
	if _, err := os.Stat(s.file()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v; want no database", err)
	}
	s.node().Close()
	if _, err := move.ToSQLite(t.Context(), s.options()); err != nil {
		t.Error(err)
	}
}

// TestFloor: what a failover may have made usable again is void after the copy back.
func TestFloor(t *testing.T) {
	s := newSite(t)
	s.seed()
	s.exec(`INSERT INTO tokens SELECT 'h', 'alice', 'hotp', secret, algorithm, digits, 0, 5, 0, '', '', 0, 0, 0, 1 FROM tokens LIMIT 1`,
		`INSERT INTO tokens SELECT 'p', 'alice', 'tap', secret, algorithm, digits, 0, 0, 0, '', '', 0, 8000000000000000, 0, 1 FROM tokens LIMIT 1`)
	s.to()
	const floor = 7_000_000_000_000_000
	s.pg.Exec(t, s.database, `UPDATE site SET floor = $1`, int64(floor))
	if _, err := move.ToSQLite(t.Context(), s.options()); err != nil {
		t.Fatal(err)
	}
	s.raw(func(db *sql.DB) {
		for id, column := range map[string]string{"h": "expires", "p": "expires"} {
			var got int64
			s.do(db.QueryRowContext(t.Context(), `SELECT `+column+` FROM tokens WHERE id = ?`, id).Scan(&got))
			if got != floor {
				t.Errorf("token %s: got %s %d; want %d", id, column, got, int64(floor))
			}
		}
		var next int64
		s.do(db.QueryRowContext(t.Context(), `SELECT next FROM tokens WHERE usr = 'bob'`).Scan(&next))
		if want := int64(floor)/1e6/30 + 2; next != want {
			t.Errorf("got next step %d; want %d", next, want)
		}
	})
}
