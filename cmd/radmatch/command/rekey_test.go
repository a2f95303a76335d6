package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
)

func TestRekeyCommand(t *testing.T) {
	s := newShop(t)
	s.fails(console.ExitFailure, "the first start makes it", "rekey", "--prepare")
	s.ok("totp", "add", "anna", "--no-qr")
	before := s.tokens("anna")
	if out := s.ok("rekey"); out != "1 tokens sealed with a new key\n" {
		t.Errorf("got %q", out)
	}
	if after := s.tokens("anna"); len(after) != 1 || string(after[0].Secret) != string(before[0].Secret) {
		t.Error("the token is not what it was")
	}
	if out := s.ok("rekey", "--prepare"); !strings.Contains(out, "Added key 3 to "+filepath.Join(s.data, "seal.key")) {
		t.Errorf("got %q, want that key 3 was added", out)
	}
	s.ok("rekey")
	keys, err := os.ReadFile(filepath.Join(s.data, "seal.key"))
	if err != nil || !strings.Contains(string(keys), "\n3 ") || strings.Contains(string(keys), "\n2 ") {
		t.Errorf("got %v, a key file without key 3 or with key 2", err)
	}
}

// withSeal writes a section seal into the configuration.
func (s *shop) withSeal(section string) {
	s.t.Helper()
	file := filepath.Join(s.dir, "radmatch.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("radmatch.yaml", "seal: "+section+"\n"+string(text))
}

// A key file outside of data_dir is made, used, extended and kept private.
func TestKeyFileElsewhere(t *testing.T) {
	s := newShop(t)
	s.withSeal("{key_file: keys/seal.key}")
	file := filepath.Join(s.dir, "keys", "seal.key")
	if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if out := s.ok("rekey", "--prepare"); !strings.Contains(out, "Added key 1 to "+file) || !strings.Contains(out, "must be able to read it") {
		t.Errorf("got %q, want that the file was made", out)
	}
	s.ok("totp", "add", "anna", "--no-qr")
	if _, err := os.Stat(filepath.Join(s.data, "seal.key")); err == nil {
		t.Error("there is a seal.key in data_dir too; want none")
	}
	if out := s.ok("rekey", "--prepare"); !strings.Contains(out, "Added key 2 to "+file) || !strings.Contains(out, "Copy the file to the other nodes") {
		t.Errorf("got %q, want that key 2 was added", out)
	}
	if out := s.ok("rekey"); !strings.HasPrefix(out, "1 tokens sealed with a new key\n") {
		t.Errorf("got %q", out)
	}
	if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), "\n2 ") || strings.Contains(string(text), "\n1 ") {
		t.Errorf("got %v, a key file without key 2 or with key 1", err)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	s.fails(console.ExitConfig, "seal.key_file: must not be for everyone on this machine", "totp", "list", "anna")
	s.fails(console.ExitConfig, "seal.key_file: must not be for everyone on this machine", "rekey")
}

// Keys in the environment are read there. Another value opens nothing, and none is named.
func TestKeysInEnvironment(t *testing.T) {
	s := newShop(t)
	s.withSeal("{key_env: RADMATCH_TEST_KEYS}")
	first := "1 " + strings.Repeat("A", 43) + "="
	second := "2 " + strings.Repeat("B", 42) + "A="
	s.fails(console.ExitFailure, "environment variable RADMATCH_TEST_KEYS is not set", "totp", "add", "anna", "--no-qr")
	t.Setenv("RADMATCH_TEST_KEYS", first)
	s.ok("totp", "add", "anna", "--no-qr")
	s.fails(console.ExitFailure, "the keys are in the environment", "rekey")
	s.fails(console.ExitFailure, "the keys are in the environment", "rekey", "--prepare")
	t.Setenv("RADMATCH_TEST_KEYS", first+","+second)
	s.ok("rekey")
	t.Setenv("RADMATCH_TEST_KEYS", second)
	s.ok("user", "show", "anna")
	t.Setenv("RADMATCH_TEST_KEYS", first)
	s.fails(console.ExitFailure, "is not the key that radmatch.db was sealed with", "user", "show", "anna")
}
