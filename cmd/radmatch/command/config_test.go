package command

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/providers"
	"github.com/radmatch/radmatch/cmd/radmatch/site"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/mfa/password/ldap"
	"github.com/radmatch/radmatch/radius/wire"
)

// command runs one command line without a terminal.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Run(t.Context(), args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

const goodConfig = `primaries:
  - {name: local, type: file, path: users.yaml}
clients:
  - {name: vpn, addresses: [203.0.113.0/24], secret: 8-PtwkGzXq2vNc4LrT}
web: {public_url: "https://mfa.example.org"}
`

func TestDocsAreFresh(t *testing.T) {
	got, err := os.ReadFile("../../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != config.Markdown(providers.Known()) {
		t.Error("got another docs/configuration.md than config describe --markdown prints; want the same: make docs")
	}
}

// TestDocumentedUsers loads the users file of the documentation.
func TestDocumentedUsers(t *testing.T) {
	_, rest, _ := strings.Cut(config.Markdown(providers.Known()), "## The users file")
	_, rest, _ = strings.Cut(rest, "```yaml\n")
	text, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("got no example of users in the page; want one")
	}
	f, err := password.OpenFile(writeFile(t, filepath.Join(t.TempDir(), "users.yaml"), text), wire.StandardDictionary().ParseAttribute, password.NewGate())
	if err != nil {
		t.Fatal(err)
	}
	if f.Len() != 2 {
		t.Errorf("got %d users; want 2", f.Len())
	}
}

// TestDocumentedDirectory checks the configuration of docs/active-directory.md,
// with what its last step adds to the primary.
func TestDocumentedDirectory(t *testing.T) {
	text, err := os.ReadFile("../../../docs/active-directory.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 2 {
		t.Fatalf("%d blocks of YAML, want 2", len(blocks))
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "vpn-secret"), "8-PtwkGzXq2vNc4LrT\n")
	writeFile(t, filepath.Join(dir, "ad-password"), "of the account that searches\n")
	writeFile(t, filepath.Join(dir, "ad-ca.pem"), rootPEM(t))
	whole := strings.ReplaceAll(blocks[0][1], "/etc/radmatch", dir)
	whole = strings.Replace(whole, "clients:\n", blocks[1][1]+"clients:\n", 1)
	file := writeFile(t, filepath.Join(dir, "radmatch.yaml"), whole)
	if code, out, _ := command(t, "check", "-c", file); code != console.ExitOK {
		t.Errorf("exit %d\n%s; want console.ExitOK", code, out)
	}
	cfg, err := site.ReadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	if s := cfg.Primaries[0].Settings.(*ldap.Settings); s.NTLMAuth != "/usr/bin/ntlm_auth" || s.NTLMHelpers != 4 || len(s.URLs) != 2 {
		t.Errorf("got %+v", s)
	}
}

// TestDocumentedYAML: each example of a page for operators is a part of a
// configuration, so that nothing but other parts and files may be missing in it.
func TestDocumentedYAML(t *testing.T) {
	missing := regexp.MustCompile(`: warning: |must be there|must be readable|must not be there without listen.accounting`)
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```")
	for _, page := range []string{"ldap", "upstream", "rd-gateway", "clients", "attributes", "accounting", "push", "push-providers", "tls", "web-push", "proxies"} {
		text, err := os.ReadFile("../../../docs/" + page + ".md")
		if err != nil {
			t.Fatal(err)
		}
		found := examples.FindAllSubmatch(text, -1)
		if len(found) == 0 {
			t.Errorf("%s.md has no example", page)
		}
		for _, example := range found {
			site := strings.ReplaceAll(string(example[1]), ", …}", "}")
			file := writeFile(t, filepath.Join(t.TempDir(), "radmatch.yaml"), site)
			code, out, _ := command(t, "check", "-c", file)
			for line := range strings.Lines(out) {
				if code == console.ExitConfig && !missing.MatchString(line) {
					t.Errorf("%s.md: %s%s", page, strings.TrimPrefix(line, file), site)
				}
			}
		}
	}
}

// TestConfigDescribe: both forms load as they are, and the short one is much shorter.
func TestConfigDescribe(t *testing.T) {
	lines := map[string]int{}
	for _, form := range [][]string{{"config", "describe"}, {"config", "describe", "--all"}} {
		code, text, _ := command(t, form...)
		if code != console.ExitOK {
			t.Fatalf("%v: exit: got %d; want %d", form, code, console.ExitOK)
		}
		dir := t.TempDir()
		file := writeFile(t, filepath.Join(dir, "radmatch.yaml"), text)
		writeFile(t, filepath.Join(dir, "users.yaml"), "users: []\n")
		if code, out, _ := command(t, "check", "-c", file); code != console.ExitOK {
			t.Errorf("%v: exit %d\n%s; want console.ExitOK", form, code, out)
		}
		if _, again, _ := command(t, form...); again == text {
			t.Errorf("%v: the secret is the same each time", form)
		}
		lines[form[len(form)-1]] = strings.Count(text, "\n")
	}
	if few, all := lines["describe"], lines["--all"]; few == 0 || few > all/2 {
		t.Errorf("got %d lines, and %d with --all", few, all)
	}
	if code, out, _ := command(t, "config", "schema"); code != console.ExitOK || !strings.HasPrefix(out, "{\n") {
		t.Errorf("got exit %d\n%s; want exit 0, \"{\n\" first", code, out)
	}
}

func TestTenMistakes(t *testing.T) {
	file := "../../../testdata/config/bad/tenmistakes.yaml"
	code, stdout, _ := command(t, "check", "-c", file)
	n := 0
	for line := range strings.Lines(stdout) {
		if strings.HasPrefix(line, file+":") && !strings.Contains(line, ": warning: ") {
			n++
		}
	}
	if code != console.ExitConfig || n != 10 {
		t.Errorf("check: exit %d, %d lines\n%s; want console.ExitConfig, 10", code, n, stdout)
	}
	code, stdout, stderr := command(t, "serve", "-c", file)
	if code != console.ExitConfig || stdout != "" || strings.Count(stderr, "\n") != 11 || strings.Contains(stderr, "warning") ||
		!strings.HasPrefix(stderr, "radmatch: error: "+file+":2: ") || !strings.HasSuffix(stderr, "\nradmatch: hint: radmatch check -c "+file+"\n") {
		t.Errorf("serve: exit %d\n%s%s", code, stdout, stderr)
	}
}

// TestRenamedKeys: a key by its former name is an error at its place that says the
// new one.
func TestRenamedKeys(t *testing.T) {
	file := "../../../testdata/config/bad/renamed.yaml"
	for _, name := range []string{"check", "serve"} {
		code, stdout, stderr := command(t, name, "-c", file)
		if code != console.ExitConfig {
			t.Errorf("%s: got exit code %d, want %d", name, code, console.ExitConfig)
		}
		for _, want := range []string{":4: clients[0].address: is now address_attribute", ":6: clients[2].budget: is now nas_timeout\n", ":11: lockout.codes: is now passcodes\n"} {
			if !strings.Contains(stdout+stderr, file+want) {
				t.Errorf("%s: got\n%s%swant %q", name, stdout, stderr, want)
			}
		}
	}
}

func TestNoConfig(t *testing.T) {
	code, _, stderr := command(t, "serve", "-c", filepath.Join(t.TempDir(), "none.yaml"))
	if code != console.ExitConfig || !strings.Contains(stderr, "none.yaml: must be readable: no such file") || !strings.Contains(stderr, "hint: radmatch quickstart") {
		t.Errorf("exit %d\n%s; want console.ExitConfig, \"none.yaml: must be readable: no such file\" in it, \"hint: radmatch quickstart\" in it", code, stderr)
	}
}

func TestCheckOverride(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "users.yaml"), goodUsers)
	file := writeFile(t, filepath.Join(dir, "radmatch.yaml"), goodConfig)
	const note = "NPS extensions before 1.2.2216.1"
	for _, tt := range []struct {
		env, want string
		note      bool
		code      int
	}{
		{"", "client vpn:  override_number_matching_with_otp false  (default)\n", true, console.ExitOK},
		{"TRUE", "client vpn:  override_number_matching_with_otp true  (environment)\n", false, console.ExitOK},
		{"FALSE", "client vpn:  override_number_matching_with_otp false  (environment)\n", false, console.ExitOK},
		{"true", "environment: OVERRIDE_NUMBER_MATCHING_WITH_OTP: must be TRUE or FALSE, in capitals; got \"true\"\n", false, console.ExitConfig},
	} {
		t.Setenv("OVERRIDE_NUMBER_MATCHING_WITH_OTP", tt.env)
		code, out, _ := command(t, "check", "-c", file)
		if code != tt.code || !strings.HasPrefix(out, tt.want) || strings.Contains(out, note) != tt.note {
			t.Errorf("%q: exit %d\n%s", tt.env, code, out)
		}
	}
}

func TestCheckWarnsOfUsers(t *testing.T) {
	dir := t.TempDir()
	file, users := writeFile(t, filepath.Join(dir, "radmatch.yaml"), goodConfig), writeFile(t, filepath.Join(dir, "users.yaml"), "users: []\n")
	const want = "users.yaml: warning: everyone on this machine can read the hashes in it"
	if _, out, _ := command(t, "check", "-c", file); strings.Contains(out, "warning") {
		t.Errorf("without a reason:\n%s; want no \"warning\" in it", out)
	}
	if err := os.Chmod(users, 0o644); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := command(t, "check", "-c", file); code != console.ExitOK || !strings.Contains(out, want) {
		t.Errorf("exit %d\n%s", code, out)
	}
}

func TestCheckConnect(t *testing.T) {
	goodConfig := strings.Replace(goodConfig, "mfa.example.org", "127.0.0.1:9", 1) + // it is fetched
		"listen: {radius: ['127.0.0.1:0'], web: '127.0.0.1:0'}\n"
	users := "users:\n  - name: alice\n    password: \"{NT}8846f7eaee8fb117ad06bdd830b7586c\"\n"
	for _, tt := range []struct {
		name, config, users string
		code                int
		want                []string
	}{
		{"good", goodConfig, users, console.ExitOK, []string{
			"data: is not there yet; the first start makes it\n", "primary local: 1 users\n", "push phone: ok\n", "radmatch.yaml: can be served\n"}},
		{"bad users", goodConfig, users + "  - {name: bob, password: hunter2}\n  - {nam: eve}\n", console.ExitConfig, []string{
			"radmatch.yaml:2: primaries[0]: ", "users.yaml:4: users[1].password: ", "users.yaml:5: users[2].nam: ", "push phone: ok\n"}},
		{"no users", goodConfig, "", console.ExitConfig, []string{"radmatch.yaml:2: primaries[0]: ", "no such file or directory"}},
		{"data_dir is a file", goodConfig + "data_dir: users.yaml\n", users, console.ExitConfig, []string{"users.yaml: ", "primary local: 1 users\n"}},
		{"data_dir in a file", goodConfig + "data_dir: users.yaml/data\n", users, console.ExitConfig, []string{"radmatch.yaml:7: data_dir: must be a folder that can be made", "not a directory"}},
		{"data_dir where none can be made", goodConfig + "data_dir: /proc/radmatch/data\n", users, console.ExitConfig, []string{"radmatch.yaml:7: data_dir: must be a folder that can be made"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			file := writeFile(t, filepath.Join(dir, "radmatch.yaml"), tt.config)
			if tt.users != "" {
				writeFile(t, filepath.Join(dir, "users.yaml"), tt.users)
			}
			code, out, stderr := command(t, "check", "--connect", "-c", file)
			if code != tt.code {
				t.Errorf("exit %d, want %d\n%s%s", code, tt.code, out, stderr)
			}
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			if strings.Contains(out, "hunter2") {
				t.Errorf("a password is shown\n%s; want no \"hunter2\" in it", out)
			}
			if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
				t.Error("check made the data_dir: got no error; want one")
			}
		})
	}
}

// Reply attributes that no Access-Accept can hold are found when the file is
// read: at a login the event would say accept and the answer reject.
func TestReplyThatDoesNotFit(t *testing.T) {
	dir := t.TempDir()
	file := writeFile(t, filepath.Join(dir, "radmatch.yaml"), strings.Replace(goodConfig, "mfa.example.org", "127.0.0.1:9", 1))
	classes := strings.Repeat("      - {Class: "+strings.Repeat("x", 253)+"}\n", 20)
	users := writeFile(t, filepath.Join(dir, "users.yaml"),
		"users:\n  - {name: bob, password: \"{NT}8846f7eaee8fb117ad06bdd830b7586c\"}\n"+
			"  - name: alice\n    password: \"{NT}8846f7eaee8fb117ad06bdd830b7586c\"\n    reply:\n"+classes)
	code, out, _ := command(t, "check", "--connect", "-c", file)
	if want := users + ":3: users[1].reply: must be at most 2875 octets in an answer; got 5100"; code != console.ExitConfig || !strings.Contains(out, want) {
		t.Errorf("exit %d, want %q in:\n%s", code, want, out)
	}
}

// Two primaries never share a user by chance: methods, blocks and prompts belong
// to a name, so that the guest alice could approve for the employee alice.
func TestPrimariesShareNoUser(t *testing.T) {
	const hash = `password: "{NT}8846f7eaee8fb117ad06bdd830b7586c"`
	dir := t.TempDir()
	file := writeFile(t, filepath.Join(dir, "radmatch.yaml"), `primaries:
  - {name: staff, type: file, path: staff.yaml}
  - {name: guests, type: file, path: guests.yaml}
clients:
  - {name: vpn, addresses: [203.0.113.0/24], secret: 8-PtwkGzXq2vNc4LrT, primary: staff}
  - {name: wifi, addresses: [198.51.100.0/24], secret: 8-PtwkGzXq2vNc4LrU, primary: guests}
web: {public_url: "https://127.0.0.1:9"}
`)
	writeFile(t, filepath.Join(dir, "staff.yaml"), "users:\n  - {name: Alice, "+hash+"}\n")
	for guest, code := range map[string]int{"alice": console.ExitConfig, "guest-alice": console.ExitOK} {
		writeFile(t, filepath.Join(dir, "guests.yaml"), "users:\n  - {name: "+guest+", "+hash+"}\n")
		want := file + `:3: primaries[1]: user "alice" must not be in primary "staff" too`
		got, out, _ := command(t, "check", "--connect", "-c", file)
		if got != code || strings.Contains(out, want) != (code != console.ExitOK) {
			t.Errorf("%s: exit %d, want %d:\n%s", guest, got, code, out)
		}
	}
}
