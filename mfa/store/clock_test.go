package store

import (
	"errors"
	"testing"
	"time"

	"github.com/radmatch/radmatch/otp"
)

// TestClockBehindTrail sets the clock back after the whole trail was folded and
// pruned. A step that is used then must still be found by the next start.
func TestClockBehindTrail(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	open := func(at time.Time) *Store {
		s, err := Open(t.Context(), Options{Dir: dir, Server: true, MaxSize: 1, Now: func() time.Time { return at }})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open(now)
	tok := addToken(t, s, "anna")
	if err := use(s, tok.ID, 100); err != nil {
		t.Fatal(err)
	}
	for count(t, s, `SELECT count(*) FROM events`) > 1 { // one says what has gone
		if _, err := s.fold(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.prune(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := beside(t, s).Exec(`DELETE FROM events`); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(now.Add(-time.Hour))
	if err := use(s, tok.ID, 101); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(now)
	defer s.Close()
	if err := use(s, tok.ID, 101); !errors.Is(err, otp.ErrUsed) {
		t.Errorf("got %v for a used step; want %v", err, otp.ErrUsed)
	}
}
