package radius

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

func TestHostTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		six, four, other := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
		answer, failed, asked := []netip.Addr{six, four, six}, error(nil), 0
		h := &host{addr: "nps.test:1812", lookup: func(_ context.Context, name string) ([]netip.Addr, error) {
			asked++
			return answer, failed
		}}
		expect := func(what string, lookups int, want ...string) {
			t.Helper()
			got, err := h.targets(t.Context())
			if !reflect.DeepEqual(got, want) || err != nil || asked != lookups {
				t.Errorf("%s: got %q, %v after %d look-ups; want %q after %d", what, got, err, asked, want, lookups)
			}
		}
		expect("nothing known", 1, "[2001:db8::1]:1812", "192.0.2.1:1812")
		expect("no answer yet", 1, "[2001:db8::1]:1812", "192.0.2.1:1812")
		h.answered("192.0.2.1:1812")
		expect("what answered is kept", 1, "192.0.2.1:1812")
		time.Sleep(lookAgain)
		expect("and looked up again", 2, "192.0.2.1:1812")
		h.missed()
		expect("it went silent", 2, "192.0.2.1:1812", "[2001:db8::1]:1812")
		h.answered("[2001:db8::1]:1812")
		time.Sleep(lookAgain)
		failed = errors.New("no DNS")
		expect("a DNS that fails changes nothing", 3, "[2001:db8::1]:1812")
		answer, failed = []netip.Addr{other}, nil
		expect("the name has moved", 4, "192.0.2.2:1812")

		h = &host{addr: "[::1]:1812"}
		expect("an address", 4, "[::1]:1812")
		h = &host{addr: "nps.test:1812", lookup: func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no DNS") }}
		if got, err := h.targets(t.Context()); err == nil || !strings.Contains(err.Error(), "no DNS") {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

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
		b := make([]byte, maxPacketSize)
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
		u, _ := upstreamOf(t, func(s *UpstreamSettings) {
			s.Servers[0].Address, s.Timeout = "nps.test:"+port, 2*time.Second
		}, h)
		s := u.servers[0]
		s.host.lookup = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr(first), netip.MustParseAddr("127.0.0.1")}, nil
		}
		for i := range 3 {
			began := time.Now()
			if _, err := u.Check(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse")); err != nil {
				t.Errorf("%s: login %d: %v", name, i, err)
			}
			if took := time.Since(began); i > 0 && took > s.timeout/2 {
				t.Errorf("%s: login %d took %v: the address that answers is not kept", name, i, took)
			}
		}
		if silent && !asked() {
			t.Error("the first address was not asked")
		}
		if err := u.Connect(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
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
			return [][]byte{h.reply(q, AccessAccept, nil)}
		}
		return [][]byte{h.reply(q, AccessChallenge, func(w *writer) { w.text(typeState, "round one") })}
	}
	u, _ := upstreamOf(t, func(s *UpstreamSettings) { s.Servers[0].Address = "nps.test:" + port }, h)
	s := u.servers[0]
	addresses := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.79")}
	s.host.lookup = func(context.Context, string) ([]netip.Addr, error) { return addresses, nil }
	_, err := u.Check(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse"))
	question := new(mfa.PrimaryChallenge)
	if !errors.As(err, &question) {
		t.Fatal(err)
	}
	s.host.learn(addresses[1:], port) // the name means another machine now
	if _, err := u.Continue(t.Context(), mfa.NameOf("alice"), question, "246"); err != nil {
		t.Error(err)
	}
	if asked() {
		t.Error("another address got the answer")
	}
}

// TestForwardSeveralAddresses: accounting goes to the address that acknowledges.
func TestForwardSeveralAddresses(t *testing.T) {
	t.Parallel()
	secret := NewSecret([]byte(testSecret))
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		b := make([]byte, maxPacketSize)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			if n < headerSize {
				continue
			}
			rep := &report{secret: secret, id: b[1], auth: [authSize]byte(b[4:headerSize])}
			conn.WriteTo(rep.acknowledgement(nil), from)
		}
	}()
	_, port, _ := net.SplitHostPort(conn.LocalAddr().String())
	s := &AccountingServer{Addr: "home.test:" + port, Secret: secret}
	s.host.lookup = func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("127.0.0.80"), netip.MustParseAddr("127.0.0.1")}, nil
	}
	packet := reportOf(1, integer(typeAcctStatusType, 1), avp(typeAcctSessionID, "s1"))
	for range 2 {
		if err := s.send(t.Context(), &copied{packet: packet, received: time.Now()}); err != nil {
			t.Error(err)
		}
	}
	if list, _ := s.host.known(); len(list) != 1 || list[0] != "127.0.0.1:"+port {
		t.Errorf("used from now on: %q", list)
	}
}
