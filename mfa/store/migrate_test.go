package store

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
	"testing"
)

// TestMigrationsAreNumbered: file N leads to version N, so that two that were written
// side by side cannot change places.
func TestMigrationsAreNumbered(t *testing.T) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	must(t, err)
	for i, file := range files {
		if want := fmt.Sprintf("%04d_", i+1); !strings.HasPrefix(path.Base(file), want) {
			t.Errorf("got %s; want a name that begins with %s", path.Base(file), want)
		}
	}
}
