package store

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/op"
)

// wallClock is a clock that a test sets.
type wallClock struct{ atomic.Int64 }

func newWallClock() *wallClock {
	c := new(wallClock)
	c.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMicro())
	return c
}

func (c *wallClock) now() time.Time       { return time.UnixMicro(c.Load()).UTC() }
func (c *wallClock) step(d time.Duration) { c.Add(d.Microseconds()) }

func (c *wallClock) Open(t *testing.T, dir string, server bool) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir, Server: server, Now: c.now})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func begin(t *testing.T, s *Store, group, client string, d time.Duration) mfa.Bypass {
	t.Helper()
	b, err := s.BeginBypass(t.Context(), mfa.Bypass{Group: mfa.GroupOf(group), Client: client, Reason: "the push service is down", Operator: "root"}, d, admin(""))
	must(t, err)
	return b
}

// groups is which bypasses a server has in force.
func groups(s *Store) string {
	var list []string
	for _, b := range s.Bypasses() {
		list = append(list, b.Group.String())
	}
	return strings.Join(list, " ")
}

func wantBypasses(t *testing.T, s *Store, when, want string) {
	t.Helper()
	if got := groups(s); got != want {
		t.Errorf("%s: %q in force, want %q", when, got, want)
	}
}

// adminTexts is what the trail says of changes, without the times in it.
func adminTexts(t *testing.T, s *Store) string {
	t.Helper()
	entries, err := s.Events(t.Context(), Query{})
	must(t, err)
	var texts []string
	for _, e := range entries {
		if e.Event.Kind == mfa.EventAdmin {
			text, _, _ := strings.Cut(e.Event.Text, " until ")
			texts = append(texts, strings.TrimSpace(e.Event.Operator+" "+text))
		}
	}
	return strings.Join(texts, "; ")
}

func TestBypassBesideServer(t *testing.T) {
	dir, clock := t.TempDir(), newWallClock()
	server, command := clock.Open(t, dir, true), clock.Open(t, dir, false)
	wantBypasses(t, server, "before", "")
	staff := begin(t, command, "staff", "vpn", time.Hour)
	wantBypasses(t, server, "when the command returns", "staff")
	begin(t, command, "admins", "", 2*time.Hour)
	wantBypasses(t, server, "two", "staff admins")
	if got := server.Bypasses()[0]; !reflect.DeepEqual(got, staff) || got.Client != "vpn" || got.Reason != "the push service is down" || got.Operator != "root" {
		t.Errorf("got %+v, want %+v", got, staff)
	}
	must(t, command.EndBypass(t.Context(), staff.ID, admin("")))
	wantBypasses(t, server, "ended by a command", "admins")
	if err := command.EndBypass(t.Context(), staff.ID, admin("")); !errors.Is(err, ErrNotFound) {
		t.Errorf("ended twice: got %v; want ErrNotFound", err)
	}
	want := `root bypass begun: group "staff" at client vpn; root bypass begun: group "admins" at every client; root bypass ended: group "staff" at client vpn`
	if got := adminTexts(t, command); got != want {
		t.Errorf("events: %s, want %s", got, want)
	}
}

func TestBypassEndsByItself(t *testing.T) {
	dir, clock := t.TempDir(), newWallClock()
	server := clock.Open(t, dir, true)
	begin(t, server, "staff", "", time.Hour)
	begin(t, server, "admins", "", 2*time.Hour)
	clock.step(time.Hour - time.Microsecond)
	wantBypasses(t, server, "at the last moment", "staff admins")
	clock.step(time.Microsecond)
	wantBypasses(t, server, "at its end", "admins")
	must(t, server.TendBypasses(t.Context()))
	must(t, server.TendBypasses(t.Context()))
	if list, left, err := server.StoredBypasses(t.Context()); err != nil || len(list) != 1 || left[0] != time.Hour {
		t.Errorf("on disk: %+v, %v left: got %v; want no error, 1 of them, time.Hour", list, left, err)
	}
	if got := adminTexts(t, server); strings.Count(got, `bypass ended by itself: group "staff" at every client`) != 1 {
		t.Errorf("events: %s", got)
	}
}

func TestBypassOverRestarts(t *testing.T) {
	for _, tt := range []struct {
		name string
		step time.Duration // of the wall clock, while no server runs
		want string
	}{
		{"at once", 0, "staff"},
		{"before its end", 30 * time.Minute, "staff"},
		{"at its end", 50 * time.Minute, ""},
		{"long after", 48 * time.Hour, ""},
		{"the clock a second back", -time.Second, "staff"},
		{"the clock a minute back", -time.Minute, ""},
		{"the clock a day back", -24 * time.Hour, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, clock := t.TempDir(), newWallClock()
			server := clock.Open(t, dir, true)
			begin(t, server, "staff", "", time.Hour)
			clock.step(10 * time.Minute)
			must(t, server.TendBypasses(t.Context()))
			must(t, server.Close())
			clock.step(tt.step)
			server = clock.Open(t, dir, true)
			wantBypasses(t, server, "after the restart", tt.want)
			must(t, server.TendBypasses(t.Context()))
			if ended := strings.Contains(adminTexts(t, server), "ended by itself"); ended != (tt.want == "") {
				t.Errorf("an event says that it ended: %v", ended)
			}
		})
	}
}

// A running server counts with the monotonic clock: neither does a bypass
// last longer when the clock of the machine goes back, nor does it end at once.
func TestBypassClockBack(t *testing.T) {
	dir, clock := t.TempDir(), newWallClock()
	server, command := clock.Open(t, dir, true), clock.Open(t, dir, false)
	begin(t, command, "staff", "", 300*time.Millisecond)
	began := time.Now()
	clock.step(-time.Hour)
	begin(t, command, "admins", "", time.Hour) // the server reads all of them again
	if got := groups(server); got != "staff admins" && time.Since(began) < 250*time.Millisecond {
		t.Errorf("%q in force", got)
	}
	waitFor(t, func() bool { return groups(server) == "admins" })
	must(t, server.TendBypasses(t.Context()))
	if list, _, err := server.StoredBypasses(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("on disk: got %+v, %v; want no error, 1 of them", list, err)
	}
}

// What a restart may add when the clock goes back is what was not noted, not the
// whole bypass again.
func TestBypassRestartsDoNotAddUp(t *testing.T) {
	dir, clock := t.TempDir(), newWallClock()
	server := clock.Open(t, dir, true)
	begin(t, server, "staff", "", time.Hour)
	for range 5 {
		clock.step(20 * time.Minute)
		must(t, server.TendBypasses(t.Context()))
		must(t, server.Close())
		clock.step(-15 * time.Minute)
		server = clock.Open(t, dir, true)
	}
	wantBypasses(t, server, "after restarts with the clock set back", "")
}

func TestBypassBounds(t *testing.T) {
	dir, clock := t.TempDir(), newWallClock()
	s := clock.Open(t, dir, true)
	good := mfa.Bypass{Group: mfa.GroupOf("staff"), Reason: "test"}
	for name, x := range map[string]struct {
		b mfa.Bypass
		d time.Duration
	}{
		"no group":  {mfa.Bypass{Reason: "test"}, time.Hour},
		"both":      {mfa.Bypass{Group: mfa.GroupOf("staff"), User: mfa.NameOf("anna"), Reason: "test"}, time.Hour},
		"all users": {mfa.Bypass{Group: mfa.GroupOf(mfa.AllUsers), Reason: "test"}, time.Hour},
		"no reason": {mfa.Bypass{Group: mfa.GroupOf("staff")}, time.Hour},
		"no time":   {good, 0},
		"back":      {good, -time.Hour},
		"too long":  {good, mfa.MaxBypass + 1},
	} {
		if _, err := s.BeginBypass(t.Context(), x.b, x.d, admin("")); err == nil {
			t.Errorf("%s: begun; want an error", name)
		}
	}
	wantBypasses(t, s, "after errors", "")
	for i := range op.MaxBypasses {
		begin(t, s, fmt.Sprint("group", i), "", time.Hour)
	}
	if _, err := s.BeginBypass(t.Context(), good, time.Hour, admin("")); err == nil {
		t.Errorf("more than %d at once; want an error", op.MaxBypasses)
	}
	// Anyone who writes into the database does not get more than a command does.
	_, err := beside(t, s).ExecContext(t.Context(), `UPDATE bypasses SET until = until + 1000000000000`)
	must(t, err)
	must(t, s.Close())
	s = clock.Open(t, dir, true)
	for _, b := range *s.bypasses.Load() {
		if left := time.Until(b.ends); left > mfa.MaxBypass {
			t.Fatalf("%v left", left)
		}
	}
}

// A server that cannot write must not keep a bypass in force.
func TestBypassEndsWithoutDisk(t *testing.T) {
	dir, clock := t.TempDir(), newWallClock()
	s := clock.Open(t, dir, true)
	begin(t, s, "staff", "", time.Hour)
	_, err := beside(t, s).ExecContext(t.Context(), `CREATE TRIGGER full BEFORE DELETE ON bypasses BEGIN SELECT raise(ABORT, 'disk full'); END`)
	must(t, err)
	clock.step(time.Hour)
	if err := s.TendBypasses(t.Context()); err == nil {
		t.Error("no error: got no error; want one")
	}
	wantBypasses(t, s, "at its end", "")
	must(t, s.Close())
	wantBypasses(t, clock.Open(t, dir, true), "after the restart", "")
}

// The path of a login: no bypass costs nothing.
func TestNoBypassAllocates(t *testing.T) {
	s := newWallClock().Open(t, t.TempDir(), true)
	if n := testing.AllocsPerRun(100, func() { s.Bypasses() }); n != 0 {
		t.Errorf("%v allocations; want 0", n)
	}
}
