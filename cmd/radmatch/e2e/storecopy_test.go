package e2e

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/mfa/store/postgrestest"
	"github.com/radmatch/radmatch/radius/wire"
)

// copySite is a server with the embedded database, and a PostgreSQL database beside it.
type copySite struct {
	*serverProcess
	pg       *postgrestest.Server
	database string
}

func newCopySite(t *testing.T) copySite {
	t.Helper()
	c := copySite{newServer(t, siteHead+copyClient), postgrestest.Start(t, "fsync = off"), ""}
	c.database = c.pg.NewDatabase(t)
	return c
}

const copyClient = siteClient + `lockout: {passcodes: 3}
`

func (c copySite) url() string { return c.pg.URL(c.database) }

// trail is what `events --json` says.
func (c copySite) trail() string { return c.cli("events", "--json") }

// refuses runs a copy that must fail, and returns what it says.
func (c copySite) refuses(code int, want string, args ...string) string {
	c.t.Helper()
	out, got := c.output(append([]string{"store", "copy"}, args...)...)
	if got != code || !strings.Contains(out, want) {
		c.t.Errorf("store copy %s: exit %d, %s; want exit %d and %q", strings.Join(args, " "), got, out, code, want)
	}
	return out
}

// tables is how many there are in the PostgreSQL database.
func (c copySite) tables() int64 {
	return c.pg.Count(c.t, c.database, `SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace`)
}

// A server is moved to PostgreSQL and back: codes that were used stay used, who is blocked
// stays blocked, devices go on, wrong codes count, and the trail is the same.
func TestStoreCopy(t *testing.T) {
	t.Parallel()
	p := newCopySite(t)
	names := p.addUsers("user", 2)
	dave, erin := names[0], names[1]
	p.addTOTP("alice", "bob", dave)
	p.start()
	ph := p.enroll(erin)
	s := p.nasSocket("127.0.0.1")
	used := totp("alice", -1)
	state := s.expect(signIn("alice", ""), wire.AccessChallenge).State()
	s.expect(answerTo("alice", state, used), wire.AccessAccept)
	p.cli("user", "block", "bob")
	s.threeWrongCodes(dave)
	p.refuses(console.ExitFailure, "in use by another server", "--to", p.url())
	p.stop()
	trail := p.trail()

	key := p.path("seal.key")
	p.refuses(console.ExitFailure, "no such file", "--to", p.url(), "--key-file", key)
	text, err := os.ReadFile(p.path("data/seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	p.write("seal.key", string(text))
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	out := p.cli("store", "copy", "--to", p.url(), "--key-file", key)
	_, lines, _ := strings.Cut(out, "\nstore:\n")
	p.write("radmatch.yaml", siteHead+copyClient+"\nstore:\n"+lines)
	check := func(where, next string, locked int) {
		t.Helper()
		if got := p.trail(); got != trail {
			t.Errorf("the trail %s: got %s; want %s", where, got, trail)
		}
		p.start()
		s = p.nasSocket("127.0.0.1")
		state := s.expect(signIn("alice", ""), wire.AccessChallenge).State()
		s.expect(answerTo("alice", state, used), wire.AccessReject)
		state = s.expect(signIn("alice", ""), wire.AccessChallenge).State()
		s.expect(answerTo("alice", state, next), wire.AccessAccept)
		s.expect(signIn("bob", ""), wire.AccessReject)
		s.expect(signIn(dave, ""), wire.AccessReject)
		p.awaitEvent(dave, "reject codes_locked", locked)
		ph = p.connect(ph.Phone)
		r := s.start(signIn(erin, ""))
		ph.approve()
		s.gets(r, wire.AccessAccept)
		used = next
	}
	check("on PostgreSQL", totp("alice", 0), 2)
	p.refuses(console.ExitFailure, "in use by another server", "--from", p.url())
	p.kill()
	out, _ = p.output("store", "copy", "--from", p.url())
	for strings.Contains(out, "stop them first") { // it has just given a sign of life
		out, _ = p.output("store", "copy", "--from", p.url())
	}
	if !strings.Contains(out, "take out store and node") {
		t.Fatalf("store copy --from: %s", out)
	}
	p.refuses(console.ExitConfig, "must hold no radmatch.db", "--from", p.url())
	trail = ""
	p.write("radmatch.yaml", siteHead+copyClient+"seal: {key_file: "+key+"}\n")
	trail = p.trail()
	if strings.Count(trail, "\n") < 8 {
		t.Errorf("the trail after both copies: got %s", trail)
	}
	check("on SQLite again", totp("alice", 1), 3)
}

// What a copy does not take, and what it says.
func TestStoreCopyRefuses(t *testing.T) {
	t.Parallel()
	p := newCopySite(t)
	p.addTOTP("alice")
	const secret = "hunter2"
	withPassword := strings.Replace(p.url(), "postgres@", "postgres:"+secret+"@", 1)
	if withPassword == p.url() {
		withPassword = "postgres://radmatch:" + secret + "@127.0.0.1/radmatch"
	}
	for _, args := range [][]string{
		{"--to", withPassword}, {"--from", withPassword}, {"--to", "postgres://radmatch@127.0.0.1/radmatch?password=" + secret},
		{"--to", "host=127.0.0.1 password=" + secret}, {}, {"--to", p.url(), "--from", p.url()}, {"--from", p.url(), "--key-file", "x"},
	} {
		if out := p.refuses(console.ExitUsage, "copy: ", args...); strings.Contains(out, secret) {
			t.Errorf("store copy %v shows the password: %s", args, out)
		}
	}
	p.write("pg.password", secret+"\n")
	out := p.refuses(console.ExitFailure, "connect", "--to", "postgres://radmatch@127.0.0.1:1/radmatch", "--password-file", p.path("pg.password"))
	if strings.Contains(out, secret) {
		t.Errorf("got %s; want no password in it", out)
	}
	p.refuses(console.ExitFailure, "no such file", "--to", p.url(), "--password-file", p.path("missing"))
	p.pg.Exec(t, p.database, `CREATE TABLE mine (x integer)`)
	p.refuses(console.ExitFailure, "not empty", "--to", p.url())
	p.refuses(console.ExitFailure, "radmatch.db is there", "--from", p.url())
	if p.tables() != 1 {
		t.Error("a copy that was refused made tables")
	}
	p.start() // nothing has happened to it
}

// Copies are killed while they are at it: what was copied is in use as before, and the next
// copy is whole. Their memory does not grow with the trail.
func TestStoreCopyKilled(t *testing.T) {
	t.Parallel()
	p := newCopySite(t)
	p.program = buildProgram(t) // the race detector needs memory itself
	p.addTOTP("alice")
	p.grow(60_000, 900)
	trail := p.trail()
	p.killed(func() bool {
		return p.pg.Count(t, p.database, `SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND query ILIKE 'copy "events"%'`, p.database) > 0
	}, "--to", p.url())
	p.until("nothing on PostgreSQL", func() bool { return p.tables() == 0 })
	if got := p.trail(); got != trail {
		t.Error("the trail is another after a copy that was killed")
	}
	p.bounded("--to", p.url())
	key := "seal: {key_file: " + p.path("data/seal.key") + "}\n"
	p.write("radmatch.yaml", siteHead+copyClient+key)
	p.killed(func() bool {
		_, err := os.Stat(p.path("data/radmatch.db.part/radmatch.db"))
		return err == nil
	}, "--from", p.url())
	if _, err := os.Stat(p.path("data/radmatch.db")); !os.IsNotExist(err) {
		t.Errorf("radmatch.db after a copy that was killed: got %v; want none", err)
	}
	p.bounded("--from", p.url())
	if got := p.trail(); got != trail {
		t.Error("the trail is another after both copies")
	}
	p.start()
}

// grow fills the trail with n events more, of some octets each.
func (c copySite) grow(n, octets int) {
	c.t.Helper()
	db, err := sql.Open("sqlite", c.path("data/radmatch.db"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer db.Close()
	_, err = db.ExecContext(c.t.Context(), `INSERT INTO events (id, usr, client, reason, data) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
		SELECT i, 'alice', printf('%.*c', ?2, 'x'), 'default_otp', (SELECT data FROM events ORDER BY id LIMIT 1) FROM n`, n, octets)
	if err != nil {
		c.t.Fatal(err)
	}
}

// killed runs a copy and kills it when at is true.
func (c copySite) killed(at func() bool, args ...string) {
	c.t.Helper()
	cmd := c.command(nil, append([]string{"store", "copy"}, args...)...)
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.until("the copy is at it", at)
	if err := cmd.Process.Kill(); err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		c.t.Fatal("the copy ended before it was killed")
	}
}

// maxCopyMemory is what a copy may use, in KiB: less than the trail of the tests fills in
// memory.
const maxCopyMemory = 100 << 10

// bounded runs a copy, and looks at its memory.
func (c copySite) bounded(args ...string) {
	c.t.Helper()
	cmd := c.command(nil, append([]string{"store", "copy"}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for most := 0; ; {
		select {
		case <-look.C:
			most = max(most, peakMemory(cmd.Process.Pid))
			continue
		case err := <-ended:
			if err != nil {
				c.t.Fatalf("store copy %v: %v: %s", args, err, &out)
			}
		}
		c.t.Logf("store copy %s: %d KiB", args[0], most)
		if most == 0 || most > maxCopyMemory {
			c.t.Errorf("store copy %s: used %d KiB; want at most %d", args[0], most, maxCopyMemory)
		}
		return
	}
}

// peakMemory is what a process has used at most so far, in KiB; 0 where it has ended. What wait4
// tells begins with the memory of the process that started it.
func peakMemory(pid int) (kib int) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if _, peak, ok := strings.Cut(string(status), "VmHWM:"); ok {
		_, _ = fmt.Sscan(peak, &kib)
	}
	return kib
}
