package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/seal"
	"github.com/radmatch/radmatch/otp"
)

func secrets(t *testing.T, s *Store, user string) [][]byte {
	t.Helper()
	tokens, err := s.Tokens(t.Context(), mfa.NameOf(user))
	must(t, err)
	var list [][]byte
	for _, tok := range tokens {
		list = append(list, tok.Secret)
	}
	return list
}

func TestSecretsAreSealed(t *testing.T) {
	dir := t.TempDir()
	s := openServer(t, dir)
	tok := addToken(t, s, "anna")
	must(t, s.Close())
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	must(t, err)
	for _, f := range files {
		content, err := os.ReadFile(f)
		must(t, err)
		if bytes.Contains(content, tok.Secret) {
			t.Errorf("%s holds the secret in the clear", f)
		}
	}
	if got := secrets(t, openServer(t, dir), "anna"); !bytes.Equal(got[0], tok.Secret) {
		t.Error("got another secret back; want that which was sealed")
	}
}

// TestTampering changes sealed secrets in the database, as someone could who
// can write it and has no key.
func TestTampering(t *testing.T) {
	for _, tt := range []struct{ name, query string }{
		{"a bit", `UPDATE tokens SET secret = substr(secret, 1, length(secret) - 1) || iif(substr(secret, -1) = x'00', x'01', x'00') WHERE usr = 'anna'`},
		{"emptied", `UPDATE tokens SET secret = x'' WHERE usr = 'anna'`},
		{"cut", `UPDATE tokens SET secret = substr(secret, 1, 5) WHERE usr = 'anna'`},
		{"in the clear", `UPDATE tokens SET secret = x'0131323334353637383930313233343536373839' WHERE usr = 'anna'`},
		{"another key", `UPDATE tokens SET secret = x'09' || substr(secret, 2) WHERE usr = 'anna'`},
		{"another's", `UPDATE tokens SET secret = (SELECT secret FROM tokens WHERE usr = 'mallory') WHERE usr = 'anna'`},
		{"moved", `UPDATE tokens SET usr = 'anna' WHERE usr = 'mallory'`},
		{"renamed", `UPDATE tokens SET id = 'x' WHERE usr = 'anna'`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			cli := openCommand(t, dir)
			addToken(t, cli, "anna")
			addToken(t, cli, "mallory")
			_, err := beside(t, cli).Exec(tt.query)
			must(t, err)
			s := openServer(t, dir)
			if tokens, err := s.Tokens(t.Context(), mfa.NameOf("anna")); !errors.Is(err, seal.ErrSeal) || tokens != nil {
				t.Errorf("got %d tokens, %v; want none and that a secret does not open", len(tokens), err)
			}
		})
	}
}

func TestKeyFile(t *testing.T) {
	other := t.TempDir()
	openCommand(t, other)
	otherKey, err := os.ReadFile(filepath.Join(other, seal.File))
	must(t, err)
	for _, tt := range []struct {
		name  string
		spoil func(file string) error
		want  string
	}{
		{"missing", os.Remove, "missing"},
		{"another's", func(f string) error { return os.WriteFile(f, otherKey, 0o600) }, "not the key"},
		{"empty", func(f string) error { return os.WriteFile(f, nil, 0o600) }, "no key"},
		{"cut", func(f string) error { return os.WriteFile(f, otherKey[:len(otherKey)-9], 0o600) }, "must be an id"},
		{"readable", func(f string) error { return os.Chmod(f, 0o644) }, "everybody"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openCommand(t, dir)
			addToken(t, s, "anna")
			must(t, s.Close())
			must(t, tt.spoil(filepath.Join(dir, seal.File)))
			s, err := Open(t.Context(), Options{Dir: dir, Server: true})
			if err == nil {
				s.Close()
				t.Fatal("got the database opened; want an error")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v; want %q in it", err, tt.want)
			}
			if strings.Contains(err.Error(), string(otherKey[len(otherKey)-20:])) {
				t.Errorf("the error holds a key: %v", err)
			}
		})
	}
}

func TestRekey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, cli, third := openServer(t, dir), openCommand(t, dir), openCommand(t, dir)
	tok := addToken(t, cli, "anna")
	before, err := os.ReadFile(filepath.Join(dir, seal.File))
	must(t, err)
	n, err := cli.Rekey(t.Context(), admin("rekey"))
	must(t, err)
	after, err := os.ReadFile(filepath.Join(dir, seal.File))
	must(t, err)
	if n != 1 || bytes.Equal(before, after) || bytes.Count(after, []byte("\n")) != bytes.Count(before, []byte("\n")) {
		t.Errorf("%d tokens; key file before\n%d lines, after %d; want another key in place of the old", n, bytes.Count(before, []byte("\n")), bytes.Count(after, []byte("\n")))
	}
	// One that had the old key in memory: what it seals now, all can open.
	late := addToken(t, third, "bob")
	for _, s := range []*Store{server, cli, third, openCommand(t, dir)} {
		if got := secrets(t, s, "anna"); !bytes.Equal(got[0], tok.Secret) {
			t.Error("got another secret back for anna; want that which was sealed")
		}
		if got := secrets(t, s, "bob"); !bytes.Equal(got[0], late.Secret) {
			t.Error("got another secret back for bob; want that which was sealed")
		}
	}
	_, err = third.Rekey(t.Context(), admin("rekey"))
	must(t, err)
	must(t, server.Close())
	if got := secrets(t, openServer(t, dir), "anna"); !bytes.Equal(got[0], tok.Secret) {
		t.Error("after a second rekey and a restart the secret is changed")
	}
}

// TestTwoRekeys has one rekey finish between the two halves of another: nothing
// may be sealed with a key that is no longer in the file.
func TestTwoRekeys(t *testing.T) {
	dir := t.TempDir()
	first, second := openCommand(t, dir), openCommand(t, dir)
	addToken(t, first, "anna")
	old, err := first.addKey(t.Context())
	must(t, err)
	_, err = first.useKey(t.Context(), old, admin("rekey"))
	must(t, err)
	lost, err := second.addKey(t.Context())
	must(t, err)
	must(t, first.dropKeys(t.Context()))
	if _, err := second.useKey(t.Context(), lost, admin("rekey")); err == nil {
		t.Error("tokens are sealed with a key that is not in the file: got no error; want one")
	}
	if got := secrets(t, openServer(t, dir), "anna"); len(got) != 1 {
		t.Error("got no token of anna; want one")
	}
}

// TestRekeyDuringStart rekeys after a server has read the keys and before it
// reads the tokens.
func TestRekeyDuringStart(t *testing.T) {
	dir := t.TempDir()
	tok := addToken(t, openCommand(t, dir), "anna")
	opt := Options{Dir: dir, Server: true, Now: time.Now}
	s, err := newStore(t.Context(), opt)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	cli, err := newStore(t.Context(), Options{Dir: dir, Now: time.Now})
	must(t, err)
	t.Cleanup(func() { cli.Close() })
	id, err := cli.addKey(t.Context())
	must(t, err)
	_, err = cli.db.Apply(t.Context(), admin("rekey"), op.Reseal{Key: id})
	must(t, err)
	must(t, cli.dropKeys(t.Context()))
	must(t, s.start(t.Context()))
	if got := secrets(t, s, "anna"); len(got) != 1 || !bytes.Equal(got[0], tok.Secret) {
		t.Error("got another secret back for anna; want that which was sealed")
	}
}

// TestRekeyFails has a token that does not open: nothing is changed.
func TestRekeyFails(t *testing.T) {
	dir := t.TempDir()
	s := openCommand(t, dir)
	addToken(t, s, "anna")
	addToken(t, s, "bob")
	_, err := beside(t, s).Exec(`UPDATE tokens SET secret = x'01' WHERE usr = 'bob'`)
	must(t, err)
	if _, err := s.Rekey(t.Context(), admin("rekey")); !errors.Is(err, seal.ErrSeal) {
		t.Errorf("got %v; want that a secret does not open", err)
	}
	must(t, s.Close())
	if got := secrets(t, openServer(t, dir), "anna"); len(got) != 1 {
		t.Error("got no token of anna; want one")
	}
}

func TestMigrate(t *testing.T) {
	dir := t.TempDir()
	s := openCommand(t, dir)
	tok := addToken(t, s, "anna")
	if got := secrets(t, s, "anna"); !bytes.Equal(got[0], tok.Secret) {
		t.Error("got another secret back for anna; want that which was sealed")
	}
	_, err := beside(t, s).Exec(`PRAGMA user_version = 99`)
	must(t, err)
	must(t, s.Close())
	if _, err := Open(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "older") {
		t.Errorf("a newer schema: got %v; want that the program is older", err)
	}
}

func TestManyTokens(t *testing.T) {
	s := openServer(t, t.TempDir())
	for range otp.MaxTokens {
		addToken(t, s, "anna")
	}
	if err := s.AddToken(t.Context(), otp.NewHOTP(mfa.NameOf("anna")), admin("add")); !errors.Is(err, otp.ErrTooMany) {
		t.Errorf("got %v; want ErrTooMany", err)
	}
}
