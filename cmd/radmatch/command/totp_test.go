package command

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	pquerna "github.com/pquerna/otp"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/otp"
)

// shop is a configuration with an empty data_dir, and the program beside it.
type shop struct {
	t    *testing.T
	dir  string
	data string
}

func newShop(t *testing.T) *shop {
	dir := t.TempDir()
	s := &shop{t: t, dir: dir, data: filepath.Join(dir, "data")}
	users := "users:\n"
	for _, name := range []string{"anna", "bea", "bob", "carla"} {
		users += "  - {name: " + name + ", password: \"{NT}" + ntRightHorse + "\"}\n"
	}
	s.write("users.yaml", users)
	s.write("radmatch.yaml", `listen:
  radius: ["127.0.0.1:0"]
data_dir: `+s.data+`
primaries:
  - {name: local, type: file, path: users.yaml}
clients:
  - {name: vpn, addresses: [127.0.0.1], secret: a-secret-of-good-length-1234, primary: local}
`)
	return s
}

func (s *shop) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// Run returns what a command line prints and its exit code.
func (s *shop) run(stdin string, args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	var out, errs bytes.Buffer
	args = append([]string{"-c", filepath.Join(s.dir, "radmatch.yaml")}, args...)
	code = Run(s.t.Context(), args, strings.NewReader(stdin), &out, &errs)
	return out.String(), errs.String(), code
}

// ok runs a command that must succeed, and returns its stdout.
func (s *shop) ok(args ...string) string {
	s.t.Helper()
	out, errs, code := s.run("", args...)
	if code != console.ExitOK {
		s.t.Fatalf("radmatch %s: exit %d\n%s; want console.ExitOK", strings.Join(args, " "), code, errs)
	}
	return out
}

// fails runs a command that must end with code and say want on stderr.
func (s *shop) fails(code int, want string, args ...string) {
	s.t.Helper()
	_, errs, got := s.run("", args...)
	if got != code || !strings.Contains(errs, want) {
		s.t.Errorf("radmatch %s\n got exit %d, %s\nwant exit %d, %s", strings.Join(args, " "), got, errs, code, want)
	}
}

// server calls f with the database as the server opens it.
func (s *shop) server(f func(ctx context.Context, st *store.Store)) {
	s.t.Helper()
	st, err := store.Open(s.t.Context(), store.Options{Dir: s.data, Server: true})
	if err != nil {
		s.t.Fatal(err)
	}
	defer st.Close()
	f(s.t.Context(), st)
}

func (s *shop) tokens(user string) (tokens []otp.Token) {
	s.t.Helper()
	s.server(func(ctx context.Context, st *store.Store) {
		var err error
		if tokens, err = st.Tokens(ctx, mfa.NameOf(user)); err != nil {
			s.t.Fatal(err)
		}
	})
	return tokens
}

// audit returns the texts of the trail that name user, and fails on one without
// an operator.
func (s *shop) audit(user string) (texts []string) {
	s.t.Helper()
	s.server(func(ctx context.Context, st *store.Store) {
		lines, err := st.Events(ctx, store.Query{User: mfa.NameOf(user)})
		if err != nil {
			s.t.Fatal(err)
		}
		for _, l := range lines {
			e := l.Event
			if e.Kind != mfa.EventAdmin || e.Operator == "" {
				s.t.Errorf("event %+v: want an administrative one with its operator", e)
			}
			texts = append(texts, e.Text)
		}
	})
	return texts
}

const hardwareSecret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"

func TestTOTPAdd(t *testing.T) {
	s := newShop(t)
	out := s.ok("totp", "add", "Anna", "--digits", "8", "--period", "60", "--algorithm", "sha-256", "--issuer", "Example", "--no-qr")
	url := regexp.MustCompile(`otpauth://\S+`).FindString(out)
	key, err := pquerna.NewKeyFromURL(url)
	if err != nil {
		t.Fatal(err)
	}
	got := s.tokens("anna")
	if len(got) != 1 {
		t.Fatalf("got %d tokens; want 1", len(got))
	}
	token := got[0]
	if key.Secret() != otp.FormatSecret(token.Secret) || key.AccountName() != "anna" || key.Issuer() != "Example" || key.Period() != 60 ||
		token.Digits != 8 || token.Period != 60 || token.Algorithm != otp.SHA256 || token.User.String() != "anna" {
		t.Errorf("the token is not that of %s", url)
	}
	if spaced := regexp.MustCompile(`Secret: (.*)`).FindStringSubmatch(out); spaced == nil || strings.ReplaceAll(spaced[1], " ", "") != key.Secret() {
		t.Errorf("no secret in\n%s", out)
	}
	if strings.Contains(out, "█") {
		t.Error("--no-qr: got one")
	}
	if out := s.ok("totp", "add", "anna"); !strings.Contains(out, "█") {
		t.Errorf("no QR code in\n%s; want \"█\" in it", out)
	}
	if got := s.audit("anna"); len(got) != 2 || !strings.Contains(strings.Join(got, "\n"), "totp token "+token.ID+" added") || strings.Contains(fmt.Sprint(got), key.Secret()) {
		t.Errorf("trail: %q", got)
	}
}

// TestTOTPAddSecret: a secret that is given is registered and shown nowhere.
func TestTOTPAddSecret(t *testing.T) {
	for _, tt := range []struct {
		name  string
		stdin string
		args  []string
		want  otp.Token
	}{
		{"flag", "", []string{"--secret", hardwareSecret}, otp.Token{Kind: otp.TOTP, Digits: 6, Period: 30}},
		{"stdin", hardwareSecret + "\r\n", []string{"--secret-file", "-", "--period", "60"}, otp.Token{Kind: otp.TOTP, Digits: 6, Period: 60}},
		{"file", "", []string{"--secret-file", "FILE", "--label", "Acme"}, otp.Token{Kind: otp.TOTP, Digits: 6, Period: 30, Label: "Acme"}},
		{"hotp", "", []string{"--secret", hardwareSecret, "--hotp", "--counter", "41", "--digits", "8"}, otp.Token{Kind: otp.HOTP, Digits: 8, Next: 41}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newShop(t)
			file := s.write("secret", strings.ToLower(hardwareSecret)+"\n")
			for i, arg := range tt.args {
				if arg == "FILE" {
					tt.args[i] = file
				}
			}
			out, errs, code := s.run(tt.stdin, append([]string{"totp", "add", "anna"}, tt.args...)...)
			if code != console.ExitOK {
				t.Fatalf("exit %d: got %s; want console.ExitOK", code, errs)
			}
			if strings.Contains(strings.ToUpper(out+errs), hardwareSecret[:8]) || strings.Contains(out, "otpauth:") || strings.Contains(out, "█") {
				t.Errorf("the secret is shown in\n%s%s", out, errs)
			}
			got := s.tokens("anna")[0]
			if string(got.Secret) != "12345678901234567890" || got.Kind != tt.want.Kind || got.Digits != tt.want.Digits ||
				got.Period != tt.want.Period || got.Next != tt.want.Next || got.Label != tt.want.Label {
				t.Errorf("got %+v; want %+v", got, tt.want)
			}
		})
	}
}

func TestTOTPAddErrors(t *testing.T) {
	s := newShop(t)
	add := func(args ...string) []string { return append([]string{"totp", "add"}, args...) }
	s.fails(console.ExitUsage, "an argument is missing", add()...)
	s.fails(console.ExitUsage, "digits must be 6 or 8; got 7", add("anna", "--digits", "7")...)
	s.fails(console.ExitUsage, "period must be 30 or 60 seconds; got 0", add("anna", "--period", "0")...)
	s.fails(console.ExitUsage, `got "MD5"`, add("anna", "--algorithm", "md5")...)
	s.fails(console.ExitUsage, "user is empty", add("")...)
	s.fails(console.ExitUsage, "--counter goes with --hotp", add("anna", "--counter", "5")...)
	s.fails(console.ExitUsage, "secret is empty", add("anna", "--secret-file", "-")...)
	s.fails(console.ExitUsage, "secret has 5 bytes", add("anna", "--secret", "MZXW6YTB")...)
	s.fails(console.ExitUsage, "without any of", add("anna", "--issuer", "a:b")...)
	s.fails(console.ExitUsage, "exclude each other", add("anna", "--secret", hardwareSecret, "--secret-file", "-")...)
	if _, errs, code := s.run("", add("anna", "--secret", hardwareSecret[:16])...); code != console.ExitOK || !strings.Contains(errs, "80 bits") {
		t.Errorf("a short secret: got exit %d, %s; want a warning", code, errs)
	}
	s.fails(console.ExitFailure, "already registered", add("ANNA", "--secret", hardwareSecret[:16])...)
	for range otp.MaxTokens - 1 {
		s.ok(add("anna", "--no-qr")...)
	}
	s.fails(console.ExitFailure, "too many tokens", add("anna")...)
}

func TestTOTPImport(t *testing.T) {
	s := newShop(t)
	file := s.write("tokens.csv", "\ufeff"+otp.CSVHeader+"\r\n"+
		"anna,1001,2234567abcdef2234567abcdef,30,Acme,OTP 110\r\n"+
		"bea,1002,not base10,30,Acme,OTP 110\r\n"+
		"carla,1003,3334567abcdef2234567abcdef,60,Acme,\r\n"+
		"dora,1001,4434567abcdef2234567abcdef,30,Acme,OTP 110\r\n")
	out, errs, code := s.run("", "totp", "import", file)
	if code != console.ExitFailure || out != "2 imported, 2 bad\n" {
		t.Errorf("got exit %d, %q; want 1, 2 imported, 2 bad", code, out)
	}
	want := file + ":3: character 8 of the secret is not base32 (A-Z, 2-7)\n" + file + ":5: serial number \"1001\" stands in line 2 already\n"
	if errs != want {
		t.Errorf("bad rows\n got %s\nwant %s", errs, want)
	}
	if got := s.tokens("carla"); len(got) != 1 || got[0].Serial != "1003" || got[0].Period != 60 || got[0].Label != "Acme" {
		t.Errorf("carla's token: got %+v", got)
	}

	// Again: what is registered is a bad row now.
	_, errs, code = s.run("", "totp", "import", file)
	if code != console.ExitFailure || !strings.Contains(errs, file+":2: ") || !strings.Contains(errs, "already registered") {
		t.Errorf("again: got exit %d, %s", code, errs)
	}
	good := otp.CSVHeader + "\nbob,1005,5534567abcdef2234567abcdef,30,,\n"
	if out, errs, code := s.run(good, "totp", "import", "-"); code != console.ExitOK || out != "1 imported, 0 bad\n" || errs != "" {
		t.Errorf("stdin: got exit %d, %q, %q", code, out, errs)
	}
	s.fails(console.ExitFailure, "must be the header", "totp", "import", s.write("other.csv", "a;b\n"))
	s.fails(console.ExitFailure, "no such file", "totp", "import", "nothing.csv")
}

func TestTOTPListAndRemove(t *testing.T) {
	s := newShop(t)
	if out, errs, code := s.run("", "totp", "list"); out != "" || errs != "no tokens\n" || code != console.ExitOK {
		t.Errorf("empty list: got %q, %q, exit %d", out, errs, code)
	}
	s.run(otp.CSVHeader+"\nanna,1001,2234567abcdef2234567abcdef,30,Acme,OTP 110\n", "totp", "import", "-")
	s.ok("totp", "add", "anna", "--hotp", "--no-qr")
	s.ok("totp", "add", "bea", "--no-qr")
	s.ok("tap", "issue", "bea")
	all, anna := s.ok("totp", "list"), s.ok("totp", "list", "ANNA")
	if n := strings.Count(all, "\n"); n != 4 || !strings.Contains(all, "bea") {
		t.Errorf("all: got\n%s", all)
	}
	if strings.Contains(anna, "bea") || !strings.Contains(anna, "1001") || !strings.Contains(anna, "Acme OTP 110") || !strings.Contains(anna, "next 0") {
		t.Errorf("anna: got\n%s", anna)
	}
	if strings.Contains(strings.ToLower(all), "2234567abcdef") {
		t.Errorf("a secret is listed:\n%s; want no \"2234567abcdef\" in it", all)
	}
	s.fails(console.ExitUsage, "has 2 tokens; say which", "totp", "remove", "anna")
	s.fails(console.ExitFailure, "no such token", "totp", "remove", "anna", "1002")
	s.fails(console.ExitFailure, "no such token", "totp", "remove", "carla")
	s.ok("totp", "remove", "anna", "1001")
	out, errs, code := s.run("", "totp", "remove", "anna")
	if code != console.ExitOK || !strings.HasPrefix(out, "Removed token ") || !strings.Contains(errs, "require_user_match") {
		t.Errorf("the last one: got exit %d, %q, %q; want a note about require_user_match", code, out, errs)
	}
	if _, errs, _ := s.run("", "totp", "remove", "bea"); errs != "" { // the pass is left
		t.Errorf("not the last one: got %q", errs)
	}
	if got := len(s.tokens("bea")); got != 1 {
		t.Errorf("bea: got %d tokens; want the pass", got)
	}
}
