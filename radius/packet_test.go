package radius

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	layeh "layeh.com/radius"

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
				t.Fatalf("%s: %v", file, err)
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

// The responses of the RFCs' examples, against our Response Authenticator.
func TestResponseAuthenticator(t *testing.T) {
	for _, tt := range []struct{ name, requestAuth, response string }{
		{"RFC 2865 §7.1", "0f403f9473978057bd83d5cb98f4227a", "0200002686fe220e7624ba2a1005f6bf9b55e0b20606000000010f06000000000e06c0a80103"},
		{"RFC 5997 §6.1", "8a54f4686fb394c52866e302185d0623", "02da0014ef0d552a4bf2d693ec2b6fe8b5411d66"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := unhex(t, tt.response)
			want := bytes.Clone(p[4:20])
			copy(p[4:], unhex(t, tt.requestAuth))
			if got := NewSecret([]byte(testSecret)).digest(p); !bytes.Equal(got[:], want) {
				t.Errorf("got %x, want %x", got, want)
			}
		})
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Our intake agrees with layeh's parser on what is well formed.
func FuzzScan(f *testing.F) {
	for _, file := range fixtures(f) {
		f.Add(readFixture(f, file).datagram)
	}
	secret := NewSecret([]byte(testSecret))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		p := trim(datagram)
		if p == nil {
			return
		}
		var r request
		why := r.scan(p, 200)
		if why != keep {
			return
		}
		theirs, err := layeh.Parse(p, []byte(testSecret))
		if err != nil {
			t.Fatalf("kept a packet that layeh does not parse: %v", err)
		}
		n := 0
		for typ, v := range attributes(p) {
			if a := theirs.Attributes[n]; byte(a.Type) != typ || !bytes.Equal(a.Attribute, v) {
				t.Fatalf("attribute %d differs", n)
			}
			n++
		}
		if n != len(theirs.Attributes) {
			t.Fatalf("%d attributes, layeh has %d", n, len(theirs.Attributes))
		}
		if r.password != nil {
			plain, ok := decryptPassword(nil, r.password, r.auth(), secret)
			want, err := layeh.UserPassword(r.password, []byte(testSecret), r.auth())
			if ok && err == nil && !bytes.HasPrefix(plain, want) {
				t.Fatalf("password %q, layeh has %q", plain, want)
			}
		}
	})
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
			t.Fatal("the server panicked")
		}
	})
}

func FuzzUserPassword(f *testing.F) {
	f.Add([]byte("arctangent"), []byte("secret"), []byte("0123456789abcdef"))
	f.Add([]byte("ab\x00cd"), []byte("s"), []byte("0123456789abcdef"))
	f.Fuzz(func(t *testing.T, password, key, auth []byte) {
		secret := NewSecret(key)
		if len(auth) < authSize {
			return
		}
		auth = auth[:authSize]
		if plain, ok := decryptPassword(nil, password, auth, secret); ok != (len(password) >= 16 && len(password) <= 128 && len(password)%16 == 0) {
			t.Fatalf("length %d: %v %q", len(password), ok, plain)
		}
		if len(key) == 0 || len(password) > maxPassword || bytes.HasSuffix(password, []byte{0}) {
			return
		}
		w := newWriter(nil, AccessRequest, 0, auth, secret)
		w.password(string(password))
		encrypted := w.b[maOffset+authSize+2:]
		got, ok := decryptPassword(nil, encrypted, auth, secret)
		if !ok || !bytes.Equal(got, password) {
			t.Fatalf("got %q, %v; want %q", got, ok, password)
		}
		theirs, err := layeh.NewUserPassword(password, key, auth)
		if err != nil || !bytes.Equal(theirs, encrypted) {
			t.Fatalf("layeh encrypts it differently (%v)", err)
		}
	})
}
