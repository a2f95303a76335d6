package store

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/record"
)

// clocks are the wall clock and the monotonic one of a test.
type clocks struct{ wall, tick time.Time }

func (c *clocks) pass(d time.Duration) { c.wall, c.tick = c.wall.Add(d), c.tick.Add(d) }

func (c *clocks) options(o Options) Options {
	o.Now, o.Tick = func() time.Time { return c.wall }, func() time.Time { return c.tick }
	return o
}

func newClocks() *clocks {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return &clocks{at, at}
}

// each event is d after the one before.
func (c *clocks) fill(t *testing.T, s *Store, n int, d time.Duration) {
	t.Helper()
	for i := range n {
		put(t, s, loginEvent(i))
		c.pass(d)
	}
	must(t, s.foldAll(t.Context()))
}

func logins(t *testing.T, s *Store) int {
	t.Helper()
	return count(t, s, `SELECT count(*) FROM events WHERE usr IS NOT NULL`)
}

// TestPruneClockJump: a clock that is wrong for a while erases nothing, however
// often the janitor comes; the same time that really passes does.
func TestPruneClockJump(t *testing.T) {
	t.Parallel()
	for name, interim := range map[string]bool{"logins": false, "reports": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClocks()
			s := quiet(t, c.options(Options{Dir: t.TempDir(), Keep: 180 * 24 * time.Hour}))
			if interim {
				r, err := record.NewRow(reportEvent(1, "anna", "interim"), s.opt.Now())
				must(t, err)
				r.Mark, r.Interim = []byte("0123456789abcdef"), true
				commitAll(t, s, r)
			}
			c.fill(t, s, 34, time.Hour)
			must(t, s.prune(t.Context()))
			c.wall = c.wall.Add(200 * 24 * time.Hour)
			for range 8 {
				must(t, s.prune(t.Context()))
				c.pass(10 * time.Second)
			}
			if n := logins(t, s); n != 34 {
				t.Errorf("%d logins left; want all 34", n)
			}
			if n := count(t, s, `SELECT count(*) FROM accounting`); interim && n != 0 && n != 1 {
				t.Errorf("%d reports left", n)
			}
			c.wall = c.wall.Add(-200 * 24 * time.Hour)
			must(t, s.prune(t.Context()))
			if n := logins(t, s); n != 34 {
				t.Errorf("%d logins left when the clock was right again; want all 34", n)
			}
			c.pass(179 * 24 * time.Hour)
			must(t, s.prune(t.Context()))
			if n := logins(t, s); n != 23 {
				t.Errorf("%d logins left half a year later; want 23", n)
			}
		})
	}
}

// TestPruneClockJumpAtStart: the same where the clock is wrong when the server starts.
func TestPruneClockJumpAtStart(t *testing.T) {
	t.Parallel()
	c := newClocks()
	opt := c.options(Options{Dir: t.TempDir(), Keep: 24 * time.Hour})
	s := quiet(t, opt)
	c.fill(t, s, 12, time.Hour)
	must(t, s.prune(t.Context()))
	must(t, s.Close())
	c.wall, c.tick = c.wall.Add(200*24*time.Hour), time.Now()
	s = quiet(t, opt)
	must(t, s.prune(t.Context()))
	c.pass(time.Minute)
	must(t, s.prune(t.Context()))
	if n := logins(t, s); n != 12 {
		t.Errorf("%d logins left; want 12", n)
	}
	// An event that is really old goes, if later.
	c.pass(100 * 24 * time.Hour)
	must(t, s.prune(t.Context()))
	if n := logins(t, s); n != 0 {
		t.Errorf("%d logins left; want none", n)
	}
}

// TestPruneLess: events.keep that was made less holds at once.
func TestPruneLess(t *testing.T) {
	t.Parallel()
	c := newClocks()
	opt := c.options(Options{Dir: t.TempDir(), Keep: 48 * time.Hour})
	s := quiet(t, opt)
	c.fill(t, s, 40, time.Hour)
	must(t, s.prune(t.Context()))
	must(t, s.Close())
	opt.Keep = 10 * time.Hour
	s = quiet(t, opt)
	c.pass(time.Minute)
	must(t, s.prune(t.Context()))
	if n := logins(t, s); n < 9 || n > 11 {
		t.Errorf("%d logins left; want 10", n)
	}
}

// flood writes reports of sessions that fill about that many octets.
func flood(t *testing.T, s *Store, octets int) {
	t.Helper()
	for n := 0; n < octets; {
		var rows []record.Row
		for range 500 {
			ev := reportEvent(n, "mallory", "start")
			ev.Session.NAS = strings.Repeat("x", 200)
			r, err := record.NewRow(ev, s.opt.Now())
			must(t, err)
			key := markNumber(n)
			r.Mark = key[:]
			rows = append(rows, r)
			n += len(r.Data) + record.RowOverhead
		}
		commitAll(t, s, rows...)
	}
	must(t, s.foldAll(t.Context()))
}

// TestPruneShares: reports of sessions, however many, take no event's place, and
// events none of theirs; what else is in the database counts into neither.
func TestPruneShares(t *testing.T) {
	t.Parallel()
	const most = 1 << 20
	core, logs := observer.New(zapcore.InfoLevel)
	s := quiet(t, Options{Dir: t.TempDir(), MaxSize: most, Keep: time.Hour, Logger: zap.New(core)})
	_, err := beside(t, s).Exec(`INSERT INTO stats SELECT 'big', zeroblob(4 << 20)`)
	must(t, err)
	for n := range 100 {
		put(t, s, loginEvent(n))
	}
	for range 3 {
		flood(t, s, 2*most)
		must(t, s.prune(t.Context()))
	}
	if n := logins(t, s); n != 100 {
		t.Errorf("%d logins left beside a flood of reports; want 100", n)
	}
	left := count(t, s, `SELECT sum(length(data) + 60) FROM accounting`)
	if left > most/reportShare || left < most/reportShare/2 {
		t.Errorf("reports fill %d; want about %d", left, most/reportShare)
	}
	if n := logs.FilterMessageSnippet("before their time").Len(); n != 0 {
		t.Errorf("got %d warnings of events; want 0", n)
	}

	// Many logins push out the oldest logins, which is said once, and no report.
	reports := count(t, s, `SELECT count(*) FROM accounting`)
	wrong := loginEvent(1)
	wrong.ID, wrong.Tries = "wrong", 3
	put(t, s, wrong)
	said := map[int64]bool{}
	for round := range 4 {
		events := make([]mfa.Event, 2500)
		for i := range events {
			events[i] = loginEvent(i)
			events[i].Source = strings.Repeat("y", 200)
		}
		put(t, s, events...)
		must(t, s.foldAll(t.Context()))
		must(t, s.prune(t.Context()))
		if n := count(t, s, `SELECT sum(length(data)) FROM events`); n > most {
			t.Fatalf("round %d: events fill %d; want %d at most", round, n, most)
		}
		trail, err := s.Events(t.Context(), Query{Limit: MaxLimit})
		must(t, err)
		for _, e := range trail {
			if e.Event.Kind == mfa.EventAdmin && strings.HasSuffix(e.Event.Text, "events that should be kept for 1h0m0s were removed: events.max_size is full") {
				said[e.Seq] = true
			}
		}
	}
	if len(said) != 1 {
		t.Errorf("%d events say so; want 1", len(said))
	}
	if n := logins(t, s); n < 1000 || n > 5000 {
		t.Errorf("got %d logins left; want at least 1000, at most 5000", n)
	}
	if n := count(t, s, `SELECT count(*) FROM accounting`); n != reports {
		t.Errorf("%d reports; want %d as before", n, reports)
	}
	if n := logs.FilterMessageSnippet("before their time").Len(); n != 1 {
		t.Errorf("%d warnings of events; want 1", n)
	}
	// A wrong code counts after a restart, whatever else has gone.
	counts, err := s.EventsSince(t.Context(), time.Now().Add(-time.Hour))
	if must(t, err); len(counts) != 1 || counts[0].Tries != 3 {
		t.Errorf("what counts: %v; want the login with 3 wrong codes", counts)
	}
}

// TestReportSize: what reports fill is known after they were counted, added and removed.
func TestReportSize(t *testing.T) {
	t.Parallel()
	s := quiet(t, Options{Dir: t.TempDir(), MaxSize: 1 << 20})
	flood(t, s, 200<<10)
	must(t, s.countReports(t.Context()))
	flood(t, s, 1<<20)
	must(t, s.prune(t.Context()))
	want := count(t, s, `SELECT sum(length(usr) + length(client) + length(data) + 64) FROM accounting`)
	if got := s.reports.size(); got != int64(want) {
		t.Errorf("got %d; want %d", got, want)
	}
}
