package e2e

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// flood sends 2,000 packets a second from 127.0.0.1 until ctx ends, and returns how
// many that were. packet makes the one with this number and identifier.
func flood(ctx context.Context, t *testing.T, to string, packet func(n int, id byte) []byte) (sent int) {
	const sockets, tick, aTick = 32, 10 * time.Millisecond, 20
	conns := make([]net.Conn, sockets)
	for i := range conns {
		local := net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0"))
		conn, err := net.DialUDP("udp", local, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to)))
		if err != nil {
			t.Error(err)
			return 0
		}
		defer conn.Close()
		conns[i] = conn
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return sent
		case <-ticker.C:
		}
		for range aTick {
			conns[sent%sockets].Write(packet(sent, byte(sent/sockets)))
			sent++
		}
	}
}

// TestFlood: what one client brings, forged in its name or guessed with its secret,
// leaves the logins at another one answered, each at its first packet; and the log
// does not grow with it.
func TestFlood(t *testing.T) {
	t.Parallel()
	for name, signed := range map[string]bool{"forged unsigned MS-CHAPv2": false, "guesses with the secret": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newServer(t, siteHead+fmt.Sprintf(`limits: {pending: 600}
mfa: {require_user_match: false, reject_delay: 1s, require_message_authenticator: no}
clients:
  - {name: flooded, addresses: [127.0.0.1], secret: %[1]s}
  - {name: other, addresses: [127.0.0.2], secret: %[1]s}
`, testSecret))
			p.start()
			guesser := p.nasSocket("127.0.0.1")
			packet := func(n int, id byte) []byte {
				q := wire.Query{Code: wire.AccessRequest, User: fmt.Sprintf("user%d", n%16), Cred: mfa.MSCHAPv2{}}
				if signed {
					q.Cred = mfa.Password("guess")
					return guesser.buildAs(id, q).packet
				}
				return guesser.buildAs(id, q).unsigned().packet
			}
			ctx, stop := context.WithCancel(t.Context())
			var done sync.WaitGroup
			var sent int
			done.Go(func() { sent = flood(ctx, t, p.radius[0], packet) })
			p.until("the flood is there", func() bool { return p.clientReport("flooded").Packets > 2000 })
			other := p.nasSocket("127.0.0.2")
			lost := 0
			const logins = 40
			for range logins {
				other.start(signIn("alice", ""))
				other.conn.SetReadDeadline(time.Now().Add(2 * time.Second))
				if !other.read() {
					lost++
				}
			}
			stop()
			done.Wait()
			// On a machine that other tests keep busy a few come late.
			if lost > logins/4 {
				t.Errorf("%d of %d logins at the other client got no answer during %d packets", lost, logins, sent)
			}
			p.until("all is dealt with", func() bool { return p.clientReport("flooded").Packets >= uint64(sent) })
			if n := strings.Count(p.log(), "\n"); n > 1000 {
				t.Errorf("got %d log lines of %d packets; want at most 1000", n, sent)
			}
			t.Logf("%d packets, %d log lines", sent, strings.Count(p.log(), "\n"))
		})
	}
}
