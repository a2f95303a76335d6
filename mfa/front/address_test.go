package front

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func networks(texts ...string) (list []netip.Prefix) {
	for _, t := range texts {
		list = append(list, netip.MustParsePrefix(t))
	}
	return list
}

func TestClientAddress(t *testing.T) {
	trusted := Proxies(networks("127.0.0.0/8", "10.0.0.0/24", "2001:db8::/64"))
	for _, c := range []struct {
		remote  string
		forward []string
		want    string
	}{
		{"198.51.100.7:1000", nil, "198.51.100.7:1000"},
		{"198.51.100.7:1000", []string{"203.0.113.9"}, "198.51.100.7:1000"}, // an unknown caller says so
		{"127.0.0.1:1000", nil, "127.0.0.1:1000"},
		{"127.0.0.1:1000", []string{"203.0.113.9"}, "203.0.113.9:0"},
		{"127.0.0.1:1000", []string{"192.0.2.66, 203.0.113.9"}, "203.0.113.9:0"}, // the first is the unknown caller's own
		{"127.0.0.1:1000", []string{"192.0.2.66", "203.0.113.9"}, "203.0.113.9:0"},
		{"127.0.0.1:1000", []string{"192.0.2.66, 203.0.113.9, 10.0.0.3"}, "203.0.113.9:0"}, // two proxies
		{"127.0.0.1:1000", []string{"203.0.113.9:5678"}, "203.0.113.9:0"},
		{"127.0.0.1:1000", []string{"[2001:db8:1::9]:5678"}, "[2001:db8:1::9]:0"},
		{"127.0.0.1:1000", []string{"[2001:db8:1::9]"}, "[2001:db8:1::9]:0"},
		{"[2001:db8::1%eth0]:1000", []string{"203.0.113.9"}, "203.0.113.9:0"},
		{"[::ffff:127.0.0.1]:1000", []string{"::ffff:203.0.113.9"}, "203.0.113.9:0"},
		{"127.0.0.1:1000", []string{"192.0.2.66, unknown"}, "127.0.0.1:1000"},
		{"127.0.0.1:1000", []string{"192.0.2.66,"}, "127.0.0.1:1000"},
		{"127.0.0.1:1000", []string{strings.Repeat("10.0.0.1,", 1000) + "10.0.0.1"}, "10.0.0.1:0"},
		{"pipe", []string{"203.0.113.9"}, "invalid AddrPort"},
	} {
		if got := trusted.Client(c.remote, http.Header{"X-Forwarded-For": c.forward}); got.String() != c.want {
			t.Errorf("%s, %.60q: got %s, want %s", c.remote, c.forward, got, c.want)
		}
	}
}

func FuzzClientAddress(f *testing.F) {
	f.Add("127.0.0.1:1", "192.0.2.66, [2001:db8::1]:80")
	trusted := Proxies(networks("127.0.0.0/8"))
	f.Fuzz(func(t *testing.T, remote, forward string) {
		at := trusted.Client(remote, http.Header{"X-Forwarded-For": {forward}})
		peer, err := netip.ParseAddrPort(remote)
		if err == nil && !trusted.include(peer.Addr().Unmap().WithZone("")) && at.Addr() != peer.Addr().Unmap().WithZone("") {
			t.Errorf("%q, %q: got %s", remote, forward, at)
		}
	})
}

// TestBehindProxy: limits and log are about who is behind a trusted proxy, and
// about the proxy where nobody has named it.
func TestBehindProxy(t *testing.T) {
	for name, trust := range map[string]bool{"trusted": true, "not trusted": false} {
		t.Run(name, func(t *testing.T) {
			var trusted Proxies
			if trust {
				trusted = networks("192.0.2.1/32")
			}
			var seen string
			h := Believe(trusted, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.RemoteAddr }))
			r, _ := http.NewRequest("GET", "/", nil)
			r.RemoteAddr = "192.0.2.1:1000"
			r.Header.Set("X-Forwarded-For", "198.51.100.7")
			h.ServeHTTP(nil, r)
			if want := map[bool]string{true: "198.51.100.7:0", false: "192.0.2.1:1000"}[trust]; seen != want {
				t.Errorf("got %s, want %s", seen, want)
			}
		})
	}
}
