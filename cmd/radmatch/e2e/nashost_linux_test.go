package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa/password/passwordtest"
)

// nasSecret is the secret between a NAS and a proxy.
const nasSecret = "secret-of-the-nas-and-the-proxy1"

// nasSection is a section of a page in docs that shows how a NAS is set.
type nasSection struct {
	t    *testing.T
	text string
}

func openSection(t *testing.T, page, name string) *nasSection {
	t.Helper()
	text, err := os.ReadFile("../../../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## "+name+"\n")
	if !ok {
		t.Fatalf("docs/%s has no section %s", page, name)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	return &nasSection{t, section}
}

var (
	codeBlock  = regexp.MustCompile("(?s)\n```\n(.*?)```")
	fileMark   = regexp.MustCompile(`(?m)^# (/\S+)\n`)
	clientLine = regexp.MustCompile(`(?m)^Client: ((?:` + "`[^`]+`" + `(?:, )?)+)`)
)

// install writes the files that the n-th way of the section shows (a way ends with
// what it says of radmatch's client) to where it says, with the secrets of the test.
func (s *nasSection) install(n int) {
	s.t.Helper()
	ends := clientLine.FindAllStringIndex(s.text, -1)
	begin := 0
	if n > 0 {
		begin = ends[n-1][1]
	}
	files := 0
	for _, block := range codeBlock.FindAllStringSubmatch(s.text[begin:ends[n][0]], -1) {
		marks := fileMark.FindAllStringSubmatchIndex(block[1], -1)
		for i, m := range marks {
			end := len(block[1])
			if i+1 < len(marks) {
				end = marks[i+1][0]
			}
			writeEtc(s.t, block[1][m[2]:m[3]], nasText(block[1][m[1]:end]))
			files++
		}
	}
	if files == 0 {
		s.t.Fatalf("the section shows no file:\n%s", s.text)
	}
}

func nasText(text string) string {
	return strings.NewReplacer("THE-SHARED-SECRET", testSecret, "SECRET-OF-THE-DEVICE", nasSecret).Replace(text)
}

// writeEtc writes a file of the host, which servers that are not root may read.
func writeEtc(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(name); err != nil && !os.IsNotExist(err) { // it may be a link
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// appendEtc adds to a file what every site has of its own.
func appendEtc(t *testing.T, name, text string) {
	t.Helper()
	old, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	writeEtc(t, name, string(old)+text)
}

// client is what the n-th way of the section says of radmatch's client.
func (s *nasSection) client(n int) string {
	return strings.ReplaceAll(clientLine.FindAllStringSubmatch(s.text, -1)[n][1], "`", "")
}

// serve starts a server at 192.0.2.10 whose client is as the n-th way of the
// section says. alice has a token, bob the device that is returned.
func (s *nasSection) serve(n int, more string) (*serverProcess, *testPhone) {
	s.t.Helper()
	keys := s.client(n)
	if !strings.Contains(keys, "addresses: ") {
		keys += ", addresses: [192.0.2.0/24, 127.0.0.1]"
	}
	head := strings.Replace(siteHead, `"127.0.0.1:0"`, `"192.0.2.10:1812"`, 1)
	head = strings.Replace(head, "listen: {", `listen: {accounting: ["192.0.2.10:1813"], `, 1)
	p := newServer(s.t, fmt.Sprintf("%sclients:\n  - {name: nas, secret: %s, %s}\nmfa: {reject_delay: 500ms%s}\n", head, testSecret, keys, more))
	p.addTOTP("alice")
	p.start()
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Log(p.log())
		}
	})
	return p, p.enroll("bob")
}

// onHost starts a program of the host.
func onHost(t *testing.T, args ...string) *pamSession {
	t.Helper()
	return startSession(t, exec.Command(needPeer(t, args[0]), args[1:]...))
}

// runHost runs a program of the host to its end.
func runHost(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s; want no error", args, err, out)
	}
	return string(out)
}

// certify writes certificate and key of a server with these names, and who
// issued it.
func certify(t *testing.T, cert, key, ca string, names ...string) {
	t.Helper()
	authority, err := passwordtest.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	c, k, err := authority.Issue(time.Now().Add(time.Hour), names...)
	if err != nil {
		t.Fatal(err)
	}
	writeEtc(t, cert, string(c))
	writeEtc(t, key, string(k))
	writeEtc(t, ca, string(authority.PEM))
}
