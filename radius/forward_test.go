package radius

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	layeh "layeh.com/radius"

	"github.com/radmatch/radmatch/radius/wire"
)

// A copy has what the NAS said, and nothing of the way that it took to us.
func TestForwardedRequest(t *testing.T) {
	kept := slices.Concat(integer(wire.TypeAcctStatusType, 2), avp(wire.TypeClass, "a"), avp(26, "\x00\x00\x00\x09\x01\x03x"), avp(wire.TypeClass, "b"))
	for _, tt := range []struct {
		name  string
		extra []byte
		delay uint32
	}{
		{"plain", nil, 90},
		{"delayed before", integer(wire.TypeAcctDelayTime, 10), 100},
		{"delayed for ever", integer(wire.TypeAcctDelayTime, 1<<32-2), 1<<32 - 1},
		{"malformed delay", avp(wire.TypeAcctDelayTime, "x"), 90},
		{"through a proxy", avp(wire.TypeProxyState, "p"), 90},
		{"signed", emptyMA(), 90},
		{"credentials", slices.Concat(avp(wire.TypeUserPassword, strings.Repeat("x", 16)), avp(wire.TypeCHAPPassword, "x"), avp(wire.TypeState, "x")), 90},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &copied{packet: reportOf(1, kept, tt.extra)}
			p, err := c.request(7, 90*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if want := slices.Concat(kept, integer(wire.TypeAcctDelayTime, tt.delay)); !bytes.Equal(p[wire.HeaderSize:], want) || p[1] != 7 {
				t.Errorf("got %x, want %x", p[wire.HeaderSize:], want)
			}
			secret := wire.NewSecret([]byte(testSecret))
			secret.SignAccounting(p)
			if !layeh.IsAuthenticRequest(p, []byte(testSecret)) {
				t.Error("layeh finds it not authentic")
			}
		})
	}
	full := &copied{packet: reportOf(1, slices.Repeat(avp(wire.TypeClass, strings.Repeat("x", 253)), 15), avp(wire.TypeClass, strings.Repeat("x", 249)))}
	if len(full.packet) != wire.MaxPacketSize {
		t.Fatalf("%d octets", len(full.packet))
	}
	if _, err := full.request(1, 0); err == nil {
		t.Error("a packet of more than 4,096 octets")
	}
}

func TestAcknowledgement(t *testing.T) {
	secret := wire.NewSecret([]byte(testSecret))
	auth := *authOf(1)
	rep := &report{secret: secret, id: 7, auth: auth, proxy: avp(wire.TypeProxyState, "p")}
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
		p := reportOf(1, integer(wire.TypeAcctStatusType, 1), avp(wire.TypeAcctSessionID, "s"))
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
	secret := wire.NewSecret([]byte(testSecret))
	rep := &report{secret: secret, id: 7, auth: *authOf(1)}
	f.Add(rep.acknowledgement(nil))
	request := slices.Concat([]byte{4, 7, 0, 20}, authOf(1)[:])
	f.Fuzz(func(t *testing.T, datagram []byte) {
		before := bytes.Clone(datagram)
		_, err := parseAcknowledgement(datagram, 7, *authOf(1), secret)
		if !bytes.Equal(before, datagram) {
			t.Error("the datagram is changed")
		}
		if p := wire.Trim(datagram); err == nil && !layeh.IsAuthenticResponse(p, request, []byte(testSecret)) {
			t.Errorf("took %x, which layeh refuses", p)
		}
	})
}

// TestForwardSeveralAddresses: accounting goes to the address that acknowledges.
func TestForwardSeveralAddresses(t *testing.T) {
	t.Parallel()
	secret := wire.NewSecret([]byte(testSecret))
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		b := make([]byte, wire.MaxPacketSize)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			if n < wire.HeaderSize {
				continue
			}
			rep := &report{secret: secret, id: b[1], auth: [wire.AuthSize]byte(b[4:wire.HeaderSize])}
			conn.WriteTo(rep.acknowledgement(nil), from)
		}
	}()
	_, port, _ := net.SplitHostPort(conn.LocalAddr().String())
	s := &AccountingServer{Addr: "home.test:" + port, Secret: secret}
	s.host.Lookup = func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("127.0.0.80"), netip.MustParseAddr("127.0.0.1")}, nil
	}
	packet := reportOf(1, integer(wire.TypeAcctStatusType, 1), avp(wire.TypeAcctSessionID, "s1"))
	for range 2 {
		if err := s.send(t.Context(), &copied{packet: packet, received: time.Now()}); err != nil {
			t.Error(err)
		}
	}
	if list, err := s.host.Targets(t.Context()); err != nil || len(list) != 1 || list[0] != "127.0.0.1:"+port {
		t.Errorf("used from now on: %q", list)
	}
}
