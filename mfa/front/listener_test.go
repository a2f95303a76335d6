package front

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/radmatch/radmatch/mfa/web/webtest"
)

// addressed is a connection from an address.
type addressed struct {
	net.Conn
	from net.Addr
}

func (c addressed) RemoteAddr() net.Addr { return c.from }

// doorRig is a door, and who comes to it.
type doorRig struct {
	*door
	inner *webtest.Listener
}

func newDoor(t *testing.T, d *door) *doorRig {
	r := &doorRig{d, webtest.NewListener(1)}
	d.Listener = r.inner
	d.connects, d.freed = Rates{Every: rate.Inf, Burst: 1}, make(chan struct{}, 1)
	return r
}

// enter has someone connect, who is let in.
func (r *doorRig) enter(t *testing.T, from string) (client net.Conn, server *conn) {
	t.Helper()
	time.Sleep(grace) // that of all before is over
	client, inner := net.Pipe()
	r.inner.Conns <- addressed{inner, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))}
	c, err := r.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return client, c.(*conn)
}

// closed reports whether the other side has closed the connection.
func closed(client net.Conn) bool {
	_ = client.SetReadDeadline(time.Now().Add(time.Second))
	_, err := client.Read(make([]byte, 1))
	return err == io.EOF
}

// TestDoor: unknown callers push out each other, never a device, and no network holds more
// than its share.
func TestDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newDoor(t, &door{trusted: networks("192.0.2.1/32"), limit: 10, unknownLimit: 6, addressLimit: 2})
		one, _ := r.enter(t, "198.51.100.7:1")
		two, _ := r.enter(t, "198.51.100.7:2")
		_, three := r.enter(t, "198.51.100.7:3")
		if !closed(one) || closed(two) {
			t.Error("a third connection of one address takes not the place of its first")
		}
		three.device()
		r.enter(t, "198.51.100.7:4")
		if closed(two) {
			t.Error("a device's connection counts as an unknown caller's")
		}
		// One /64, one /56, and a /48 that has twice as much.
		var six []net.Conn
		for _, from := range []string{"[2001:db8:0:0::1]:1", "[2001:db8:0:0::2]:1", "[2001:db8:0:1::1]:1", "[2001:db8:0:100::1]:1", "[2001:db8:0:200::1]:1", "[2001:db8:0:300::1]:1"} {
			c, _ := r.enter(t, from)
			six = append(six, c)
		}
		for i, want := range []bool{true, true, false, false, false, false} {
			if got := closed(six[i]); got != want {
				t.Errorf("connection %d of a /48: closed: got %v; want %v", i, got, want)
			}
		}
		if closed(two) {
			t.Error("the oldest gave way before there was need")
		}
		// A proxy has no share of its own, but unknown callers are few all together.
		for range 4 {
			r.enter(t, "192.0.2.1:1")
		}
		if !closed(two) || r.unknown.Len() != 6 {
			t.Errorf("%d unknown callers, the oldest is there", r.unknown.Len())
		}
	})
}

// TestDoorFull: where devices have all connections no new one is taken, and a place is
// free again once, however often a connection is closed.
func TestDoorFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newDoor(t, &door{limit: 3, unknownLimit: 2, addressLimit: 2})
		var devices []*conn
		for range 3 {
			_, c := r.enter(t, "198.51.100.7:1")
			c.device()
			devices = append(devices, c)
		}
		refused, inner := net.Pipe()
		r.inner.Conns <- addressed{inner, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.8:1"))}
		go r.Accept()
		synctest.Wait()
		if !closed(refused) {
			t.Error("got a fourth connection that stays open; want it closed")
		}
		for range 2 {
			_ = devices[0].Close()
		}
		again, inner := net.Pipe() // by the Accept that waits
		r.inner.Conns <- addressed{inner, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.8:2"))}
		synctest.Wait()
		if closed(again) || r.count != 3 {
			t.Errorf("%d connections after one was closed twice", r.count)
		}
	})
}

// TestConnectRate: how often an address connects is bounded too.
func TestConnectRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newDoor(t, &door{limit: 10, unknownLimit: 6, addressLimit: 6})
		r.connects = Rates{Every: 0.1, Burst: 3}
		var clients []net.Conn
		for range 3 {
			c, _ := r.enter(t, "198.51.100.7:1")
			clients = append(clients, c)
		}
		refused, inner := net.Pipe()
		r.inner.Conns <- addressed{inner, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.7:2"))}
		go r.Accept()
		synctest.Wait()
		if !closed(refused) || closed(clients[0]) {
			t.Error("got a fourth connection within seconds that stays open; want it closed, and the first kept")
		}
		_ = r.inner.Close()
	})
}

// TestDoorWaits: who comes when unknown callers have all their places, each within its
// grace, waits for the first that is free, and pushes none out before.
func TestDoorWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newDoor(t, &door{limit: 10, unknownLimit: 2, addressLimit: 2})
		first, server := r.enter(t, "198.51.100.7:1")
		second, _ := r.enter(t, "198.51.100.8:1") // a grace later
		third, inner := net.Pipe()
		start := time.Now()
		accepted := make(chan time.Duration, 2)
		accept := func() {
			_, _ = r.Accept()
			accepted <- time.Since(start)
		}
		server.device() // so that one place is free
		r.inner.Conns <- addressed{inner, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.9:1"))}
		accept()
		_, inner = net.Pipe()
		r.inner.Conns <- addressed{inner, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.10:1"))}
		accept()
		if a, b := <-accepted, <-accepted; a != 0 || b != grace {
			t.Errorf("they waited %v and %v", a, b)
		}
		if closed(first) || !closed(second) || closed(third) {
			t.Error("the oldest unknown caller is not the one who gave way")
		}
	})
}
