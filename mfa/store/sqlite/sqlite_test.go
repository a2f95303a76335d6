package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/store/seal"
	"github.com/radmatch/radmatch/otp"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// withToken is a new database in which anna has a token.
func withToken(t *testing.T) (*DB, otp.Token) {
	t.Helper()
	d, err := Open(t.Context(), Settings{Dir: t.TempDir(), Now: time.Now})
	must(t, err)
	t.Cleanup(func() { d.Close() })
	token := otp.NewTOTP(mfa.NameOf("anna"))
	_, err = d.Apply(t.Context(), mfa.Event{Details: mfa.Details{Text: "add"}}, op.AddTokens{Tokens: []otp.Token{token}})
	must(t, err)
	return d, token
}

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

// TestMigrateAgain: what another process has migrated by now is left alone.
func TestMigrateAgain(t *testing.T) {
	d, token := withToken(t)
	must(t, d.migrate(t.Context())) // nothing to do
	must(t, d.step(t.Context(), 0, "migrations/0001_start.sql"))
	accounts, err := d.Accounts(t.Context(), record.Which{User: "anna"})
	must(t, err)
	a := accounts["anna"]
	if a == nil || len(a.Tokens) != 1 {
		t.Fatalf("got %+v; want a token", a)
	}
	got := a.Tokens[0]
	if secret, err := d.Keys.Ring().Open(got.Sealed, seal.Bound("anna", got.ID)); err != nil || string(secret) != string(token.Secret) {
		t.Errorf("the secret came back changed: %v", err)
	}
}

// TestBackupKey: a copy that its key does not open is none.
func TestBackupKey(t *testing.T) {
	d, _ := withToken(t)
	file := filepath.Join(t.TempDir(), "copy")
	must(t, d.copyTo(t.Context(), file))
	must(t, checkCopy(t.Context(), file, d.Keys.Ring()))
	other, err := seal.NewRing(map[byte][]byte{1: seal.RandomKey(), 2: seal.RandomKey()})
	must(t, err)
	if err := checkCopy(t.Context(), file, other); !errors.Is(err, seal.ErrSeal) {
		t.Errorf("with another key: got %v; want seal.ErrSeal", err)
	}
}
