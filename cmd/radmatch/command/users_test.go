package command

import (
	"strings"
	"testing"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/otp"
)

// TestUnknownUser: no command does anything for a name that no primary knows, or
// where none answers; --literal does.
func TestUnknownUser(t *testing.T) {
	commands := [][]string{
		{"user", "block", "ana"}, {"user", "unblock", "ana"}, {"user", "show", "ana"}, {"totp", "add", "ana", "--no-qr"}, {"totp", "list", "ana"},
		{"tap", "issue", "ana"}, {"method", "default", "ana", "otp"}, {"device", "invite", "ana", "--no-qr"}, {"device", "list", "ana"}, {"events", "--user", "ana"},
	}
	removals := [][]string{{"totp", "remove", "ana"}, {"tap", "revoke", "ana"}, {"device", "remove", "ana", "phone"}, {"device", "add", "ana", "--provider", "topics"}}
	for _, tt := range []struct{ name, primary, want string }{
		{"nobody", "{name: local, type: file, path: users.yaml}", `no primary knows "ana"`},
		{"down", `{name: local, type: ldap, url: "ldap://127.0.0.1:9", insecure_plaintext: true, base_dn: "dc=example,dc=org"}`, "primary local gives no answer: "},
		{"cannot be read", `{name: local, type: file, path: gone.yaml}`, "primary local gives no answer: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newShop(t)
			s.primary(tt.primary)
			for _, args := range append(commands, removals...) {
				s.fails(console.ExitFailure, tt.want, args...)
				s.fails(console.ExitFailure, "--literal", args...)
			}
			row := otp.CSVHeader + "\nana,1005,5534567abcdef2234567abcdef,30,,\n"
			if _, errs, code := s.run(row, "totp", "import", "-"); code != console.ExitFailure || !strings.Contains(errs, tt.want) {
				t.Errorf("import: exit %d, %s", code, errs)
			}
			if got := append(s.audit("ana"), s.audit("")...); len(got) > 0 {
				t.Errorf("something was done: got %q; want none", got)
			}
			if out, errs, code := s.run(row, "totp", "import", "--literal", "-"); code != console.ExitOK {
				t.Errorf("import --literal: exit %d: got %s%s; want console.ExitOK", code, out, errs)
			}
			for _, args := range commands {
				s.ok(append(args, "--literal")...)
			}
		})
	}
}

// primary puts another primary into the file.
func (s *shop) primary(entry string) {
	s.t.Helper()
	s.write("topics.key", strings.Repeat("0123456789abcdef", 2))
	s.write("radmatch.yaml", `listen:
  radius: ["127.0.0.1:0"]
data_dir: `+s.data+`
primaries:
  - `+entry+`
push:
  - {name: topics, type: ntfy, url: "https://ntfy.example.org", topic_key_file: topics.key}
clients:
  - {name: vpn, addresses: [127.0.0.1], secret: a-secret-of-good-length-1234, primary: local}
`)
}

// TestUserByAnotherName: a name of which the primary makes another one counts as
// that, and the operator is told.
func TestUserByAnotherName(t *testing.T) {
	s := newShop(t)
	s.primary(`{name: local, type: none, default_domain: CORP, domains: [example.org]}`)
	for _, args := range [][]string{
		{"user", "block", "anna@example.org"}, {"user", "unblock", "anna@example.org"}, {"totp", "add", `CORP\anna`, "--no-qr"}, {"tap", "issue", "anna@corp"},
		{"method", "default", "anna@example.org", "otp"}, {"device", "invite", "anna@example.org", "--no-qr"}, {"events", "--user", "anna@example.org"},
	} {
		out, errs, code := s.run("", args...)
		if code != console.ExitOK || !strings.Contains(errs, "the user is anna (you typed ") || strings.Contains(out, "example.org") || !strings.Contains(errs, "cannot look users up") {
			t.Errorf("%q: exit %d\n%s%s; want exit 0, \"the user is anna (you typed \" in it, no \"example.org\" in it, \"cannot look users up\" in it", args, code, out, errs)
		}
	}
	_, errs, code := s.run(otp.CSVHeader+"\nanna@example.org,1005,5534567abcdef2234567abcdef,30,,\neva@other.org,1006,5634567abcdef2234567abcdef,30,,\n", "totp", "import", "-")
	if code != console.ExitFailure || !strings.Contains(errs, "anna (anna@example.org in the file)") || !strings.Contains(errs, `-:3: no primary knows "eva@other.org"`) {
		t.Errorf("import: exit %d, %s", code, errs)
	}
	if got := s.tokens("anna"); len(got) != 3 {
		t.Errorf("anna has %d tokens and passes; want 3", len(got))
	}
	if got := s.tokens("eva@other.org"); len(got) > 0 {
		t.Errorf("a token of a user whom no primary knows: got %+v; want none", got)
	}
}

// TestCheckNames: check --connect says which registered names no primary has.
func TestCheckNames(t *testing.T) {
	s := newShop(t)
	s.ok("user", "block", "anna")
	out, _, code := s.run("", "check", "--connect")
	if code != console.ExitOK || strings.Contains(out, "registered users are called otherwise") {
		t.Errorf("nothing to say: exit %d\n%s; want console.ExitOK, no \"registered users are called otherwise\" in it", code, out)
	}
	s.ok("user", "block", "anna@example.org", "--literal")
	out, _, code = s.run("", "check", "--connect")
	if code != console.ExitOK || !strings.Contains(out, "warning: 1 registered users are called otherwise at the primary, or have left: anna@example.org: ") {
		t.Errorf("exit %d\n%s", code, out)
	}
	s.primary(`{name: local, type: none}`)
	if out, _, _ = s.run("", "check", "--connect"); !strings.Contains(out, "2 of the registered users is not known: primary local cannot look users up") {
		t.Errorf("a primary that cannot look up:\n%s; want \"2 of the registered users is not known: primary local cannot look users up\" in it", out)
	}
}
