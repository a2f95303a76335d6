package accounting

import (
	"bytes"
	"context"
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
		{"delayed without end", integer(wire.TypeAcctDelayTime, 1<<32-2), 1<<32 - 1},
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
				t.Error("got a request that layeh does not find authentic; want an authentic one")
			}
		})
	}
	full := &copied{packet: reportOf(1, slices.Repeat(avp(wire.TypeClass, strings.Repeat("x", 253)), 15), avp(wire.TypeClass, strings.Repeat("x", 249)))}
	if len(full.packet) != wire.MaxPacketSize {
		t.Fatalf("%d octets", len(full.packet))
	}
	if _, err := full.request(1, 0); err == nil {
		t.Error("a packet of more than 4,096 octets: got no error; want one")
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
			t.Errorf("got %d lines; want 1", n)
		}
		f.deliver(t.Context(), &copied{packet: p, received: time.Now()}) // there is no server at all
		if f.dropped.Load() != 11 {
			t.Errorf("got %d are dropped after an hour; want 11", f.dropped.Load())
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
			conn.WriteTo(AppendResponse(nil, b[1], [wire.AuthSize]byte(b[4:wire.HeaderSize]), nil, secret), from)
		}
	}()
	_, port, _ := net.SplitHostPort(conn.LocalAddr().String())
	s := &Server{Addr: "home.test:" + port, Secret: secret}
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
