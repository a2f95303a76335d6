package radius

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	layeh "layeh.com/radius"
)

// A copy has what the NAS said, and nothing of the way that it took to us.
func TestForwardedRequest(t *testing.T) {
	kept := slices.Concat(integer(typeAcctStatusType, 2), avp(typeClass, "a"), avp(26, "\x00\x00\x00\x09\x01\x03x"), avp(typeClass, "b"))
	for _, tt := range []struct {
		name  string
		extra []byte
		delay uint32
	}{
		{"plain", nil, 90},
		{"delayed before", integer(typeAcctDelayTime, 10), 100},
		{"delayed for ever", integer(typeAcctDelayTime, 1<<32-2), 1<<32 - 1},
		{"malformed delay", avp(typeAcctDelayTime, "x"), 90},
		{"through a proxy", avp(typeProxyState, "p"), 90},
		{"signed", emptyMA(), 90},
		{"credentials", slices.Concat(avp(typeUserPassword, strings.Repeat("x", 16)), avp(typeCHAPPassword, "x"), avp(typeState, "x")), 90},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &copied{packet: reportOf(1, kept, tt.extra)}
			p, err := c.request(7, 90*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if want := slices.Concat(kept, integer(typeAcctDelayTime, tt.delay)); !bytes.Equal(p[headerSize:], want) || p[1] != 7 {
				t.Errorf("got %x, want %x", p[headerSize:], want)
			}
			secret := NewSecret([]byte(testSecret))
			secret.signAccounting(p)
			if !layeh.IsAuthenticRequest(p, []byte(testSecret)) {
				t.Error("layeh finds it not authentic")
			}
		})
	}
	full := &copied{packet: reportOf(1, slices.Repeat(avp(typeClass, strings.Repeat("x", 253)), 15), avp(typeClass, strings.Repeat("x", 249)))}
	if len(full.packet) != maxPacketSize {
		t.Fatalf("%d octets", len(full.packet))
	}
	if _, err := full.request(1, 0); err == nil {
		t.Error("a packet of more than 4,096 octets")
	}
}

func TestAcknowledgement(t *testing.T) {
	secret := NewSecret([]byte(testSecret))
	auth := *authOf(1)
	rep := &report{secret: secret, id: 7, auth: auth, proxy: avp(typeProxyState, "p")}
	for _, tt := range []struct {
		name   string
		change func(p []byte) []byte
		want   string
	}{
		{"right", func(p []byte) []byte { return p }, ""},
		{"padded", func(p []byte) []byte { return append(p, 0, 0) }, ""},
		{"another identifier", func(p []byte) []byte { p[1]++; return p }, "answers another request"},
		{"another code", func(p []byte) []byte { p[0] = byte(AccessAccept); return p }, "is no Accounting-Response"},
		{"forged", func(p []byte) []byte { p[5] ^= 1; return p }, "is signed with another secret"},
		{"changed", func(p []byte) []byte { p[headerSize+2] ^= 1; return p }, "is signed with another secret"},
		{"cut", func(p []byte) []byte { return p[:len(p)-1] }, "malformed packet"},
		{"empty", func(p []byte) []byte { return nil }, "malformed packet"},
	} {
		p := tt.change(rep.acknowledgement(nil))
		a, err := parseAcknowledgement(p, 7, auth, secret)
		if got := fmt.Sprint(err); err != nil && got != tt.want || err == nil && (tt.want != "" || a.Code != layeh.CodeAccountingResponse) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// What no server takes is bounded in number and in time; the new is dropped, and
// the log says so once an hour.
func TestForwardIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		f := &Forwarder{Logger: zap.New(core)}
		p := reportOf(1, integer(typeAcctStatusType, 1), avp(typeAcctSessionID, "s"))
		for range maxForward + 10 {
			f.Forward(p, time.Now())
		}
		if f.waiting.Load() != maxForward || f.dropped.Load() != 10 {
			t.Errorf("%d wait, %d are dropped", f.waiting.Load(), f.dropped.Load())
		}
		if n := logs.Len(); n != 1 {
			t.Errorf("%d lines", n)
		}
		f.deliver(t.Context(), &copied{packet: p, received: time.Now()}) // there is no server at all
		if f.dropped.Load() != 11 {
			t.Errorf("%d are dropped after an hour", f.dropped.Load())
		}
	})
}

func FuzzAcknowledgement(f *testing.F) {
	secret := NewSecret([]byte(testSecret))
	rep := &report{secret: secret, id: 7, auth: *authOf(1)}
	f.Add(rep.acknowledgement(nil))
	request := slices.Concat([]byte{4, 7, 0, 20}, authOf(1)[:])
	f.Fuzz(func(t *testing.T, datagram []byte) {
		before := bytes.Clone(datagram)
		_, err := parseAcknowledgement(datagram, 7, *authOf(1), secret)
		if !bytes.Equal(before, datagram) {
			t.Error("the datagram is changed")
		}
		if p := trim(datagram); err == nil && !layeh.IsAuthenticResponse(p, request, []byte(testSecret)) {
			t.Errorf("took %x, which layeh refuses", p)
		}
	})
}
