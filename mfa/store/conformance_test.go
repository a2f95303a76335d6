package store_test

import (
	"testing"

	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/otp/otptest"
)

func open(t *testing.T, opt store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestTokenStore(t *testing.T) {
	dirs := make(map[otptest.Store]string)
	start := func(t *testing.T, dir string) otptest.Store {
		s := open(t, store.Options{Dir: dir, Server: true})
		dirs[s] = dir
		return s
	}
	otptest.RunStore(t, func(t *testing.T) otptest.Store {
		return start(t, t.TempDir())
	}, func(t *testing.T, s otptest.Store) otptest.Store {
		if err := s.(*store.Store).Close(); err != nil {
			t.Fatal(err)
		}
		return start(t, dirs[s])
	})
}
