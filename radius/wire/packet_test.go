package wire

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	layeh "layeh.com/radius"
)

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
			if got := NewSecret([]byte(testSecret)).Digest(p); !bytes.Equal(got[:], want) {
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
		f.Add(readFixture(f, file))
	}
	secret := NewSecret([]byte(testSecret))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		p := Trim(datagram)
		if p == nil {
			return
		}
		var r Request
		err := r.Scan(p, 200)
		if err != nil {
			return
		}
		theirs, err := layeh.Parse(p, []byte(testSecret))
		if err != nil {
			t.Fatalf("kept a packet that layeh does not parse: got error %v; want none", err)
		}
		n := 0
		for typ, v := range Attributes(p) {
			if a := theirs.Attributes[n]; byte(a.Type) != typ || !bytes.Equal(a.Attribute, v) {
				t.Fatalf("attribute %d differs", n)
			}
			n++
		}
		if n != len(theirs.Attributes) {
			t.Fatalf("%d attributes, layeh has %d", n, len(theirs.Attributes))
		}
		if r.Password != nil {
			plain, ok := DecryptPassword(nil, r.Password, r.Auth(), secret)
			want, err := layeh.UserPassword(r.Password, []byte(testSecret), r.Auth())
			if ok && err == nil && !bytes.HasPrefix(plain, want) {
				t.Fatalf("password %q, layeh has %q", plain, want)
			}
		}
	})
}

func FuzzUserPassword(f *testing.F) {
	f.Add([]byte("arctangent"), []byte("secret"), []byte("0123456789abcdef"))
	f.Add([]byte("ab\x00cd"), []byte("s"), []byte("0123456789abcdef"))
	f.Fuzz(func(t *testing.T, password, key, auth []byte) {
		secret := NewSecret(key)
		if len(auth) < AuthSize {
			return
		}
		auth = auth[:AuthSize]
		if plain, ok := DecryptPassword(nil, password, auth, secret); ok != (len(password) >= 16 && len(password) <= 128 && len(password)%16 == 0) {
			t.Fatalf("length %d: %v %q", len(password), ok, plain)
		}
		if len(key) == 0 || len(password) > MaxPassword || bytes.HasSuffix(password, []byte{0}) {
			return
		}
		w := NewWriter(nil, AccessRequest, 0, auth, secret)
		w.password(string(password))
		encrypted := w.B[MAOffset+AuthSize+2:]
		got, ok := DecryptPassword(nil, encrypted, auth, secret)
		if !ok || !bytes.Equal(got, password) {
			t.Fatalf("got %q, %v; want %q", got, ok, password)
		}
		theirs, err := layeh.NewUserPassword(password, key, auth)
		if err != nil || !bytes.Equal(theirs, encrypted) {
			t.Fatalf("layeh encrypts it differently (%v)", err)
		}
	})
}
