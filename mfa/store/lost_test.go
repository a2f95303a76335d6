package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/mfa/store/sqlite"
)

// A database that was lost must not be taken for a new one, in which no user has
// a second factor.
func TestLostDatabase(t *testing.T) {
	for name, lose := range map[string]func(string) error{
		"removed": os.Remove,
		"cut":     func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			s, err := Open(t.Context(), Options{Dir: dir, Server: true})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := lose(filepath.Join(dir, sqlite.File)); err != nil {
				t.Fatal(err)
			}
			for _, server := range []bool{true, false} {
				s, err := Open(t.Context(), Options{Dir: dir, Server: server})
				if err == nil {
					s.Close()
					t.Fatalf("server %t: opened", server)
				}
				if !strings.Contains(err.Error(), "restore the database") {
					t.Errorf("server %t: got %v; want \"restore the database\" in it", server, err)
				}
			}
		})
	}
}
