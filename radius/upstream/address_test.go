package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/caller"
	"github.com/radmatch/radmatch/radius/wire"
)

// silentUDP takes datagrams and answers none.
func silentUDP(t *testing.T, addr string) (asked func() bool) {
	t.Helper()
	conn, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	got := make(chan struct{}, 1)
	go func() {
		b := make([]byte, wire.MaxPacketSize)
		for {
			if _, _, err := conn.ReadFrom(b); err != nil {
				return
			}
			select {
			case got <- struct{}{}:
			default:
			}
		}
	}()
	return func() bool {
		select {
		case <-got:
			return true
		default:
			return false
		}
	}
}

// TestUpstreamSeveralAddresses: of a server whose name has several addresses each
// is tried, and the one that answers is used from then on.
func TestUpstreamSeveralAddresses(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	_, port, _ := net.SplitHostPort(h.addr)
	for name, silent := range map[string]bool{"refused": false, "silent": true} {
		var asked func() bool
		first := "127.0.0.77"
		if silent {
			first = "127.0.0.78"
			asked = silentUDP(t, net.JoinHostPort(first, port))
		}
		u, _ := upstreamOf(t, func(s *Settings) {
			s.Servers[0].Address, s.Timeout = "nps.test:"+port, 2*time.Second
		}, h)
		s := u.servers[0]
		s.host.Lookup = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr(first), netip.MustParseAddr("127.0.0.1")}, nil
		}
		for i := range 3 {
			began := time.Now()
			if _, err := u.Check(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse")); err != nil {
				t.Errorf("%s: login %d: got error %v; want none", name, i, err)
			}
			if took := time.Since(began); i > 0 && took > s.timeout/2 {
				t.Errorf("%s: login %d took %v: the address that answers is not kept", name, i, took)
			}
		}
		if silent && !asked() {
			t.Error("got the first address not asked; want it asked")
		}
		if err := u.Connect(t.Context()); err != nil {
			t.Errorf("%s: got error %v; want none", name, err)
		}
	}
}

// TestUpstreamQuestionOfAnAddress: the answer to a challenge goes to the address
// that has asked, and to no other one of the name.
func TestUpstreamQuestionOfAnAddress(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	_, port, _ := net.SplitHostPort(h.addr)
	asked := silentUDP(t, net.JoinHostPort("127.0.0.79", port))
	h.answer = func(q *homeRequest) [][]byte {
		if q.state == "round one" {
			return [][]byte{h.reply(q, wire.AccessAccept, nil)}
		}
		return [][]byte{h.reply(q, wire.AccessChallenge, func(w *wire.Writer) { w.Text(wire.TypeState, "round one") })}
	}
	u, _ := upstreamOf(t, func(s *Settings) { s.Servers[0].Address = "nps.test:" + port }, h)
	s := u.servers[0]
	addresses := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.79")}
	s.host.Lookup = func(context.Context, string) ([]netip.Addr, error) { return addresses, nil }
	_, err := u.Check(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse"))
	question := new(mfa.PrimaryChallenge)
	if !errors.As(err, &question) {
		t.Fatal(err)
	}
	s.host = caller.Host{Addr: s.address, Lookup: func(context.Context, string) ([]netip.Addr, error) { return addresses[1:], nil }} // the name means another machine now
	if _, err := u.Continue(t.Context(), mfa.NameOf("alice"), question, "246", nil); err != nil {
		t.Error(err)
	}
	if asked() {
		t.Error("another address got the answer")
	}
}
