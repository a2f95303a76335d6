package radius

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/mfa"
)

// fixture is one file of testdata/packet: comments, `require VALUE` if it is not
// yes, `expect CLASS`, and the datagram in hexadecimal.
type fixture struct {
	require  Require
	expect   string
	datagram []byte
}

func readFixture(t testing.TB, file string) fixture {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var f fixture
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "#":
		case "require":
			if f.require, err = ParseRequire(rest); err != nil {
				t.Fatal(err)
			}
		case "expect":
			f.expect = rest
		default:
			b, err := hex.DecodeString(line)
			if err != nil {
				t.Fatalf("%s: got error %v; want none", file, err)
			}
			f.datagram = append(f.datagram, b...)
		}
	}
	return f
}

func fixtures(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("../testdata/packet/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no packets: %v", err)
	}
	return files
}

// classify takes a datagram through the intake and says what became of it.
func classify(r *rig, datagram []byte) string {
	r.arrive(datagram)
	st := r.Stats()
	switch {
	case st.Malformed > 0:
		return "malformed"
	case st.Clients[0].Status > 0:
		return "status"
	}
	for why := range st.Clients[0].Discarded {
		return "discard " + why
	}
	return ""
}

func describe(c mfa.Credential) string {
	switch c := c.(type) {
	case mfa.Password:
		return fmt.Sprintf("Password %q", string(c))
	case mfa.MSCHAPv2:
		return fmt.Sprintf("MSCHAPv2 %d", c.Ident)
	case mfa.Unsupported:
		return fmt.Sprintf("Unsupported %q", c.What)
	}
	return fmt.Sprintf("%T", c)
}

func TestPackets(t *testing.T) {
	for _, file := range fixtures(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			f := readFixture(t, file)
			r := newRig(t, func(c *Client) { c.RequireMA = f.require })
			handed := make(chan mfa.Credential, 1)
			r.auth.then = func(q *mfa.Request, reply func(mfa.Decision)) {
				handed <- q.Cred
				reply(mfa.Decision{Outcome: mfa.Discard})
			}
			got := classify(r, f.datagram)
			if got == "" {
				got = describe(<-handed)
			}
			if got != f.expect {
				t.Errorf("got %s, want %s", got, f.expect)
			}
		})
	}
}

// Whatever arrives, the server neither panics nor answers what is not signed.
func FuzzReceive(f *testing.F) {
	for _, file := range fixtures(f) {
		f.Add(readFixture(f, file).datagram)
	}
	f.Fuzz(func(t *testing.T, datagram []byte) {
		r := newRig(t, func(c *Client) { c.RequireMA = RequireAuto; c.Secrets = append(c.Secrets, []byte("other")) })
		done := make(chan struct{})
		r.auth.then = func(q *mfa.Request, reply func(mfa.Decision)) {
			reply(mfa.Decision{Outcome: mfa.Accept, Message: q.User.String()})
			close(done)
		}
		r.arrive(datagram)
		st := r.stats()
		if st.Signed+st.Unsigned > st.Status {
			<-done
		}
		if r.Stats().Panics > 0 {
			t.Fatal("got a panic of the server; want none")
		}
	})
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
