package wire

import (
	"bytes"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/mfa"
)

func TestParseAnswer(t *testing.T) {
	secret := NewSecret([]byte(testSecret))
	build := func(change func(*Writer)) []byte {
		w := NewWriter(nil, AccessAccept, 5, authOf(1)[:], secret)
		w.Text(TypeReplyMessage, "hello")
		if change != nil {
			change(&w)
		}
		p, err := w.SealAnswer()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	unsigned := build(nil)
	unsigned = append(unsigned[:HeaderSize:HeaderSize], unsigned[MAOffset+16:]...)
	unsigned[3] = byte(len(unsigned))
	copy(unsigned[4:], authOf(1)[:])
	digest := secret.Digest(unsigned)
	copy(unsigned[4:], digest[:])
	tampered := build(nil)
	tampered[0] = byte(AccessReject)
	onlyMA := build(nil)
	onlyMA[4] ^= 1
	onlyResponse := build(nil) // a right Response Authenticator over a wrong Message-Authenticator
	onlyResponse[MAOffset] ^= 1
	copy(onlyResponse[4:], authOf(1)[:])
	digest = secret.Digest(onlyResponse)
	copy(onlyResponse[4:], digest[:])
	for _, tt := range []struct {
		name   string
		packet []byte
		id     byte
		auth   byte
		secret string
		want   string
	}{
		{"right", build(nil), 5, 1, testSecret, ""},
		{"padded", append(build(nil), 0, 0), 5, 1, testSecret, ""},
		{"other identifier", build(nil), 6, 1, testSecret, "another request"},
		{"other request", build(nil), 5, 2, testSecret, "another secret"},
		{"other secret", build(nil), 5, 1, "wrong", "another secret"},
		{"unsigned", unsigned, 5, 1, testSecret, "no Message-Authenticator"},
		{"another code", tampered, 5, 1, testSecret, "another secret"},
		{"wrong Response Authenticator", onlyMA, 5, 1, testSecret, "another secret"},
		{"wrong Message-Authenticator", onlyResponse, 5, 1, testSecret, "another secret"},
		{"two Message-Authenticators", build(func(w *Writer) { w.B = append(w.B, emptyMA()...) }), 5, 1, testSecret, "malformed"},
		{"short", build(nil)[:19], 5, 1, testSecret, "malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := ParseAnswer(bytes.Clone(tt.packet), tt.id, authOf(tt.auth), NewSecret([]byte(tt.secret)))
			switch {
			case tt.want == "" && (err != nil || a.Message() != "hello" || a.Code != AccessAccept):
				t.Errorf("got %v, %q", err, a.Message())
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestQueryErrors(t *testing.T) {
	secret := NewSecret([]byte(testSecret))
	for _, q := range []*Query{
		{Code: AccessRequest, User: strings.Repeat("x", 254)},
		{Code: AccessRequest, User: "x", Cred: mfa.Password(strings.Repeat("x", 129))},
		{Code: AccessRequest, User: "x", State: strings.Repeat("x", 254)},
	} {
		if _, err := q.Append(nil, 0, authOf(1), secret); err == nil {
			t.Errorf("%.20s: no error; want an error", q.User)
		}
	}
}

func TestQueryAppendsBehind(t *testing.T) {
	secret := NewSecret([]byte(testSecret))
	b, err := query("nemo").Append([]byte("before"), 9, authOf(1), secret)
	if err != nil || !bytes.HasPrefix(b, []byte("before")) {
		t.Fatalf("got %q, %v", b, err)
	}
	p := Trim(b[len("before"):])
	if p == nil || !secret.Verify(p, MAOffset) {
		t.Error("got a packet that is not signed; want a signed one")
	}
}

func FuzzParseAnswer(f *testing.F) {
	for _, file := range fixtures(f) {
		f.Add(readFixture(f, file))
	}
	f.Add(accept(append([]byte{1, 5, 0, 20}, authOf(1)[:]...), testSecret))
	secret := NewSecret([]byte(testSecret))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		before := bytes.Clone(datagram)
		a, err := ParseAnswer(datagram, 5, authOf(1), secret)
		if !bytes.Equal(before, datagram) {
			t.Fatal("got a changed datagram; want it untouched")
		}
		if err != nil {
			// Unsigned, but the readers must stand any packet that was walked.
			if p := Trim(datagram); p != nil && new(Request).Scan(p, 1<<20) == nil {
				a = Answer{Packet: p}
			} else {
				return
			}
		}
		a.State()
		a.Message()
		a.Echo()
		for _, x := range a.Attributes() {
			FormatAttribute(x)
		}
	})
}
