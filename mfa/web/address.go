package web

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
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

// limited returns the networks that limits of their own hold for, the narrowest
// first. A proxy has none, nor has this machine, where a proxy may be that nobody
// has named: all people come from there.
func (p proxies) limited(remote string) []netip.Prefix {
	n := network(remote)
	if !n.IsValid() || n.Addr().IsLoopback() || p.include(n.Addr()) {
		return nil
	}
	return within(n)
}

// network is what one stranger surely holds: an IPv4 address, an IPv6 /64.
func network(remote string) netip.Prefix {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	addr, bits := ap.Addr().Unmap().WithZone(""), 32
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // bits fit the family
	return p
}

// within returns n and, for IPv6, what a stranger may hold as well: providers hand
// out a /56 for the asking, and a /48 to whoever has a site.
func within(n netip.Prefix) []netip.Prefix {
	if n.Addr().Is4() {
		return []netip.Prefix{n}
	}
	wider := func(bits int) netip.Prefix {
		p, _ := n.Addr().Prefix(bits) // bits fit the family
		return p
	}
	return []netip.Prefix{n, wider(56), wider(48)}
}

// times is how many times the limit of an address goes for a network.
func times(n netip.Prefix) int {
	if n.Bits() == 48 {
		return 2
	}
	return 1
}

// tally counts what networks hold. The zero value is ready to be read.
type tally map[netip.Prefix]int

// full returns the first of the networks that holds as much as it may, where an
// address may hold limit; an invalid one if there is none.
func (t tally) full(networks []netip.Prefix, limit int) netip.Prefix {
	for _, n := range networks {
		if t[n] >= limit*times(n) {
			return n
		}
	}
	return netip.Prefix{}
}

func (t *tally) add(networks []netip.Prefix) {
	if *t == nil {
		*t = make(tally)
	}
	for _, n := range networks {
		(*t)[n]++
	}
}

func (t tally) remove(networks []netip.Prefix) {
	for _, n := range networks {
		if t[n]--; t[n] <= 0 {
			delete(t, n)
		}
	}
}
