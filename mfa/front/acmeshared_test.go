package front

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/acme/autocert"
)

// kept is Certificates in memory.
type kept struct {
	mu      sync.Mutex
	data    map[string][]byte
	queries int
	turn    bool
	err     error
}

func (k *kept) Certificate(_ context.Context, name string) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.queries++
	return k.data[name], k.err
}

func (k *kept) KeepCertificate(_ context.Context, name string, data []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.data[name] = data; data == nil {
		delete(k.data, name)
	}
	return k.err
}

func (k *kept) CertificateNames(context.Context) ([]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.queries++
	return slices.Collect(maps.Keys(k.data)), k.err
}

func (k *kept) MayOrder(context.Context, string) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.turn, k.err
}

// TestSharedCache: an authority's challenge is found soon after another server has kept it, and
// those that unknown callers ask for cost a few queries a second at most.
func TestSharedCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kept{data: make(map[string][]byte)}
		a := NewACME(&ACME{Domains: []string{"mfa.example.org"}, Directory: "https://ca/dir", Shared: k})
		ctx := t.Context()
		for range 1000 {
			for _, key := range []string{"mfa.example.org+token", "guess+http-01"} {
				if _, err := a.manager.Cache.Get(ctx, key); !errors.Is(err, autocert.ErrCacheMiss) {
					t.Fatalf("got %v; want %v", err, autocert.ErrCacheMiss)
				}
			}
		}
		if k.queries != 1 {
			t.Errorf("got %d queries at one moment; want 1", k.queries)
		}
		if err := a.manager.Cache.Put(ctx, "x+http-01", []byte("answer")); err != nil {
			t.Fatal(err)
		}
		if k.data["ca_dir/x+http-01"] == nil {
			t.Errorf("kept under %v; want ca_dir/x+http-01: apart for each authority", slices.Collect(maps.Keys(k.data)))
		}
		time.Sleep(time.Second)
		if data, err := a.manager.Cache.Get(ctx, "x+http-01"); err != nil || string(data) != "answer" {
			t.Errorf("got %q, %v; want the answer", data, err)
		}
		if err := a.manager.Cache.Delete(ctx, "x+http-01"); err != nil || len(k.data) != 0 {
			t.Errorf("got %v, %v; want nothing kept", k.data, err)
		}
		k.err = errors.New("the database is away")
		if _, err := a.manager.Cache.Get(ctx, "mfa.example.org"); !errors.Is(err, k.err) {
			t.Errorf("got %v; want %v, which orders nothing", err, k.err)
		}
	})
}

// TestTurn: what is there needs no turn, what is over or not there does; an error orders nothing.
func TestTurn(t *testing.T) {
	k := &kept{data: make(map[string][]byte)}
	a := NewACME(&ACME{Domains: []string{"mfa.example.org"}, Directory: "https://ca/dir", Shared: k})
	for _, tt := range []struct {
		what       string
		data       []byte
		turn, want bool
		err        error
	}{
		{"nothing there, another's turn", nil, false, false, nil},
		{"nothing there", nil, true, true, nil},
		{"damaged, another's turn", []byte("x"), false, false, nil},
		{"the database is away", nil, true, false, errors.New("away")},
	} {
		k.data["ca_dir/mfa.example.org"], k.turn, k.err = tt.data, tt.turn, tt.err
		if tt.data == nil {
			delete(k.data, "ca_dir/mfa.example.org")
		}
		if got, err := a.isTurn(t.Context()); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: got %t, %v; want %t, %v", tt.what, got, err, tt.want, tt.err)
		}
	}
}
