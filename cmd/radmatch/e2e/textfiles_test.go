package e2e

import (
	"encoding/binary"
	"os"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/radius/wire"
)

// asWindows is a text as Notepad writes "Unicode": UTF-16 with a mark, CR LF.
func asWindows(text string) string {
	b := binary.LittleEndian.AppendUint16(nil, 0xfeff)
	for _, u := range utf16.Encode([]rune(strings.ReplaceAll(text, "\n", "\r\n"))) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return string(b)
}

// TestFilesOfWindows: every file that an operator writes may come from Windows,
// with a byte order mark, CR LF and blanks, or in UTF-16.
func TestFilesOfWindows(t *testing.T) {
	t.Parallel()
	head := "# Größe\n" + siteHead
	config := head + "clients:\n  - {name: vpn, addresses: [127.0.0.1], secret_file: secret}\n" +
		"  - {name: lan, addresses: [127.0.0.2], secret_file: secret16}\nmfa: {reject_delay: 500ms}\ndictionaries: dict\n"
	for name, as := range map[string]func(string) string{
		"mark": func(s string) string { return "\ufeff" + strings.ReplaceAll(s, "\n", "\r\n") }, "UTF-16": asWindows,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newServer(t, as(config))
			if err := os.Mkdir(p.path("dict"), 0o700); err != nil {
				t.Fatal(err)
			}
			p.write("dict/dictionary", as("VENDOR Example 32473\nBEGIN-VENDOR Example\nATTRIBUTE Example-Role 1 string\nEND-VENDOR Example\n"))
			p.write("users.yaml", as(strings.Replace(scriptUsers, "users:\n", "users:\n  - {name: zoé, password: \"{NT}"+rightHorse+"\", reply: {Example-Role: a}}\n", 1)))
			p.write("secret", as(testSecret+" \n\n"))
			p.write("secret16", asWindows(testSecret))
			p.write("token", as("JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP \n"))
			if out, code := p.output("totp", "add", "alice", "--secret-file", p.path("token")); code != console.ExitOK {
				t.Fatalf("exit %d: got %s; want console.ExitOK", code, out)
			}
			if out, code := p.output("check", "--connect"); code != console.ExitOK || strings.Contains(out, "hardly") {
				t.Errorf("check: exit %d: got %s; want console.ExitOK, no \"hardly\" in it", code, out)
			}
			p.start()
			for _, addr := range []string{"127.0.0.1", "127.0.0.2"} {
				p.nasSocket(addr).expect(signIn("alice", ""), wire.AccessChallenge)
			}
		})
	}
}

// TestOddValues: check says what was hardly meant so, in every place where a
// secret or a name must be exact, and repeats no secret.
func TestOddValues(t *testing.T) {
	t.Parallel()
	p := newServer(t, `listen: {radius: ["127.0.0.1:0"], web: "127.0.0.1:0"}
data_dir: data
primaries:
  - name: ad
    type: ldap
    url: ldaps://dc.example.org
    bind_dn: “cn=svc,dc=example,dc=org”
    bind_password_file: password
    base_dn: ${BASE}
  - {name: nps, type: radius, servers: [{address: "127.0.0.1:9", secret_file: upstream}]}
  - {name: local, type: file, path: users.yaml}
push:
  - {name: chat, type: webhook, url: "https://chat.example.org/", secret_file: hook}
clients:
  - {name: vpn, addresses: [127.0.0.1], secret: $RADIUS_SECRET, primary: [local]}
  - {name: lan, addresses: [127.0.0.2], secret_file: lan, primary: [local]}
mfa: {reject_delay: 500ms}
`)
	const hidden = "hunter2-hunter2-hunter2-hunter2-7"
	p.write("password", "${PASSWORD}\n")
	p.write("upstream", "'"+hidden+"'\n")
	p.write("hook", "“"+hidden+"”\n")
	p.write("lan", hidden+"\u200b"+hidden+"\n")
	out, _ := p.output("check")
	for _, want := range []string{
		"bind_dn: it has typographic quotes", "base_dn: it looks like a variable", "bind_password_file: password holds a secret that was hardly meant so: it looks like a variable",
		"servers[0].secret_file: upstream holds a secret that was hardly meant so: the quotes around it are part of it",
		"push[0].secret_file: hook holds a secret that was hardly meant so: it has typographic quotes",
		"clients[0].secret: it looks like a variable", "clients[1].secret_file: lan holds a secret that was hardly meant so: it has characters that nobody sees",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("check does not say %q", want)
		}
	}
	if t.Failed() || strings.Contains(out, hidden) {
		t.Errorf("check says:\n%s", out)
	}
}
