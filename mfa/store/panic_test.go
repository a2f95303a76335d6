package store

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/postgrestest"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/store/seal"
)

// breaking is a database that panics at the commit of one login.
type breaking struct {
	Backend
	panics atomic.Bool
}

func (b *breaking) Append(rows []record.Row) ([]bool, error) {
	if b.panics.CompareAndSwap(true, false) {
		panic("commit")
	}
	return b.Backend.Append(rows)
}

// signIn appends an accepted login to anna's log, on its version.
func signIn(t *testing.T, s *Store, id string) (err error) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("panic")
		}
	}()
	ev := mfa.Event{ID: id, Kind: mfa.EventLogin, Origin: mfa.Origin{User: anna, Client: "vpn"}, Outcome: mfa.Accept}
	return s.Append(context.WithoutCancel(t.Context()), at(t, s, anna), ev)
}

// TestPanics: after a panic in a commit, or where an entry is taken over, the user can sign in.
func TestPanics(t *testing.T) {
	t.Parallel()
	server := postgrestest.Shared(t)
	for name, opt := range map[string]Options{
		"SQLite":     {Dir: t.TempDir(), Server: true},
		"PostgreSQL": {Dir: t.TempDir(), Server: true, URL: server.URL(server.NewDatabase(t)), Standby: "none", Node: "a", Keys: seal.NewKeys(t.TempDir())},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := newStore(t.Context(), opt)
			must(t, err)
			db := &breaking{Backend: s.db}
			s.db = db
			must(t, s.start(t.Context()))
			defer s.Close()
			s.Follow(func(ev mfa.Event) {
				if ev.ID == "broken" {
					panic("hook")
				}
			})
			must(t, signIn(t, s, "first"))
			if err := signIn(t, s, "broken"); !errors.Is(err, errNotFollowed) {
				t.Errorf("an entry that was not taken over: got %v; want %v", err, errNotFollowed)
			}
			must(t, signIn(t, s, "after the hook"))
			db.panics.Store(true)
			if err := signIn(t, s, "not committed"); err == nil {
				t.Error("a commit that panics: got no error")
			}
			err = signIn(t, s, "after the commit")
			if errors.Is(err, mfa.ErrStale) {
				err = signIn(t, s, "after the commit")
			}
			must(t, err)
		})
	}
}

// TestPanicElsewhere: an entry of another node that cannot be taken over does not end the
// reading of what comes after it.
func TestPanicElsewhere(t *testing.T) {
	t.Parallel()
	server := postgrestest.Shared(t)
	url, keys := server.URL(server.NewDatabase(t)), seal.NewKeys(t.TempDir())
	open := func(name string) *Store {
		s, err := Open(t.Context(), Options{Dir: t.TempDir(), Server: true, URL: url, Standby: "none", Node: name, Keys: keys})
		must(t, err)
		t.Cleanup(func() { s.Close() })
		return s
	}
	a, b := open("a"), open("b")
	told := make(chan string, 10)
	b.Follow(func(ev mfa.Event) {
		if told <- ev.ID; ev.ID == "broken" {
			panic("hook")
		}
	})
	for _, id := range []string{"broken", "next"} {
		ev := mfa.Event{ID: id, Kind: mfa.EventApproved, Origin: mfa.Origin{User: anna}, Plan: mfa.PlanPush}
		must(t, a.Append(t.Context(), at(t, a, anna), ev))
		select {
		case got := <-told:
			if got != id {
				t.Fatalf("got entry %q; want %q", got, id)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("entry %q was not told", id)
		}
	}
}
