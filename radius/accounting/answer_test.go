package accounting

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	layeh "layeh.com/radius"

	"github.com/radmatch/radmatch/radius/wire"
)

func TestAcknowledgement(t *testing.T) {
	secret := wire.NewSecret([]byte(testSecret))
	auth := *authOf(1)
	answer := func() []byte { return AppendResponse(nil, 7, auth, avp(wire.TypeProxyState, "p"), secret) }
	for _, tt := range []struct {
		name   string
		change func(p []byte) []byte
		want   string
	}{
		{"right", func(p []byte) []byte { return p }, ""},
		{"padded", func(p []byte) []byte { return append(p, 0, 0) }, ""},
		{"another identifier", func(p []byte) []byte { p[1]++; return p }, "answers another request"},
		{"another code", func(p []byte) []byte { p[0] = byte(wire.AccessAccept); return p }, "is no Accounting-Response"},
		{"forged", func(p []byte) []byte { p[5] ^= 1; return p }, "is signed with another secret"},
		{"changed", func(p []byte) []byte { p[wire.HeaderSize+2] ^= 1; return p }, "is signed with another secret"},
		{"cut", func(p []byte) []byte { return p[:len(p)-1] }, "malformed packet"},
		{"empty", func(p []byte) []byte { return nil }, "malformed packet"},
	} {
		p := tt.change(answer())
		a, err := parseResponse(p, 7, auth, secret)
		if got := fmt.Sprint(err); err != nil && got != tt.want || err == nil && (tt.want != "" || a.Code != layeh.CodeAccountingResponse) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

func FuzzAcknowledgement(f *testing.F) {
	secret := wire.NewSecret([]byte(testSecret))
	f.Add(AppendResponse(nil, 7, *authOf(1), nil, secret))
	request := slices.Concat([]byte{4, 7, 0, 20}, authOf(1)[:])
	f.Fuzz(func(t *testing.T, datagram []byte) {
		before := bytes.Clone(datagram)
		_, err := parseResponse(datagram, 7, *authOf(1), secret)
		if !bytes.Equal(before, datagram) {
			t.Error("got a changed datagram; want it untouched")
		}
		if p := wire.Trim(datagram); err == nil && !layeh.IsAuthenticResponse(p, request, []byte(testSecret)) {
			t.Errorf("took %x, which layeh refuses", p)
		}
	})
}
