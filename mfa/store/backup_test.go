package store

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/seal"
	"github.com/radmatch/radmatch/mfa/store/sqlite"
	"github.com/radmatch/radmatch/otp"
)

// TestBackup copies a database while logins are written, and opens the copy with
// the key that came with it.
func TestBackup(t *testing.T) {
	t.Parallel()
	s := openServer(t, t.TempDir())
	tok := addToken(t, s, "anna")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan int)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			if err := use(s, tok.ID, int64(n)); err != nil {
				t.Error(err)
				break
			}
		}
		done <- n
	}()
	waitFor(t, func() bool { return count(t, s, `SELECT count(*) FROM events`) > 20 })
	dir := t.TempDir()
	file := filepath.Join(dir, sqlite.File)
	keys, err := openCommand(t, s.opt.Dir).Backup(t.Context(), file)
	must(t, err)
	stop()
	if n := <-done; n < 20 {
		t.Fatalf("got %d logins; want at least 20", n)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want mode 0600", info, err)
	}
	must(t, os.WriteFile(filepath.Join(dir, seal.File), keys, 0o600))
	copied := openServer(t, dir)
	tokens, err := copied.Tokens(t.Context(), mfa.NameOf("anna"))
	must(t, err)
	if len(tokens) != 1 || string(tokens[0].Secret) != string(tok.Secret) || tokens[0].Next < 20 {
		t.Errorf("got %d tokens", len(tokens))
	}
	if err := use(copied, tok.ID, 5); !errors.Is(err, otp.ErrUsed) {
		t.Errorf("a step that was used: got %v", err)
	}
	// Where something is already, nothing is written.
	if _, err := s.Backup(t.Context(), file); err == nil {
		t.Error("a file was written over: got no error; want one")
	}
	for path, own := range map[string]bool{sqlite.File: true, seal.File: true, sqlite.File + "-wal": true, "backup.db": false, "../x.db": false} {
		if got := s.IsOwn(filepath.Join(s.opt.Dir, path)); got != own {
			t.Errorf("%s: own %t; want %t", path, got, own)
		}
	}
}

// damage spoils pages in the middle of the database in dir.
func damage(t *testing.T, dir string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, sqlite.File), os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	info, err := f.Stat()
	must(t, err)
	for at := int64(40 * 4096); at < info.Size(); at += 4096 {
		_, err := f.WriteAt([]byte(strings.Repeat("\xa5", 4096)), at)
		must(t, err)
	}
}

// filled is a closed database with a trail of some size.
func filled(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s := quiet(t, Options{Dir: dir})
	addToken(t, s, "anna")
	for range 3 {
		for n := range chunk {
			ev := loginEvent(n)
			ev.Source = strings.Repeat("x", 500)
			put(t, s, ev)
		}
		_, err := s.fold(t.Context())
		must(t, err)
	}
	put(t, s, loginEvent(1))
	must(t, s.Close())
	return dir
}

// TestDamaged: a damaged database is found by Verify and by a backup, and a server
// says so again and again, and does the rest of its housekeeping.
func TestDamaged(t *testing.T) {
	t.Parallel()
	dir := filled(t)
	must(t, openCommand(t, dir).Verify(t.Context()))
	damage(t, dir)
	c := openCommand(t, dir)
	if err := c.Verify(t.Context()); !errors.Is(err, sqlite.ErrDamaged) {
		t.Errorf("Verify: got %v; want ErrDamaged", err)
	}
	if _, err := c.Backup(t.Context(), filepath.Join(t.TempDir(), "copy")); !sqlite.IsDamage(err) && !errors.Is(err, sqlite.ErrDamaged) {
		t.Errorf("Backup: got %v", err)
	}
	core, logs := observer.New(zapcore.ErrorLevel)
	s, err := Open(t.Context(), Options{Dir: dir, Server: true, Logger: zap.New(core)})
	if err != nil {
		if !sqlite.IsDamage(err) {
			t.Errorf("Open: %v", err)
		}
		return
	}
	defer s.Close()
	must(t, s.SaveStats(t.Context(), nil))
	waitFor(t, func() bool { return logs.FilterMessageSnippet("the database is damaged").Len() > 0 })
}

// TestDumped opens a database that has lost its version, as by .dump.
func TestDumped(t *testing.T) {
	t.Parallel()
	dir := filled(t)
	forget := func(more string) {
		db, err := sql.Open("sqlite", filepath.Join(dir, sqlite.File))
		must(t, err)
		_, err = db.Exec(`PRAGMA user_version = 0;` + more)
		must(t, errors.Join(err, db.Close()))
	}
	forget("")
	s := openServer(t, dir)
	if tokens, err := s.Tokens(t.Context(), mfa.NameOf("anna")); err != nil || len(tokens) != 1 {
		t.Errorf("got %d tokens, %v", len(tokens), err)
	}
	if v := count(t, s, `PRAGMA user_version`); v == 0 {
		t.Error("got no version after the start; want that of this program")
	}
	must(t, s.Close())
	forget(`DELETE FROM meta WHERE key = 'schema'`)
	if _, err := Open(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), ".dump leaves it: set PRAGMA user_version") {
		t.Errorf("without the version anywhere: got %v; want \".dump leaves it: set PRAGMA user_version\" in the error", err)
	}
}
