package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/record"
)

func reportEvent(n int, user, status string) mfa.Event {
	return mfa.Event{
		ID: fmt.Sprintf("login%d", n), Time: time.Now().Truncate(time.Microsecond).UTC(), Kind: mfa.EventAccounting, Origin: mfa.Origin{Client: "vpn", Group: "edge", User: mfa.NameOf(user), EndUser: "198.51.100.7", Source: "203.0.113.10:41234"},
		Details: mfa.Details{Session: &mfa.Session{Status: status, ID: fmt.Sprint(n), NAS: "gw1", Address: "10.8.0.7", Duration: time.Hour, InOctets: 1 << 40, OutOctets: 7, Cause: "User-Request"}},
	}
}

func markNumber(n int) [16]byte { return [16]byte{byte(n), byte(n >> 8), 1} }

// sessions returns the ids of the sessions among what q selects, with "login" for a login.
func sessions(t *testing.T, s *Store, q Query) (list []string) {
	t.Helper()
	entries, err := s.Events(t.Context(), q)
	must(t, err)
	for _, e := range entries {
		switch {
		case e.Event.Session != nil:
			list = append(list, e.Event.Session.ID)
		case e.Event.Kind == mfa.EventLogin:
			list = append(list, "login")
		}
	}
	return list
}

// Reports and logins are one trail, in the order in which they came, by user and
// by client, folded or not, over a restart.
func TestReportsInTrail(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openServer(t, dir)
	report := reportEvent(1, "Anna", "start")
	for n, ev := range []mfa.Event{report, reportEvent(2, "Jürgen", "start")} {
		if again, err := s.RecordSession(t.Context(), ev, markNumber(n)); again || err != nil {
			t.Fatalf("again %v, %v", again, err)
		}
	}
	login := loginEvent(1)
	login.User, login.Token, login.Step = mfa.NameOf("anna"), "", 0
	must(t, s.Record(t.Context(), login))
	last := reportEvent(3, "anna", "stop")
	last.Client = "other"
	_, err := s.RecordSession(t.Context(), last, markNumber(3))
	must(t, err)
	check := func(s *Store) {
		t.Helper()
		for _, tt := range []struct {
			q    Query
			want []string
		}{
			{Query{}, []string{"1", "2", "login", "3"}},
			{Query{User: mfa.NameOf("ANNA")}, []string{"1", "login", "3"}},
			{Query{User: mfa.NameOf("jürgen")}, []string{"2"}},
			{Query{Client: "other"}, []string{"3"}},
			{Query{Limit: 2}, []string{"login", "3"}},
			{Query{User: mfa.NameOf("anna"), Limit: 2}, []string{"login", "3"}},
			{Query{After: 1, Limit: 2}, []string{"1", "2"}},
		} {
			if got := sessions(t, s, tt.q); !slices.Equal(got, tt.want) {
				t.Errorf("%+v: got %q, want %q", tt.q, got, tt.want)
			}
		}
		entries, err := s.Events(t.Context(), Query{Client: "vpn", User: mfa.NameOf("anna")})
		must(t, err)
		got := entries[0].Event
		if *got.Session != *report.Session {
			t.Errorf("got %+v", got.Session)
		}
		got.Session = report.Session
		if fmt.Sprint(got) != fmt.Sprint(report) {
			t.Errorf("got  %+v\nwant %+v", got, report)
		}
	}
	check(s)
	must(t, s.Close())
	s = openServer(t, dir)
	for deadline := time.Now().Add(10 * time.Second); s.tail.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("got reports that are not folded in time; want them folded")
		}
	}
	check(s)
	check(openCommand(t, dir))
}

// A report is kept once, from many at the same time and over a restart; nobody
// hears that it is on disk before it is.
func TestReportOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openServer(t, dir)
	var senders sync.WaitGroup
	var mu sync.Mutex
	news := 0
	for range 50 {
		senders.Go(func() {
			again, err := s.RecordSession(context.Background(), reportEvent(1, "anna", "start"), markNumber(1))
			if err != nil || count(t, s, `SELECT count(*) FROM accounting`) != 1 {
				t.Errorf("not on disk: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if !again {
				news++
			}
		})
	}
	senders.Wait()
	if news != 1 {
		t.Errorf("got %d times new; want 1", news)
	}
	must(t, s.Close())
	s = openServer(t, dir)
	if again, err := s.RecordSession(t.Context(), reportEvent(1, "anna", "start"), markNumber(1)); !again || err != nil {
		t.Errorf("after a restart: again %v, %v", again, err)
	}
	if n := count(t, s, `SELECT count(*) FROM accounting`); n != 1 {
		t.Errorf("got %d rows; want 1", n)
	}
}

// A report whose commit failed is not known: it is recorded when it comes again.
func TestReportFails(t *testing.T) {
	t.Parallel()
	s := openServer(t, t.TempDir())
	_, err := beside(t, s).Exec(`CREATE TRIGGER full BEFORE INSERT ON accounting BEGIN SELECT RAISE(FAIL, 'disk full'); END`)
	must(t, err)
	for range 2 {
		if again, err := s.RecordSession(t.Context(), reportEvent(1, "anna", "start"), markNumber(1)); err == nil || again {
			t.Fatalf("again %v, %v; want an error", again, err)
		}
	}
	_, err = beside(t, s).Exec(`DROP TRIGGER full`)
	must(t, err)
	if again, err := s.RecordSession(t.Context(), reportEvent(1, "anna", "start"), markNumber(1)); err != nil || again {
		t.Fatalf("again %v, %v", again, err)
	}
	must(t, s.Record(t.Context(), loginEvent(1)))
	if _, err := openCommand(t, s.opt.Dir).RecordSession(t.Context(), reportEvent(2, "anna", "stop"), markNumber(2)); !errors.Is(err, ErrNotServer) {
		t.Errorf("a command: got %v; want ErrNotServer", err)
	}
}

// The memory of reports is bounded and lasts keepMarks at least.
func TestMarksAreBounded(t *testing.T) {
	m := &marks{}
	now := time.Unix(1e9, 0)
	add := func() (*batch, error) { return &batch{}, nil }
	for n := range 5 * maxMarks {
		if _, again, _ := m.begin(mark{byte(n), byte(n >> 8), byte(n >> 16)}, now, add); again {
			t.Fatal("got a new report known; want it unknown")
		}
	}
	if len(m.young)+len(m.old) > 2*maxMarks {
		t.Errorf("%d kept", len(m.young)+len(m.old))
	}
	m = &marks{}
	m.begin(mark{1}, now, add)
	for _, tt := range []struct {
		after time.Duration
		again bool
	}{{keepMarks - 1, true}, {keepMarks, true}, {2 * keepMarks, false}} {
		if _, again, _ := m.begin(mark{1}, now.Add(tt.after), add); again != tt.again {
			t.Errorf("after %v: known: got %v; want %v", tt.after, again, tt.again)
		}
	}
}

// Interim reports go after a day, everything else stays; each row is looked at once.
func TestThin(t *testing.T) {
	t.Parallel()
	at := time.Now()
	clock := func() time.Time { return at }
	s := quiet(t, Options{Dir: t.TempDir(), Now: clock, Tick: clock})
	report := func(n int, status string) record.Row {
		r, err := record.NewRow(reportEvent(n, "anna", status), s.opt.Now())
		must(t, err)
		key := markNumber(n)
		r.Mark, r.Interim = key[:], status == "interim"
		return r
	}
	var rows []record.Row
	for n := range chunk {
		rows = append(rows, report(2*n, "stop"), report(2*n+1, "interim"))
	}
	commitAll(t, s, rows...)
	must(t, s.foldAll(t.Context()))
	at = at.Add(keepInterim / 2)
	commitAll(t, s, report(1000, "interim"))
	must(t, s.foldAll(t.Context()))
	must(t, s.prune(t.Context()))
	if n := count(t, s, `SELECT count(*) FROM accounting`); n != 2*chunk+1 {
		t.Errorf("%d rows before a day", n)
	}
	at = at.Add(keepInterim/2 + time.Minute)
	must(t, s.prune(t.Context()))
	if n, left := count(t, s, `SELECT count(*) FROM accounting`), count(t, s, `SELECT count(*) FROM accounting WHERE interim`); n != chunk+1 || left != 1 {
		t.Errorf("%d rows, %d interim; want %d, 1", n, left, chunk+1)
	}
	if n := count(t, s, `SELECT count(*) FROM event_user`); n != chunk+1 {
		t.Errorf("%d rows in the index", n)
	}
	n, err := s.thin(t.Context(), at)
	if must(t, err); n != 0 {
		t.Errorf("got %d rows looked at again; want 0", n)
	}
}

// Reports and logins go by age together.
func TestPruneReports(t *testing.T) {
	t.Parallel()
	at := time.Now()
	clock := func() time.Time { return at }
	s := quiet(t, Options{Dir: t.TempDir(), Keep: time.Hour, Now: clock, Tick: clock})
	must(t, s.prune(t.Context()))
	for n := range 3 {
		r, err := record.NewRow(reportEvent(n, "anna", "stop"), s.opt.Now())
		must(t, err)
		key := markNumber(n)
		r.Mark = key[:]
		commitAll(t, s, r)
		put(t, s, loginEvent(n))
		at = at.Add(40 * time.Minute)
	}
	must(t, s.foldAll(t.Context()))
	must(t, s.prune(t.Context()))
	if got := sessions(t, s, Query{}); !slices.Equal(got, []string{"2", "login"}) {
		t.Errorf("got left %q; want only \"2\", \"login\"", got)
	}
	if n := count(t, s, `SELECT count(*) FROM event_user`); n != 2 {
		t.Errorf("got %d rows in the index; want 2", n)
	}
}

// The key of the Class belongs to this one database.
func TestClassKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := func(dir string) string {
		s := openServer(t, dir)
		key, err := s.ClassKey(t.Context())
		must(t, err)
		if len(key) != 32 {
			t.Errorf("got %d octets; want 32", len(key))
		}
		must(t, s.Close())
		return string(key)
	}
	first := key(dir)
	if key(dir) != first || key(t.TempDir()) == first {
		t.Error("the key changes over a restart, or is that of another database")
	}
}
