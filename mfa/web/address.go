package web

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/netutil"
)

// proxies are whose X-Forwarded-For is believed.
type proxies []netip.Prefix

func (p proxies) include(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(n netip.Prefix) bool { return n.Contains(a) })
}

// maxHops is how many proxies in a row are believed.
const maxHops = 8

// client returns the address that a request comes from: the peer, or, where that
// is a trusted proxy, whom the proxy has seen last. What is before that in the
// header anybody could have written.
func (p proxies) client(remote string, header http.Header) netip.AddrPort {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.AddrPort{}
	}
	at := netip.AddrPortFrom(peer.Addr().Unmap().WithZone(""), peer.Port())
	hops := strings.Split(strings.Join(header.Values("X-Forwarded-For"), ","), ",")
	for range maxHops {
		if len(hops) == 0 || !p.include(at.Addr()) {
			break
		}
		hop, err := parseHop(hops[len(hops)-1])
		if err != nil {
			break
		}
		at, hops = netip.AddrPortFrom(hop, 0), hops[:len(hops)-1]
	}
	return at
}

// parseHop reads an address as proxies write it, some with a port.
func parseHop(s string) (netip.Addr, error) {
	s = strings.TrimSpace(s)
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), nil
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.Unmap().WithZone(""), err
}

// believe puts the address that a request comes from into RemoteAddr.
func (s *Server) believe(next http.Handler) http.Handler {
	trusted := proxies(s.TrustedProxies)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if at := trusted.client(r.RemoteAddr, r.Header); at.IsValid() {
			r.RemoteAddr = at.String()
		}
		next.ServeHTTP(w, r)
	})
}

// limited returns the network that limits of its own hold for. A proxy has none,
// nor has this machine, where a proxy may be that nobody has named: all people
// come from there.
func (p proxies) limited(remote string) netip.Prefix {
	n := network(remote)
	if n.IsValid() && (n.Addr().IsLoopback() || p.include(n.Addr())) {
		return netip.Prefix{}
	}
	return n
}

// maxAddressConns is how many connections one address has. A whole company may
// be behind one, and a stranger is to be kept from taking them all.
const maxAddressConns = maxConns / 4

// LimitListener bounds the connections that l has accepted at once, all together
// and those of one address (an IPv6 /64). Trusted proxies have no limit of their own.
func LimitListener(l net.Listener, trusted []netip.Prefix) net.Listener {
	return netutil.LimitListener(&addressListener{Listener: l, trusted: trusted, limit: maxAddressConns}, maxConns)
}

// addressListener closes connections of an address that has too many.
type addressListener struct {
	net.Listener
	trusted proxies
	limit   int

	mu   sync.Mutex
	open map[netip.Prefix]int
}

// Accept implements net.Listener.
func (l *addressListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := l.trusted.limited(c.RemoteAddr().String())
		if !from.IsValid() {
			return c, nil
		}
		if l.take(from) {
			return &addressConn{Conn: c, done: sync.OnceFunc(func() { l.free(from) })}, nil
		}
		_ = c.Close() // the peer's loss
	}
}

func (l *addressListener) take(from netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[from] >= l.limit {
		return false
	}
	if l.open == nil {
		l.open = make(map[netip.Prefix]int)
	}
	l.open[from]++
	return true
}

func (l *addressListener) free(from netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[from]--; l.open[from] == 0 {
		delete(l.open, from)
	}
}

type addressConn struct {
	net.Conn
	done func()
}

// Close implements net.Conn.
func (c *addressConn) Close() error {
	defer c.done()
	return c.Conn.Close()
}
