package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/otp"
)

// quiet is a server whose goroutines have ended: the tests commit and fold.
func quiet(t *testing.T, opt Options) *Store {
	t.Helper()
	opt.Server = true
	s, err := Open(t.Context(), opt)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	s.stop()
	s.queue.close()
	s.done.Wait()
	return s
}

func put(t *testing.T, s *Store, events ...mfa.Event) {
	t.Helper()
	rows := make([]record.Row, len(events))
	for i, ev := range events {
		var err error
		ev.Used = ev.Used || ev.Step != 0
		rows[i], err = record.NewRow(ev, s.opt.Now())
		must(t, err)
	}
	commitAll(t, s, rows...)
}

func commit(s *Store, rows []record.Row) (kept []bool, err error) {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	return s.commitRows(rows)
}

// commitAll writes rows, of which each is kept.
func commitAll(t *testing.T, s *Store, rows ...record.Row) {
	t.Helper()
	kept, err := commit(s, rows)
	must(t, err)
	if slices.Contains(kept, false) {
		t.Fatalf("got rows kept: %v; want all", kept)
	}
}

func count(t *testing.T, s *Store, query string) (n int) {
	t.Helper()
	must(t, beside(t, s).QueryRow(query).Scan(&n))
	return n
}

func folded(t *testing.T, s *Store) int {
	return count(t, s, `SELECT value FROM meta WHERE key = 'folded'`)
}

// TestReplay looks at a token's next step after a restart, with the uses folded
// in part, in the order that the queue gave them.
func TestReplay(t *testing.T) {
	for _, folds := range []int{0, 1, 2} {
		t.Run(fmt.Sprint("folds=", folds), func(t *testing.T) {
			dir := t.TempDir()
			s := quiet(t, Options{Dir: dir})
			tok := addToken(t, s, "anna")
			events := make([]mfa.Event, 2*chunk)
			for n := range events {
				events[n] = loginEvent(n)
				events[n].Token, events[n].Step, events[n].Drift = tok.ID, int64(1000+n^1), n^1 // each pair in the wrong order
			}
			put(t, s, events...)
			for range folds {
				n, err := s.fold(t.Context())
				if must(t, err); n != chunk {
					t.Fatalf("folded %d; want %d", n, chunk)
				}
			}
			must(t, s.Close())
			for _, s := range []*Store{openCommand(t, dir), quiet(t, Options{Dir: dir})} {
				tokens, err := s.Tokens(t.Context(), mfa.NameOf("anna"))
				must(t, err)
				if got, want := tokens[0].Next, int64(1000+2*chunk); got != want || tokens[0].Drift != 2*chunk-1 {
					t.Errorf("got next %d, drift %d; want %d, %d", got, tokens[0].Drift, want, 2*chunk-1)
				}
				if want := int64(2*chunk + 1 - folds*chunk); s.opt.Server && s.tail.Load() != want {
					t.Errorf("got %d events that are not folded; want %d", s.tail.Load(), want)
				}
			}
		})
	}
}

// TestUsedAfterRemoval has a use that is committed when its token is gone, as it
// waited for the disk meanwhile, and the secret registered again.
func TestUsedAfterRemoval(t *testing.T) {
	for _, folds := range []bool{false, true} {
		t.Run(fmt.Sprint("folds=", folds), func(t *testing.T) {
			s := quiet(t, Options{Dir: t.TempDir()})
			tok := addToken(t, s, "anna")
			must(t, s.RemoveToken(t.Context(), mfa.NameOf("anna"), tok.ID, admin("remove")))
			late := loginEvent(1)
			late.Token, late.Step = tok.ID, 100
			put(t, s, late)
			if folds {
				must(t, s.foldAll(t.Context()))
			}
			tok.ID = "again"
			must(t, s.AddToken(t.Context(), tok, admin("add")))
			if s.isFree("anna", &mfa.Event{Token: "again", Step: 100, Used: true}) {
				t.Error("got a step that is free; want it used")
			}
		})
	}
}

// TestFoldMark has another process write an event with an id in the future.
func TestFoldMark(t *testing.T) {
	s := quiet(t, Options{Dir: t.TempDir()})
	tok := addToken(t, s, "anna")
	_, err := beside(t, s).Exec(`UPDATE events SET id = id + 3600000000`)
	must(t, err)
	if _, err := s.fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	ev := loginEvent(1)
	ev.Token, ev.Step = tok.ID, 7
	put(t, s, ev)
	if n := count(t, s, `SELECT count(*) FROM events WHERE step = 7 AND id > (SELECT value FROM meta WHERE key = 'folded')`); n != 1 {
		t.Error("a row came below the mark: its step would be lost")
	}
}

// withPass is a login of anna by a pass, which it uses up or not.
func withPass(p otp.Token, used bool) mfa.Event {
	ev := loginEvent(1)
	ev.User, ev.Token, ev.Step, ev.Used = mfa.NameOf("anna"), p.ID, 0, used
	return ev
}

func TestReusablePass(t *testing.T) {
	dir := t.TempDir()
	s := openServer(t, dir)
	p, _, err := otp.NewPass(mfa.NameOf("anna"), time.Now().Add(-time.Minute), time.Hour, false)
	must(t, err)
	must(t, s.ReplacePass(t.Context(), p, admin("issue")))
	for range 2 {
		must(t, enter(s, withPass(p, false)))
	}
	must(t, s.Close())
	s = openServer(t, dir)
	if u, _ := s.User(t.Context(), mfa.NameOf("anna")); !u.Pass {
		t.Error("after a restart the reusable pass counts as used")
	}
	once, _, err := otp.NewPass(mfa.NameOf("anna"), time.Now().Add(-time.Minute), time.Hour, true)
	must(t, err)
	must(t, s.ReplacePass(t.Context(), once, admin("issue")))
	if err := enter(s, withPass(p, false)); !errors.Is(err, otp.ErrUsed) {
		t.Errorf("the replaced pass: got %v; want ErrUsed", err)
	}
	must(t, enter(s, withPass(once, true)))
	must(t, s.Close())
	s = openServer(t, dir)
	if u, _ := s.User(t.Context(), mfa.NameOf("anna")); u.Pass || !u.HasPass {
		t.Errorf("after a restart got %+v; want a pass that is used", u)
	}
}

// TestEventsQuery asks the same of a trail that is not folded, folded in part,
// and whole.
func TestEventsQuery(t *testing.T) {
	t.Parallel()
	s := quiet(t, Options{Dir: t.TempDir()})
	names := []string{"anna", "ÉVA", "ANNA", "éva", "bob", "", "x' OR '1'='1"}
	events := make([]mfa.Event, 2*chunk)
	for n := range events {
		ev := loginEvent(n)
		ev.User = mfa.NameOf(names[n%len(names)])
		if ev.Client = "vpn"; n%2 == 1 {
			ev.Client = "lan"
		}
		events[n] = ev
	}
	put(t, s, events...)
	all, err := s.Events(t.Context(), Query{})
	must(t, err)
	if len(all) != 2*chunk {
		t.Fatalf("got %d events; want %d", len(all), 2*chunk)
	}
	want := func(q Query) (list []record.Entry) {
		for _, e := range all {
			if (q.User.String() == "" || e.Event.User.Key() == q.User.Key()) && (q.Client == "" || e.Event.Client == q.Client) &&
				e.Seq > q.After && (q.Since.IsZero() || e.Seq >= q.Since.UnixMicro()) && (q.Until.IsZero() || e.Seq < q.Until.UnixMicro()) {
				list = append(list, e)
			}
		}
		if over := len(list) - q.Limit; q.Limit > 0 && over > 0 {
			if q.After > 0 {
				return list[:q.Limit]
			}
			return list[over:]
		}
		return list
	}
	middle := all[chunk].Seq
	queries := []Query{
		{Limit: 5}, {Limit: 5, After: middle}, {After: all[len(all)-1].Seq},
		{Since: time.UnixMicro(middle)}, {Until: time.UnixMicro(middle)}, {Client: "lan", Limit: 300},
	}
	for _, user := range []string{"anna", "Éva", "bob", "x' or '1'='1", "nobody"} {
		for _, q := range queries[:6] {
			q.User = mfa.NameOf(user)
			queries = append(queries, q)
		}
	}
	for fold := range 3 {
		for _, q := range queries {
			got, err := s.Events(t.Context(), q)
			must(t, err)
			if got, want := seqs(got), seqs(want(q)); got != want {
				t.Errorf("folds %d, %+v\n got %s\nwant %s", fold, q, got, want)
			}
		}
		_, err := s.fold(t.Context())
		must(t, err)
	}
}

func seqs(entries []record.Entry) string {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprint(&b, e.Seq%1e9, " ")
	}
	return b.String()
}

func TestEventsSince(t *testing.T) {
	s := quiet(t, Options{Dir: t.TempDir()})
	reasons := []mfa.Reason{
		mfa.ReasonDefaultOTP, mfa.ReasonPushDenied, mfa.ReasonWrongNumber, mfa.ReasonNotMe, mfa.ReasonPushNoResponse, mfa.ReasonNASTimeout, mfa.ReasonWrongPassword,
		mfa.ReasonCodeUsed, mfa.ReasonCodesLocked,
	}
	begin := time.Now().Add(-time.Second)
	for i, r := range reasons {
		ev := loginEvent(i)
		ev.Reason = r
		put(t, s, ev)
	}
	ev := loginEvent(len(reasons))
	ev.Tries = 2
	put(t, s, ev)
	got, err := s.EventsSince(t.Context(), begin)
	must(t, err)
	var list []string
	for _, ev := range got {
		list = append(list, fmt.Sprint(ev.Reason, ev.Tries))
	}
	if got, want := fmt.Sprint(list), "[push_denied0 wrong_number0 not_me0 push_no_response0 nas_timeout0 code_used0 codes_locked0 default_otp2]"; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
	if got, err := s.EventsSince(t.Context(), time.Now().Add(time.Minute)); err != nil || got != nil {
		t.Errorf("since a minute from now: got %d events, %v; want none", len(got), err)
	}
}

func TestPrune(t *testing.T) {
	t.Parallel()
	now := time.Now()
	clock := func() time.Time { return now }
	s := quiet(t, Options{Dir: t.TempDir(), Keep: time.Hour, Now: clock, Tick: clock})
	fill := func(n int) {
		events := make([]mfa.Event, n)
		for i := range events {
			events[i] = loginEvent(i)
		}
		put(t, s, events...)
	}
	fill(3 * chunk)
	must(t, s.prune(t.Context()))
	now = now.Add(2 * time.Hour)
	must(t, s.prune(t.Context()))
	if n := count(t, s, `SELECT count(*) FROM events`); n != 3*chunk {
		t.Errorf("%d events left; want all: none is folded", n)
	}
	must(t, s.foldAll(t.Context()))
	fill(10)
	must(t, s.prune(t.Context()))
	if n := count(t, s, `SELECT count(*) FROM events`); n != 10 {
		t.Errorf("%d events left; want the 10 that are not old", n)
	}
	if n := count(t, s, `SELECT count(*) FROM event_user`); n != 0 {
		t.Errorf("%d events in the index; want none", n)
	}
}

func (s *Store) foldAll(ctx context.Context) error {
	for {
		if n, err := s.fold(ctx); n == 0 || err != nil {
			return err
		}
	}
}

// TestJanitor looks that a server that has nothing to do folds.
func TestJanitor(t *testing.T) {
	s := openServer(t, t.TempDir())
	must(t, s.Record(t.Context(), loginEvent(1)))
	waitFor(t, func() bool { return s.tail.Load() == 0 && folded(t, s) > 0 })
}

// TestIdle looks that nothing is folded while logins come, unless too much waits.
func TestIdle(t *testing.T) {
	s := quiet(t, Options{Dir: t.TempDir()})
	put(t, s, loginEvent(1))
	s.queue.last = time.Now().Add(time.Hour)
	must(t, s.foldWhileIdle(t.Context()))
	if folded(t, s) != 0 {
		t.Error("got events folded while logins came; want none")
	}
	s.tail.Add(foldForced)
	must(t, s.foldWhileIdle(t.Context()))
	if folded(t, s) == 0 {
		t.Error("got nothing folded although too much waits; want some")
	}
}

func TestBadEvents(t *testing.T) {
	s := openServer(t, t.TempDir())
	for _, ev := range []mfa.Event{{Plan: 17}, {Outcome: -1}} {
		if err := s.Record(t.Context(), ev); err == nil {
			t.Errorf("%d %d: recorded; want an error", int(ev.Plan), int(ev.Outcome))
		}
	}
}

// TestEventFields: an event that has nothing but one field comes back with it. So
// no field is forgotten, neither in the columns nor in what few events have.
func TestEventFields(t *testing.T) {
	s := quiet(t, Options{Dir: t.TempDir()})
	for _, f := range reflect.VisibleFields(reflect.TypeFor[mfa.Event]()) {
		if f.Anonymous {
			continue
		}
		want := mfa.Event{ID: "x", Time: time.Unix(1_900_000_000, 0).UTC(), Kind: mfa.EventLogin}
		v := reflect.ValueOf(&want).Elem().FieldByIndex(f.Index)
		if v.IsZero() {
			setAny(t, v)
		}
		if want.Step != 0 {
			want.Token, want.Used = "t", true // put uses it up; without a token it is none
		}
		put(t, s, want)
		var all []mfa.Event
		for e, err := range s.db.Events(t.Context(), record.Selection{NoReports: true}.Since(time.Time{})) {
			must(t, err)
			all = append(all, e.Event)
		}
		_, err := beside(t, s).Exec(`DELETE FROM events`)
		must(t, err)
		if len(all) != 1 || !reflect.DeepEqual(all[0], want) {
			t.Errorf("%s: got  %+v\nwant %+v", f.Name, all, want)
		}
	}
}

// setAny gives a field any value but the zero one, which another field would not have.
func setAny(t *testing.T, v reflect.Value) {
	t.Helper()
	if v.Type() == reflect.TypeFor[mfa.Name]() {
		v.Set(reflect.ValueOf(mfa.NameOf("set")))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("set")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(2)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	default:
		t.Fatalf("the test cannot set a %s", v.Type())
	}
}

// TestSyncToken: an operator's synchronising uses up steps as a login does, and
// brings back none that a login has used, folded or not.
func TestSyncToken(t *testing.T) {
	for _, folds := range []bool{false, true} {
		t.Run(fmt.Sprint("folds=", folds), func(t *testing.T) {
			dir := t.TempDir()
			s := quiet(t, Options{Dir: dir})
			tok := addToken(t, s, "anna")
			ev := loginEvent(1)
			ev.Token, ev.Step = tok.ID, 100
			put(t, s, ev)
			if folds {
				must(t, s.foldAll(t.Context()))
			}
			sync := func(step int64) error {
				return s.SyncToken(t.Context(), otp.Use{User: mfa.NameOf("Anna"), Token: tok.ID, Step: step, Drift: -8}, admin("sync"))
			}
			for _, step := range []int64{99, 100, 101} {
				if err := sync(step); !errors.Is(err, otp.ErrUsed) {
					t.Errorf("step %d: got %v; want ErrUsed", step, err)
				}
			}
			must(t, sync(102))
			for _, s := range []*Store{s, openCommand(t, dir)} {
				tokens, err := s.Tokens(t.Context(), mfa.NameOf("anna"))
				must(t, err)
				if tokens[0].Next != 103 || tokens[0].Drift != -8 {
					t.Errorf("got next %d, drift %d; want 103, -8", tokens[0].Next, tokens[0].Drift)
				}
			}
			if s.isFree("anna", &mfa.Event{Token: tok.ID, Step: 102, Used: true}) {
				t.Error("got the second code free at a login; want it used")
			}
		})
	}
}
