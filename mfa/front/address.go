package front

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are whose X-Forwarded-For is believed.
type Proxies []netip.Prefix

func (p Proxies) include(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(n netip.Prefix) bool { return n.Contains(a) })
}

// maxHops is how many proxies in a row are believed.
const maxHops = 8

// Client returns the address that a request comes from: the peer, or, where that
// is a trusted proxy, whom the proxy has seen last. Anybody could have
// written the part before that in the header.
func (p Proxies) Client(remote string, header http.Header) netip.AddrPort {
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

// Believe puts the address that a request comes from into RemoteAddr.
func Believe(trusted Proxies, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if at := trusted.Client(r.RemoteAddr, r.Header); at.IsValid() {
			r.RemoteAddr = at.String()
		}
		next.ServeHTTP(w, r)
	})
}

// Limited returns the networks that limits of their own hold for, the narrowest
// first. A proxy has none, nor has this machine, where a proxy may be that nobody
// has named: all users come from there.
func (p Proxies) Limited(remote string) []netip.Prefix {
	n := Network(remote)
	if !n.IsValid() || n.Addr().IsLoopback() || p.include(n.Addr()) {
		return nil
	}
	return Within(n)
}

// Network is what one unknown caller surely holds: an IPv4 address, an IPv6 /64.
func Network(remote string) netip.Prefix {
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

// Within returns n and, for IPv6, what an unknown caller may hold as well: providers hand
// out a /56 for the asking, and a /48 to anyone who has a site.
func Within(n netip.Prefix) []netip.Prefix {
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

// Tally counts what networks hold. The zero value is ready to be read.
type Tally map[netip.Prefix]int

// Full returns the first of the networks that holds as much as it may, where an
// address may hold limit; an invalid one if there is none.
func (t Tally) Full(networks []netip.Prefix, limit int) netip.Prefix {
	for _, n := range networks {
		if t[n] >= limit*times(n) {
			return n
		}
	}
	return netip.Prefix{}
}

// Add counts one for each of the networks.
func (t *Tally) Add(networks []netip.Prefix) {
	if *t == nil {
		*t = make(Tally)
	}
	for _, n := range networks {
		(*t)[n]++
	}
}

// Remove takes back what Add has counted.
func (t Tally) Remove(networks []netip.Prefix) {
	for _, n := range networks {
		if t[n]--; t[n] <= 0 {
			delete(t, n)
		}
	}
}
