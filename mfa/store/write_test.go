package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/otp"
)

func admin(text string) mfa.Event {
	return mfa.Event{Details: mfa.Details{Text: text, Operator: "root"}}
}

func addToken(tb testing.TB, s *Store, user string) otp.Token {
	tb.Helper()
	tok := otp.NewTOTP(mfa.NameOf(user))
	if err := s.AddToken(context.Background(), tok, admin("add")); err != nil {
		tb.Fatal(err)
	}
	return tok
}

func use(s *Store, token string, step int64) error {
	ev := loginEvent(int(step))
	ev.User = mfa.NameOf("anna")
	ev.Token, ev.Step, ev.Used = token, step, true
	return enter(s, ev)
}

// enter appends ev on the version that its user is at.
func enter(s *Store, ev mfa.Event) error {
	for {
		u, err := s.User(context.Background(), ev.User)
		if err != nil {
			return err
		}
		if err := s.Append(context.Background(), u.Version, ev); !errors.Is(err, mfa.ErrStale) {
			return err
		}
	}
}

// steps returns how often each step of a token stands in the trail.
func steps(tb testing.TB, s *Store) map[string]int {
	tb.Helper()
	found := make(map[string]int)
	rows, err := beside(tb, s).Query(`SELECT token, step FROM events WHERE step IS NOT NULL`)
	if err != nil {
		tb.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var token string
		var step int64
		if err := rows.Scan(&token, &step); err != nil {
			tb.Fatal(err)
		}
		found[fmt.Sprint(token, " ", step)]++
	}
	return found
}

func TestUseRace(t *testing.T) {
	s := openServer(t, t.TempDir())
	tok := addToken(t, s, "anna")
	var wg sync.WaitGroup
	var won, lost atomic.Int64
	for range 32 {
		wg.Go(func() {
			switch err := use(s, tok.ID, 100); {
			case err == nil:
				won.Add(1)
			case errors.Is(err, otp.ErrUsed):
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != 31 {
		t.Errorf("got %d accepted, %d used; want 1 and 31", won.Load(), lost.Load())
	}
	if got := steps(t, s); got[tok.ID+" 100"] != 1 || len(got) != 1 {
		t.Errorf("got %v in the trail; want the step once", got)
	}
}

func TestUseBounds(t *testing.T) {
	s := openServer(t, t.TempDir())
	tok := addToken(t, s, "anna")
	for _, step := range []int64{1<<63 - 1, -1, -1 << 63} {
		if err := use(s, tok.ID, step); !errors.Is(err, otp.ErrUsed) {
			t.Errorf("step %d: got %v; want ErrUsed", step, err)
		}
	}
	if err := use(s, tok.ID, 0); err != nil {
		t.Error(err)
	}
}

// TestGroupCommit holds up who commits and looks that all that has come
// meanwhile is one batch.
func TestGroupCommit(t *testing.T) {
	s := openServer(t, t.TempDir())
	queued := func() int { s.queue.mu.Lock(); defer s.queue.mu.Unlock(); return len(s.queue.rows) }
	var wg sync.WaitGroup
	record := func(n int) {
		wg.Go(func() {
			if err := s.Record(context.Background(), loginEvent(n)); err != nil {
				t.Error(err)
			}
		})
	}
	func() {
		s.wmu.Lock()
		defer s.wmu.Unlock()
		for n := range 101 {
			record(n)
		}
		waitFor(t, func() bool { return queued() == 101 })
	}()
	wg.Wait()
	if n := count(t, s, `SELECT count(*) FROM events`); n != 101 {
		t.Errorf("got %d events; want 101", n)
	}
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	if n := len(s.queue.spare); n != 101 {
		t.Errorf("the batch had %d events; want 101", n)
	}
}

func TestQueueFull(t *testing.T) {
	t.Parallel()
	s := openServer(t, t.TempDir())
	s.wmu.Lock()
	defer s.wmu.Unlock()
	r, err := record.NewRow(loginEvent(1), s.opt.Now())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 * maxQueue {
		if _, err = s.queue.Add(r, false); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrFull) {
		t.Errorf("got %v; want ErrFull", err)
	}
	if err := s.Record(context.Background(), loginEvent(2)); !errors.Is(err, ErrFull) {
		t.Errorf("Record: got %v; want ErrFull at once", err)
	}
	s.queue.take() // not written at the end
}

func TestRecordContext(t *testing.T) {
	s := openServer(t, t.TempDir())
	s.wmu.Lock()
	defer s.wmu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Record(ctx, loginEvent(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v; want the context's error", err)
	}
}

func TestClosed(t *testing.T) {
	s := openServer(t, t.TempDir())
	tok := addToken(t, s, "anna")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := use(s, tok.ID, 1); !errors.Is(err, ErrClosed) {
		t.Errorf("Use: got %v; want ErrClosed", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closed twice: got error %v; want none", err)
	}
}

func TestOnlyServerUses(t *testing.T) {
	dir := t.TempDir()
	cli := openCommand(t, dir)
	tok := addToken(t, cli, "anna")
	if err := use(cli, tok.ID, 1); !errors.Is(err, ErrNotServer) {
		t.Errorf("Use: got %v; want ErrNotServer", err)
	}
	if err := cli.Record(t.Context(), loginEvent(1)); !errors.Is(err, ErrNotServer) {
		t.Errorf("Record: got %v; want ErrNotServer", err)
	}
}

// TestClockBack steps the clock back and looks that the trail goes on behind
// what it has, as another process left it too.
func TestClockBack(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s, err := Open(t.Context(), Options{Dir: t.TempDir(), Server: true, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 4 {
		ev := loginEvent(i)
		ev.Time = now
		if err := s.Record(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
		if i == 1 { // not while a commit reads it: Record has returned
			now = now.Add(-time.Hour)
		}
	}
	got, err := s.Events(t.Context(), Query{})
	if err != nil || len(got) != 4 {
		t.Fatalf("got %d events, error %v; want 4", len(got), err)
	}
	for i, e := range got {
		if want := loginEvent(i).ID; e.Event.ID != want {
			t.Errorf("event %d: got %s; want %s", i, e.Event.ID, want)
		}
	}
	if at := got[3].Event.Time; !at.Equal(now) {
		t.Errorf("time of the last event: got %s; want %s, as the clock said", at, now)
	}
}

// TestCommitFails fills the disk under a running server, and lets the database
// become read-only.
func TestCommitFails(t *testing.T) {
	for _, tt := range []struct {
		name  string
		dir   func(*testing.T) string
		spoil func(*testing.T, *Store) (repair func())
	}{
		{"full", tmpfs, fillDisk},
		{"read-only", (*testing.T).TempDir, readOnly},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := openServer(t, tt.dir(t))
			tok := addToken(t, s, "anna")
			if err := use(s, tok.ID, 1); err != nil {
				t.Fatal(err)
			}
			repair := tt.spoil(t, s)
			failed := int64(0)
			for step := int64(2); step < 5000 && failed == 0; step++ {
				if err := use(s, tok.ID, step); err != nil {
					failed = step
				}
			}
			if failed == 0 {
				t.Fatal("got no failed commit; want some")
			}
			if err := use(s, tok.ID, failed); !errors.Is(err, otp.ErrUsed) {
				t.Errorf("the failed step again: got %v; want ErrUsed", err)
			}
			repair()
			if err := use(s, tok.ID, failed+1); err != nil {
				t.Errorf("after the repair: got error %v; want none", err)
			}
			if got := steps(t, s); got[fmt.Sprint(tok.ID, " ", failed)] != 0 {
				t.Error("the failed step stands in the trail")
			}
		})
	}
}

func fillDisk(t *testing.T, s *Store) (repair func()) {
	name := filepath.Join(s.opt.Dir, "filler")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	f.Close()
	return func() { os.Remove(name) }
}

func readOnly(t *testing.T, s *Store) (repair func()) {
	db := beside(t, s)
	_, err := db.Exec(`CREATE TRIGGER readonly BEFORE INSERT ON events BEGIN SELECT raise(FAIL, 'attempt to write a readonly database'); END`)
	must(t, err)
	return func() {
		_, err := db.Exec(`DROP TRIGGER readonly`)
		must(t, err)
	}
}

func waitFor(t *testing.T, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("got no change within 10 s; want one")
		}
	}
}

const childVariable = "RADMATCH_STORE_TEST_DIR"

// TestKill kills a server in the midst of its commits, again and again, and
// looks that each step that it acknowledged is in the trail and stays used.
func TestKill(t *testing.T) {
	if dir := os.Getenv(childVariable); dir != "" {
		child(dir)
		return
	}
	dir := t.TempDir()
	s := openServer(t, dir)
	for range 4 {
		addToken(t, s, "anna")
	}
	s.Close()
	acked := make(map[string]bool)
	for round := range 6 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), childVariable+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		n, enough := 0, 20+round*37
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if line, ok := strings.CutPrefix(lines.Text(), "used "); ok {
				acked[line] = true
				if n++; n == enough {
					cmd.Process.Kill()
				}
			}
		}
		cmd.Wait()
		if n < enough {
			t.Fatalf("the child ended after %d logins; want at least %d", n, enough)
		}
		checkAcked(t, dir, acked)
	}
}

func checkAcked(t *testing.T, dir string, acked map[string]bool) {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir, Server: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	found := steps(t, s)
	for line := range acked {
		if found[line] != 1 {
			t.Errorf("token and step %s: %d times in the trail; want once", line, found[line])
		}
		token, n, _ := strings.Cut(line, " ")
		var step int64
		fmt.Sscan(n, &step)
		if err := use(s, token, step); !errors.Is(err, otp.ErrUsed) {
			t.Errorf("token and step %s after the restart: got %v; want ErrUsed", line, err)
		}
	}
}

// child uses up step after step, several at a time, and says so.
func child(dir string) {
	s, err := Open(context.Background(), Options{Dir: dir, Server: true})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	tokens, err := s.ListTokens(context.Background(), mfa.NameOf("anna"))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, tok := range tokens {
		go func() {
			for step := tok.Next; ; step++ {
				if use(s, tok.ID, step) == nil {
					fmt.Printf("used %s %d\n", tok.ID, step) // one write
				}
			}
		}()
	}
	select {}
}
