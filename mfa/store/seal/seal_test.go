package seal

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func ringOf(t *testing.T, ids ...byte) *Ring {
	t.Helper()
	raw := map[byte][]byte{}
	for _, id := range ids {
		raw[id] = RandomKey()
	}
	k, err := NewRing(raw)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestPrepared is which key a rekey uses: one that was made later than those in use, also
// where the ids begin anew, and never one that was left behind.
func TestPrepared(t *testing.T) {
	for _, tt := range []struct {
		name   string
		have   []byte
		used   []byte
		newest byte
		ok     bool
	}{
		{"none", []byte{1}, []byte{1}, 1, false},
		{"one", []byte{1, 2}, []byte{1}, 2, true},
		{"left behind", []byte{1, 2}, []byte{2}, 2, false},
		{"two, one after another", []byte{1, 2, 3}, []byte{1}, 3, true},
		{"in use both", []byte{1, 2}, []byte{1, 2}, 2, false},
		{"anew", []byte{255, 1}, []byte{255}, 1, true},
		{"left behind, anew", []byte{255, 1}, []byte{1}, 1, false},
	} {
		k := ringOf(t, tt.have...)
		id, ok := k.Prepared(tt.used)
		if k.Newest() != tt.newest || ok != tt.ok || ok && id != tt.newest {
			t.Errorf("%s: got newest %d, prepared %d %v; want %d, %v", tt.name, k.Newest(), id, ok, tt.newest, tt.ok)
		}
	}
}

func TestNames(t *testing.T) {
	a, b := ringOf(t, 1, 2), ringOf(t, 1)
	names := a.Names()
	if len(names) != 2 || names[0] != a.Name(1) || !strings.HasPrefix(names[1], "2:") {
		t.Errorf("got %q, want those of keys 1 and 2", names)
	}
	if slices.Contains(names, b.Name(1)) {
		t.Error("another key with the same id has the same name")
	}
}

// TestKeysAt adds and removes keys in a file that nodes share: its mode stays.
func TestKeysAt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	f := KeysAt(path)
	for _, step := range []func() error{
		f.Create, func() error { return os.Chmod(path, 0o640) }, f.Create, f.Load,
		func() error { _, err := f.Add(); return err }, func() error { return KeysAt(path).Retain([]byte{2}) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	disk, err := f.OnDisk()
	if err != nil || disk.Has(1) || !disk.Has(2) || !f.Ring().Has(1) {
		t.Errorf("got %v, want key 2 in the file, and both in memory", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("got mode %v, %v; want 0640", info.Mode(), err)
	}
	if err := KeysAt(path).Retain([]byte{3}); err == nil {
		t.Error("a key that is not there: got no error; want one")
	}
}

// TestKeysIn reads the lines of a key file from the environment, and changes nothing there.
func TestKeysIn(t *testing.T) {
	k := ringOf(t, 1, 2)
	f := KeysIn("KEYS", strings.ReplaceAll(strings.TrimSpace(string(k.Marshal())), "\n", ","))
	if err := f.Load(); err != nil {
		t.Fatal(err)
	}
	if got := f.Ring().Names(); !slices.Equal(got, k.Names()) {
		t.Errorf("got %q, want %q", got, k.Names())
	}
	if _, err := f.Add(); !errors.Is(err, ErrEnvironment) {
		t.Errorf("add: got %v, want %v", err, ErrEnvironment)
	}
	if there, err := KeysIn("KEYS", "").Exist(); there || err != nil {
		t.Errorf("an empty value: got %v, %v; want none there", there, err)
	}
	err := KeysIn("KEYS", "1 aHVudGVyMg==").Load()
	if err == nil || !strings.Contains(err.Error(), "environment variable KEYS:1") || strings.Contains(err.Error(), "aHVu") {
		t.Errorf("got %v; want the place of the fault, and no key", err)
	}
}
