package store_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/store/sqlite"
	"github.com/radmatch/radmatch/mfa/store/storetest"
	"github.com/radmatch/radmatch/otp/otptest"
)

// reopener opens stores and remembers how.
type reopener map[any]store.Options

func (r reopener) Open(t *testing.T, opt store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	r[s] = opt
	return s
}

func (r reopener) reopen(t *testing.T, s any) *store.Store {
	t.Helper()
	if err := s.(*store.Store).Close(); err != nil {
		t.Fatal(err)
	}
	return r.Open(t, r[s])
}

// crashed returns a folder with what is on disk of dir, as the death of its server leaves it.
// What SQLite shares between processes is made anew then.
func crashed(t *testing.T, dir string) string {
	t.Helper()
	left := t.TempDir()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Name() == sqlite.File+"-shm" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(left, f.Name()), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return left
}

func TestTokenStore(t *testing.T) {
	r := reopener{}
	otptest.RunStore(t,
		func(t *testing.T) otptest.Store { return r.Open(t, store.Options{Dir: t.TempDir(), Server: true}) },
		func(t *testing.T, s otptest.Store) otptest.Store { return r.reopen(t, s) })
}

func TestJournalAndDirectory(t *testing.T) {
	r := reopener{}
	storetest.Run(t, storetest.Harness{
		Open: func(t *testing.T, now func() time.Time) storetest.Store {
			return r.Open(t, store.Options{Dir: t.TempDir(), Server: true, Now: now})
		},
		Reopen: func(t *testing.T, s storetest.Store) storetest.Store { return r.reopen(t, s) },
		Crash: func(t *testing.T, s storetest.Store) storetest.Store {
			opt := r[s]
			opt.Dir = crashed(t, opt.Dir)
			return r.Open(t, opt)
		},
		Beside: func(t *testing.T, s storetest.Store) storetest.Store {
			return r.Open(t, store.Options{Dir: r[s].Dir})
		},
		Trail: func(t *testing.T, s storetest.Store) []mfa.Event {
			entries, err := s.(*store.Store).Events(t.Context(), store.Query{Limit: store.MaxLimit})
			if err != nil {
				t.Fatal(err)
			}
			var events []mfa.Event
			for _, e := range entries {
				events = append(events, e.Event)
			}
			return events
		},
	})
}
