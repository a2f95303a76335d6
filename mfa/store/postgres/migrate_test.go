package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/radmatch/radmatch/mfa/store/postgrestest"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/store/seal"
)

const (
	stepAdds    = "ALTER TABLE tokens ADD COLUMN colour text NOT NULL DEFAULT '';\n"
	stepRemoves = "-- serves: 2\nDROP INDEX accounting_interim;\n" // a program of version 1 may look at it
)

// later is what a later program knows: these steps come behind ours.
func later(t *testing.T, steps ...string) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != 1 {
		t.Fatalf("got %d migrations; want the one that the steps here follow", len(names))
	}
	text, err := fs.ReadFile(migrations, names[0])
	if err != nil {
		t.Fatal(err)
	}
	files[names[0]] = &fstest.MapFile{Data: text}
	for i, step := range steps {
		files[fmt.Sprintf("migrations/%04d_later.sql", i+2)] = &fstest.MapFile{Data: []byte(step)}
	}
	return files
}

// upgradeRig is a database and who opens it.
type upgradeRig struct {
	t        *testing.T
	pg       *postgrestest.Server
	database string
	keys     string
	seen     *observer.ObservedLogs
	logger   *zap.Logger
}

func newUpgradeRig(t *testing.T, pg *postgrestest.Server) *upgradeRig {
	core, seen := observer.New(zap.InfoLevel)
	return &upgradeRig{t: t, pg: pg, database: pg.NewDatabase(t), keys: filepath.Join(t.TempDir(), "seal.key"), seen: seen, logger: zap.New(core)}
}

// open opens the database as a node, or as a command where that has no name.
func (r *upgradeRig) open(files fs.FS, node string) (*DB, error) {
	d, err := open(r.t.Context(), Settings{
		URL: r.pg.URL(r.database), Standby: StandbyNone, Node: node, Program: "program of " + node, Server: node != "",
		Keys: seal.KeysAt(r.keys), Now: time.Now, Logger: r.logger,
	}, files)
	if err == nil {
		r.t.Cleanup(func() { d.Close() })
	}
	return d, err
}

func (r *upgradeRig) must(files fs.FS, node string) *DB {
	r.t.Helper()
	d, err := r.open(files, node)
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

// schema demands a version of the schema, and the oldest that programs may know.
func (r *upgradeRig) schema(version, serves int64) {
	r.t.Helper()
	v := r.pg.Count(r.t, r.database, `SELECT value FROM meta WHERE key = 'schema'`)
	s := r.pg.Count(r.t, r.database, `SELECT serves FROM site`)
	if v != version || s != serves {
		r.t.Fatalf("schema version %d serves %d; want %d, %d", v, s, version, serves)
	}
}

func (r *upgradeRig) tooOld(what string, err error) {
	r.t.Helper()
	if old := (*TooOldError)(nil); !errors.As(err, &old) || old.Known != 1 || old.Serves != 2 {
		r.t.Errorf("%s: got %v; want a TooOldError", what, err)
	}
}

// lives demands that a node can commit.
func (r *upgradeRig) lives(d *DB) {
	r.t.Helper()
	kept, err := d.Append([]record.Row{{User: "anna", Key: "anna", Data: []byte("x")}})
	if err == nil {
		err = d.Beat(r.t.Context())
	}
	if err != nil || kept != nil {
		r.t.Errorf("got %v, %v; want a commit", kept, err)
	}
}

// TestUpgrade is a change of the schema while nodes with the program before it run.
func TestUpgrade(t *testing.T) {
	pg := postgrestest.Start(t, "fsync = off")
	for name, test := range map[string]func(*upgradeRig){
		"adds at once, removes later":      upgradeRolling,
		"a node that stood still":          upgradeStoodStill,
		"adds behind what removes":         upgradeSkips,
		"waits for a lock":                 upgradeWaits,
		"gives up where a lock is held on": upgradeGivesUp,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(newUpgradeRig(t, pg)) })
	}
}

func upgradeRolling(r *upgradeRig) {
	a, b := r.must(migrations, "a"), r.must(migrations, "b")
	next := later(r.t, stepAdds, stepRemoves)
	c := r.must(next, "c")
	r.schema(2, 1)
	if l := r.seen.FilterMessageSnippet("waits for nodes").All(); len(l) != 1 || l[0].ContextMap()["nodes"] != "a (program of a), b (program of b)" {
		r.t.Errorf("got %v; want that the change waits for a and b", l)
	}
	for _, d := range []*DB{a, b, c, r.must(migrations, "old and new")} {
		r.lives(d)
	}
	list, err := c.Nodes(r.t.Context())
	if err != nil || len(list) != 4 || list[1].Program != "program of c" || list[3].Program != "program of a" {
		r.t.Errorf("nodes: got %+v, %v; want those of both programs", list, err)
	}
	a.Close()
	if err := c.Tidy(r.t.Context(), time.Now(), 0, 0); err != nil {
		r.t.Fatal(err)
	}
	r.schema(2, 1) // b runs
	r.pg.Exec(r.t, r.database, `DELETE FROM nodes WHERE name = 'old and new'`)
	b.Close()
	if err := c.Tidy(r.t.Context(), time.Now(), 0, 0); err != nil {
		r.t.Fatal(err)
	}
	r.schema(3, 2)
	r.lives(c)
	_, err = r.open(migrations, "a")
	r.tooOld("a node", err)
	_, err = r.open(migrations, "")
	r.tooOld("a command", err)
	r.must(next, "")
}

// upgradeStoodStill: a node that gives no sign is not waited for. It commits nothing when it
// goes on, and says why it is not ready.
func upgradeStoodStill(r *upgradeRig) {
	a := r.must(migrations, "a")
	r.lives(a)
	a.stop() // no sign of life
	a.done.Wait()
	r.pg.Exec(r.t, r.database, `UPDATE nodes SET beat = now() - interval '1 minute' WHERE run > 0`)
	r.must(later(r.t, stepAdds, stepRemoves), "c")
	r.schema(3, 2)
	r.tooOld("its next sign of life", a.Beat(r.t.Context()))
	_, err := a.Append([]record.Row{{User: "anna", Key: "anna", Data: []byte("y")}})
	r.tooOld("its next commit", err)
	if n := r.pg.Count(r.t, r.database, `SELECT count(*) FROM events`); n != 1 {
		r.t.Errorf("got %d rows; want the one from before", n)
	}
	if n := r.pg.Count(r.t, r.database, `SELECT floor FROM site`); n != 0 {
		r.t.Errorf("floor %d; want none: no commit is lost", n)
	}
}

// upgradeSkips: a program that needs what stands behind a removal does not start.
func upgradeSkips(r *upgradeRig) {
	a := r.must(migrations, "a")
	next := later(r.t, stepRemoves, stepAdds)
	_, err := r.open(next, "c")
	if err == nil || !strings.Contains(err.Error(), "stop these nodes, or install this version there: a (program of a)") {
		r.t.Errorf("got %v; want that it waits for a", err)
	}
	r.schema(1, 1)
	r.lives(a)
	a.Close()
	r.must(next, "c")
	r.schema(3, 2)
}

// hold holds a lock that the change needs, until release is called.
func (r *upgradeRig) hold() (release func()) {
	r.t.Helper()
	db := r.must(migrations, "").SQL
	tx, err := db.BeginTx(r.t.Context(), nil)
	if err == nil {
		_, err = tx.ExecContext(r.t.Context(), `SET LOCAL idle_in_transaction_session_timeout = 0`)
	}
	if err == nil {
		_, err = tx.ExecContext(r.t.Context(), `LOCK TABLE tokens IN ROW EXCLUSIVE MODE`)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return func() { tx.Rollback() }
}

func upgradeWaits(r *upgradeRig) {
	a := r.must(migrations, "a")
	release := r.hold()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer release()
		for end := time.Now().Add(time.Minute); r.seen.FilterMessageSnippet("will retry").Len() == 0 && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
	}()
	r.must(later(r.t, stepAdds), "c")
	<-done
	r.schema(2, 1)
	r.lives(a)
}

func upgradeGivesUp(r *upgradeRig) {
	a := r.must(migrations, "a")
	defer r.hold()()
	_, err := r.open(later(r.t, stepAdds), "c")
	if refused := (*pgconn.PgError)(nil); !errors.As(err, &refused) || refused.Code != lockNotAvailable || !strings.Contains(err.Error(), "start this one again") {
		r.t.Errorf("got %v; want that a lock is held", err)
	}
	r.schema(1, 1)
	r.lives(a)
}

// TestMigrations: file N leads to version N, and no program refuses itself.
func TestMigrations(t *testing.T) {
	list, err := readMigrations(migrations)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range list {
		if want := fmt.Sprintf("%04d_", i+1); !strings.HasPrefix(path.Base(m.file), want) {
			t.Errorf("got %s; want a name that begins with %s", m.file, want)
		}
	}
	for _, line := range []string{"-- serves: 1\n", "-- serves: 3\n", "-- serves: 99999999999999999999\n"} {
		if list, err := readMigrations(later(t, line)); err == nil {
			t.Errorf("%q: got %+v; want an error", line, list)
		}
	}
}
