package listen

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/radmatch/radmatch/radius"
)

// One call takes what is there, each datagram with its source, its length and when it
// came; an answer goes back to each.
func TestDatagramsAtOnce(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			group, bound, err := openGroup(t.Context(), netip.AddrPortFrom(netip.MustParseAddr(host), 0), 1)
			if err != nil {
				t.Skip("this machine has no IPv6: ", err)
			}
			for _, k := range group {
				defer k.conn.Close()
			}
			const sent = atOnce + 4
			callers := make(map[string]net.Conn)
			for i := range sent {
				c, err := net.Dial("udp", bound.String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				callers[c.LocalAddr().String()] = c
				fmt.Fprintf(c, "%*d", 10+i, i) // each of its own length
			}
			got := 0
			for _, k := range group {
				got += takeAll(t, k, callers)
			}
			if got != sent {
				t.Errorf("got %d datagrams; want %d", got, sent)
			}
		})
	}
}

// takeAll reads what has come to a socket and sends each back.
func takeAll(t *testing.T, k *socket, callers map[string]net.Conn) (got int) {
	t.Helper()
	in, a := new(inbox), new(radius.Arrival)
	k.raw.Read(func(fd uintptr) bool {
		for {
			n, errno := in.fill(fd)
			if errno == unix.EAGAIN {
				return true
			}
			if errno != 0 {
				t.Error(errno)
				return true
			}
			for i := range n {
				in.open(i, a)
				var number int
				fmt.Sscan(string(a.Packet), &number)
				c := callers[a.Source.String()]
				if c == nil || len(a.Packet) != max(10+number, 0) || time.Since(a.Queued) > time.Minute {
					t.Errorf("got %q from %v, queued %v", a.Packet, a.Source, a.Queued)
					continue
				}
				got++
				if err := k.Send(a.Packet, a.Peer); err != nil {
					t.Error(err)
				}
				back := make([]byte, 100)
				c.SetReadDeadline(time.Now().Add(10 * time.Second))
				if m, err := c.Read(back); err != nil || string(back[:m]) != string(a.Packet) {
					t.Errorf("got %q, %v back; want %q", back[:m], err, a.Packet)
				}
			}
		}
	})
	return got
}

// A socket address is read as it was written, of either family, with its zone.
func TestSocketAddress(t *testing.T) {
	var name unix.RawSockaddrInet6 // used again, as in the pool
	for _, text := range []string{"192.0.2.1:1812", "[2001:db8::1]:65535", "[fe80::1%3]:1", "127.0.0.1:1", "[::1]:1812"} {
		want := netip.MustParseAddrPort(text)
		setAddrPort(&name, want)
		if got := addrPort(&name); got != want {
			t.Errorf("got %v; want %v", got, want)
		}
	}
}
