package command

import (
	"os"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/radius/wire"
)

func TestHash(t *testing.T) {
	for _, c := range []struct {
		name, stdin string
		args        []string
		code        int
		out, err    string // what stdout begins with, what stderr holds
	}{
		{"argon2id", "right horse\n", nil, console.ExitOK, "$argon2id$v=19$m=19456,t=2,p=1$", ""},
		{"no newline", "right horse", nil, console.ExitOK, "$argon2id$", ""},
		{"CRLF", "right horse\r\n", []string{"--scheme", "nt"}, console.ExitOK, "{NT}394F0BDBA25738B048920D45059E48F5\n", ""},
		{"one line", "right horse\nmore\n", []string{"--scheme", "nt"}, console.ExitOK, "{NT}394F0BDBA25738B048920D45059E48F5\n", ""},
		{"bcrypt", "right horse\n", []string{"--scheme=bcrypt"}, console.ExitOK, "$2a$10$", ""},
		{"empty", "\n", nil, console.ExitFailure, "", "no password"},
		{"nothing", "", nil, console.ExitFailure, "", "no password"},
		{"long", strings.Repeat("secret", 100), nil, console.ExitFailure, "", "1 to 256 octets"},
		{"unknown scheme", "x\n", []string{"--scheme", "md5"}, console.ExitUsage, "", "--scheme must be argon2id, bcrypt or nt"},
		{"a password as argument", "", []string{"hunter2"}, console.ExitUsage, "", "unexpected argument"},
	} {
		var stdout, stderr strings.Builder
		code := Run(t.Context(), append([]string{"hash"}, c.args...), strings.NewReader(c.stdin), &stdout, &stderr)
		if code != c.code || !strings.HasPrefix(stdout.String(), c.out) || !strings.Contains(stderr.String(), c.err) {
			t.Errorf("%s: exit %d, %q, %q", c.name, code, stdout.String(), stderr.String())
		}
		if code != console.ExitOK && stdout.Len() > 0 {
			t.Errorf("%s: failed and printed %q", c.name, stdout.String())
		}
		if strings.Contains(stdout.String()+stderr.String(), "right horse") {
			t.Errorf("%s: the password was printed; want no \"right horse\" in it", c.name)
		}
	}
}

// What `radmatch hash` prints is taken by the users file.
func TestHashIsTaken(t *testing.T) {
	var stdout strings.Builder
	if code := Run(t.Context(), []string{"hash"}, strings.NewReader("right horse\n"), &stdout, &stdout); code != console.ExitOK {
		t.Fatal(stdout.String())
	}
	path := t.TempDir() + "/users.yaml"
	if err := os.WriteFile(path, []byte("users:\n  - name: alice\n    password: "+stdout.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := password.OpenFile(path, wire.StandardDictionary().ParseAttribute, password.NewGate())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Check(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse")); err != nil {
		t.Error(err)
	}
}
