package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/store/postgrestest"
	"github.com/radmatch/radmatch/mfa/store/seal"
	"github.com/radmatch/radmatch/mfa/store/storetest"
	"github.com/radmatch/radmatch/otp/otptest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// onPostgres are options for an empty database.
func onPostgres(t *testing.T, now func() time.Time) store.Options {
	t.Helper()
	server := postgrestest.Shared(t)
	keys := seal.KeysAt(filepath.Join(t.TempDir(), "seal.key"))
	return store.Options{Dir: t.TempDir(), Keys: keys, Server: true, Now: now, URL: server.URL(server.NewDatabase(t)), Standby: "none", Node: "a"}
}

func TestTokenStoreOnPostgres(t *testing.T) {
	r := reopener{}
	otptest.RunStore(t,
		func(t *testing.T) otptest.Store { return r.Open(t, onPostgres(t, nil)) },
		func(t *testing.T, s otptest.Store) otptest.Store { return r.reopen(t, s) })
}

func TestJournalAndDirectoryOnPostgres(t *testing.T) {
	r := reopener{}
	storetest.Run(t, storetest.Harness{
		Open:   func(t *testing.T, now func() time.Time) storetest.Store { return r.Open(t, onPostgres(t, now)) },
		Reopen: func(t *testing.T, s storetest.Store) storetest.Store { return r.reopen(t, s) },
		// Another run finds what is on disk while the one that crashed is silent.
		Crash: func(t *testing.T, s storetest.Store) storetest.Store {
			opt := r[s]
			opt.Dir = t.TempDir()
			return r.Open(t, opt)
		},
		Beside: func(t *testing.T, s storetest.Store) storetest.Store {
			opt := r[s]
			opt.Server = false
			return r.Open(t, opt)
		},
		Trail: trailOf,
	})
}

func trailOf(t *testing.T, s storetest.Store) []mfa.Event {
	t.Helper()
	entries, err := s.(*store.Store).Events(t.Context(), store.Query{Limit: store.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	var events []mfa.Event
	for _, e := range entries {
		events = append(events, e.Event)
	}
	return events
}
