package datadir

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestNotify: what commands tell comes, until the server has ended, and in the next one. What
// the server itself writes does not.
func TestNotify(t *testing.T) {
	dir := t.TempDir()
	Notify(dir) // there is no server, and nothing happens
	if n, err := Listen(dir); err == nil {
		n.Close()
		t.Error("got no error; want one, without the file")
	}
	f, err := OpenFile(filepath.Join(dir, AppliedFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 2 {
		n, err := Listen(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := WriteApplied(f, 7); err != nil {
			t.Fatal(err)
		}
		select {
		case <-n.Come():
			t.Error("got what the server wrote itself; want nothing")
		case <-time.After(50 * time.Millisecond):
		}
		for range 100 {
			Notify(dir)
		}
		select {
		case _, more := <-n.Come():
			if !more {
				t.Fatal("got the end; want what was told")
			}
		case <-time.After(10 * time.Second):
			t.Fatal("got nothing for 10 s; want what was told")
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		for range n.Come() { // until it is closed
		}
	}
	if got := readApplied(dir); got != 7 {
		t.Errorf("the last change is %d; want 7", got)
	}
	if info, err := os.Stat(filepath.Join(dir, AppliedFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want mode 0600", info, err)
	}
}
