package webtest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Offers is web.Offers.
type Offers interface {
	KeepOffer(ctx context.Context, key string, data []byte, life time.Duration) (bool, error)
	TakeOffer(ctx context.Context, key string) ([]byte, error)
}

// TestOffers is the suite of web.Offers. a and b are two servers of one site, or the only one
// twice; most is how many they keep. later makes what was kept for a minute be over.
func TestOffers(t *testing.T, a, b Offers, most int, later func()) {
	keep := func(at Offers, key, data string, want bool) {
		t.Helper()
		if kept, err := at.KeepOffer(t.Context(), key, []byte(data), time.Minute); err != nil || kept != want {
			t.Errorf("keep %s: got %t, %v; want %t", key, kept, err, want)
		}
	}
	take := func(at Offers, what, key, want string) {
		t.Helper()
		if got, err := at.TakeOffer(t.Context(), key); err != nil || string(got) != want || (got == nil) != (want == "") {
			t.Errorf("%s: got %q, %v; want %q", what, got, err, want)
		}
	}
	take(a, "nothing", "x", "")
	keep(a, "x", "first", true)
	take(b, "of another", "y", "")
	take(b, "at the other server", "x", "first")
	take(b, "again", "x", "")
	take(a, "again where it began", "x", "")

	keep(a, "x", "first", true)
	keep(b, "x", "second", true)
	take(a, "the later one", "x", "second")
	take(b, "the one before", "x", "")

	keep(a, "x", "late", true)
	later()
	take(b, "too late", "x", "")
	keep(b, "x", "anew", true)
	take(a, "after one that was late", "x", "anew")

	together(t, a, b)

	for i := range most {
		keep(a, fmt.Sprint(i), "full", true)
	}
	keep(b, "one more", "x", false)
	take(a, "one more", "one more", "")
	keep(b, "0", "again", true)
	take(a, "one that was kept again", "0", "again")
	keep(b, "one more", "x", true)
	later()
	keep(b, "after all are over", "x", true)
}

// together takes at both servers at once.
func together(t *testing.T, a, b Offers) {
	t.Helper()
	for i := range 10 {
		key, data := fmt.Sprint("race", i), []byte{byte(i)}
		if kept, err := a.KeepOffer(t.Context(), key, data, time.Minute); err != nil || !kept {
			t.Fatalf("keep %s: got %t, %v; want it kept", key, kept, err)
		}
		var taken atomic.Int32
		var wg sync.WaitGroup
		for j := range 8 {
			at := []Offers{a, b}[j%2]
			wg.Go(func() {
				switch got, err := at.TakeOffer(t.Context(), key); {
				case err != nil:
					t.Errorf("take %s: %v", key, err)
				case bytes.Equal(got, data):
					taken.Add(1)
				case got != nil:
					t.Errorf("take %s: got %q", key, got)
				}
			})
		}
		wg.Wait()
		if n := taken.Load(); n != 1 {
			t.Errorf("%s was taken %d times; want once", key, n)
		}
	}
}
