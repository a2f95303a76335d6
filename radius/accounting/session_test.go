package accounting

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	layeh "layeh.com/radius"

	"github.com/radmatch/radmatch/radius/wire"
)

const testSecret = "xyzzy5461" // of the RFCs' examples

func authOf(n byte) *[16]byte { return &[16]byte{n, 1, 2, 3} }

func avp(typ byte, value string) []byte {
	return append([]byte{typ, byte(2 + len(value))}, value...)
}

func emptyMA() []byte { return avp(wire.TypeMessageAuthenticator, string(make([]byte, 16))) }

// reportOf is an Accounting-Request of attributes.
func reportOf(id byte, attributes ...[]byte) []byte {
	p := append([]byte{byte(layeh.CodeAccountingRequest), id, 0, 0}, make([]byte, wire.AuthSize)...)
	p = append(p, slices.Concat(attributes...)...)
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	wire.NewSecret([]byte(testSecret)).SignAccounting(p)
	return p
}

func integer(typ byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{typ, 6}, n)
}

// Mark tells the reports of two clients apart, and one attribute from the next. What a
// retransmission may change is tested with the server.
func TestMark(t *testing.T) {
	base := [][]byte{integer(wire.TypeAcctStatusType, 3), avp(wire.TypeAcctSessionID, "s"), avp(wire.TypeUserName, "nemo")}
	if Mark("vpn", reportOf(1, base...)) == Mark("other", reportOf(1, base...)) {
		t.Error("got one mark for reports of two clients; want two")
	}
	if Mark("vpn", reportOf(1, avp(1, "a"), avp(2, "b"))) == Mark("vpn", reportOf(1, avp(1, "a\x02\x01b"))) {
		t.Error("got one mark for attributes that run into each other; want two")
	}
}

func TestClass(t *testing.T) {
	key := []byte("key")
	ours := ClassOf(key, "edge", "LOGIN")
	for _, tt := range []struct{ name, class, want string }{
		{"ours", ours, "LOGIN"},
		{"of another group", ClassOf(key, "other", "LOGIN"), ""},
		{"of another server", ClassOf([]byte("other"), "edge", "LOGIN"), ""},
		{"another login", strings.Replace(ours, "LOGIN", "LOGIM", 1), ""},
		{"no login", ClassOf(key, "edge", ""), ""},
		{"cut", ours[:len(ours)-1], ""},
		{"longer", ours + "A", ""},
		{"no MAC", "radmatch.LOGIN", ""},
		{"empty MAC", "radmatch.LOGIN.", ""},
		{"foreign", "OU=sales;", ""},
		{"empty", "", ""},
	} {
		if got := LoginOfClass(key, "edge", []byte(tt.class)); got != tt.want {
			t.Errorf("%s: login %q, want %q", tt.name, got, tt.want)
		}
	}
}

// The sessions that are remembered are bounded, and those that are reported on stay.
func TestSessionsAreBounded(t *testing.T) {
	s := NewSessions()
	now := time.Unix(1e9, 0)
	s.Note(1, "FIRST", now)
	for i := range uint64(3 * maxSessions) {
		s.Note(i+2, strings.Repeat("x", 4), now)
		if i%1000 == 0 && s.Login(1, now) != "FIRST" {
			t.Fatalf("forgotten after %d", i)
		}
	}
	if n := len(s.now) + len(s.old); n > 2*maxSessions {
		t.Errorf("%d are kept", n)
	}
	s.Note(2, "SECOND", now)
	for day := range 3 {
		s.Note(3, "THIRD", now.AddDate(0, 0, day+1))
	}
	if got := s.Login(2, now.AddDate(0, 0, 4)); got != "" {
		t.Errorf("kept for days: got %q; want no text", got)
	}
}
