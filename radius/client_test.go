package radius

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

func TestParseAnswer(t *testing.T) {
	secret := NewSecret([]byte(testSecret))
	build := func(change func(*writer)) []byte {
		w := newWriter(nil, AccessAccept, 5, authOf(1)[:], secret)
		w.message(&Profile{}, "hello", maxValue)
		if change != nil {
			change(&w)
		}
		p, err := w.sealAnswer()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	unsigned := build(nil)
	unsigned = append(unsigned[:headerSize:headerSize], unsigned[maOffset+16:]...)
	unsigned[3] = byte(len(unsigned))
	copy(unsigned[4:], authOf(1)[:])
	digest := secret.digest(unsigned)
	copy(unsigned[4:], digest[:])
	tampered := build(nil)
	tampered[0] = byte(AccessReject)
	onlyMA := build(nil)
	onlyMA[4] ^= 1
	onlyResponse := build(nil) // a right Response Authenticator over a wrong Message-Authenticator
	onlyResponse[maOffset] ^= 1
	copy(onlyResponse[4:], authOf(1)[:])
	digest = secret.digest(onlyResponse)
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
		{"two Message-Authenticators", build(func(w *writer) { w.b = append(w.b, emptyMA()...) }), 5, 1, testSecret, "malformed"},
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

// server reads one socket and answers by the function, for tests of the client.
func fakeServer(t *testing.T, answer func(n int, request []byte) [][]byte) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, maxPacketSize)
		for n := 0; ; n++ {
			size, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, p := range answer(n, bytes.Clone(buf[:size])) {
				conn.WriteTo(p, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

func accept(request []byte, secret string) []byte {
	w := newWriter(nil, AccessAccept, request[1], request[4:20], NewSecret([]byte(secret)))
	p, _ := w.sealAnswer()
	return p
}

func TestExchangeRetransmits(t *testing.T) {
	var first []byte
	addr := fakeServer(t, func(n int, request []byte) [][]byte {
		switch n {
		case 0:
			first = request
			return nil // lost
		case 1:
			if !bytes.Equal(first, request) {
				t.Error("the retransmission differs from the request")
			}
			return [][]byte{accept(request, "forged"), {1, 2, 3}, accept(request, testSecret)}
		}
		return nil
	})
	caller := &Caller{Addr: addr, Secret: NewSecret([]byte(testSecret)), First: 20 * time.Millisecond}
	a, err := caller.Exchange(t.Context(), query("nemo"))
	if err != nil || a.Code != AccessAccept {
		t.Errorf("got %v, %v", a.Code, err)
	}
}

func TestExchangeWithoutAnswer(t *testing.T) {
	forged := fakeServer(t, func(_ int, request []byte) [][]byte { return [][]byte{accept(request, "wrong")} })
	silent := fakeServer(t, func(int, []byte) [][]byte { return nil })
	caller := &Caller{Addr: forged, Secret: NewSecret([]byte(testSecret)), First: 10 * time.Millisecond, Total: 50 * time.Millisecond}
	if _, err := caller.Exchange(t.Context(), query("nemo")); !errors.Is(err, ErrNoAnswer) || !strings.Contains(err.Error(), "another secret") {
		t.Errorf("forged: %v", err)
	}
	caller.Addr = silent
	if _, err := caller.Exchange(t.Context(), query("nemo")); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("silent: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	caller.Total = time.Hour
	if _, err := caller.Exchange(ctx, query("nemo")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
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
			t.Errorf("%.20s: no error", q.User)
		}
	}
}

func TestQueryAppendsBehind(t *testing.T) {
	secret := NewSecret([]byte(testSecret))
	b, err := query("nemo").Append([]byte("before"), 9, authOf(1), secret)
	if err != nil || !bytes.HasPrefix(b, []byte("before")) {
		t.Fatalf("got %q, %v", b, err)
	}
	p := trim(b[len("before"):])
	if p == nil || !secret.verify(p, maOffset) {
		t.Error("not a signed packet")
	}
}

func FuzzParseAnswer(f *testing.F) {
	for _, file := range fixtures(f) {
		f.Add(readFixture(f, file).datagram)
	}
	f.Add(accept(append([]byte{1, 5, 0, 20}, authOf(1)[:]...), testSecret))
	secret := NewSecret([]byte(testSecret))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		before := bytes.Clone(datagram)
		a, err := ParseAnswer(datagram, 5, authOf(1), secret)
		if !bytes.Equal(before, datagram) {
			t.Fatal("the datagram was changed")
		}
		if err != nil {
			// Unsigned, but the readers must stand any packet that was walked.
			if p := trim(datagram); p != nil && new(request).scan(p, 1<<20) == keep {
				a = Answer{packet: p}
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
