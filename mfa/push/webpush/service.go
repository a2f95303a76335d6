package webpush

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/radmatch/radmatch/mfa/device"
)

// BrowserServices are the push services of the large browsers: Chrome and its kin, Firefox,
// Edge, Safari. It returns a new list.
func BrowserServices() []string {
	return []string{"fcm.googleapis.com", "updates.push.services.mozilla.com", "*.notify.windows.com", "*.push.apple.com", "web.push.apple.com"}
}

// Service is a host that this server may send messages to. What a device
// names as its endpoint is a request that this server makes: without a list,
// anyone who has a device could have it talk to any machine behind the firewall.
type Service struct {
	host   string // lower case
	port   string
	below  bool // any host below host, and not host itself
	inside bool // may have an address that is not of the internet
}

var errService = errors.New("must be HOST, *.DOMAIN or HOST:PORT")

// ParseService reads HOST, *.DOMAIN or HOST:PORT. The port is 443 where it is
// not said. Only a host that is named in full, and is none of BrowserServices, may
// have an address within a private network: the operator runs it.
func ParseService(text string) (Service, error) {
	s := Service{host: text, port: "443"}
	if host, port, ok := strings.Cut(text, ":"); ok {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port || n == 0 {
			return Service{}, errService
		}
		s.host, s.port = host, port
	}
	s.host, s.below = strings.CutPrefix(s.host, "*.")
	if !hostname(s.host) || s.below && !strings.Contains(s.host, ".") {
		return Service{}, errService
	}
	s.inside = !s.below && !slices.Contains(BrowserServices(), s.host)
	return s, nil
}

// hostname reports whether s is a name or an IPv4 address as the list and
// endpoints may have it. One spelling a host: no dot at the end, no capitals.
func hostname(s string) bool {
	return s != "" && len(s) <= 253 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-") == "" &&
		s[0] != '.' && s[len(s)-1] != '.' && !strings.Contains(s, "..")
}

func (s Service) has(host, port string) bool {
	if port != s.port || !hostname(host) {
		return false
	}
	if s.below {
		return strings.HasSuffix(host, "."+s.host)
	}
	return host == s.host
}

// parseEndpoint takes the endpoint of a subscription apart.
func parseEndpoint(endpoint string) (u *url.URL, host, port string, err error) {
	u, err = url.Parse(endpoint)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Opaque != "" || u.Fragment != "" {
		return nil, "", "", fmt.Errorf("%w: endpoint must be an https URL without user and fragment", device.ErrMalformed)
	}
	if port = u.Port(); port == "" {
		port = "443"
	}
	return u, strings.ToLower(u.Hostname()), port, nil
}

// dial connects only to a host of the list, and looks at the address that its
// name has at this moment: a name that is let through must not lead inside.
func (w *Sender) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	l := w.serviceQueue(host, port)
	if l == nil {
		return nil, ErrService
	}
	d := net.Dialer{Timeout: dialTimeout}
	if !l.service.inside {
		d.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil || !public(ap.Addr()) {
				return errors.New("its address is none of the internet")
			}
			return nil
		}
	}
	return d.DialContext(ctx, network, address)
}

// notPublic are the blocks that are no hosts of the internet, beside those that
// netip.Addr knows (RFC 6890).
func notPublic() []netip.Prefix {
	var list []netip.Prefix
	for _, p := range []string{"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "240.0.0.0/4", "::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "fec0::/10"} {
		list = append(list, netip.MustParsePrefix(p))
	}
	return list
}

// public reports whether an address is one of the internet.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	// Addresses that lead to an IPv4 one: NAT64 (RFC 6052), 6to4 (RFC 3056).
	if b := a.As16(); netip.MustParsePrefix("64:ff9b::/96").Contains(a) {
		return public(netip.AddrFrom4([4]byte(b[12:])))
	} else if netip.MustParsePrefix("2002::/16").Contains(a) {
		return public(netip.AddrFrom4([4]byte(b[2:])))
	}
	return a.IsGlobalUnicast() && !a.IsPrivate() &&
		!slices.ContainsFunc(notPublic(), func(p netip.Prefix) bool { return p.Contains(a) })
}
