package web

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/mfa/push/pushtest"
)

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, t := range texts {
		list = append(list, netip.MustParsePrefix(t))
	}
	return list
}

func TestClientAddress(t *testing.T) {
	trusted := proxies(prefixes("127.0.0.0/8", "10.0.0.0/24", "2001:db8::/64"))
	for _, c := range []struct {
		remote  string
		forward []string
		want    string
	}{
		{"198.51.100.7:1000", nil, "198.51.100.7:1000"},
		{"198.51.100.7:1000", []string{"203.0.113.9"}, "198.51.100.7:1000"}, // a stranger says so
		{"127.0.0.1:1000", nil, "127.0.0.1:1000"},
		{"127.0.0.1:1000", []string{"203.0.113.9"}, "203.0.113.9:0"},
		{"127.0.0.1:1000", []string{"192.0.2.66, 203.0.113.9"}, "203.0.113.9:0"}, // the first is the stranger's own
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
		if got := trusted.client(c.remote, http.Header{"X-Forwarded-For": c.forward}); got.String() != c.want {
			t.Errorf("%s, %.60q: got %s, want %s", c.remote, c.forward, got, c.want)
		}
	}
}

func FuzzClientAddress(f *testing.F) {
	f.Add("127.0.0.1:1", "192.0.2.66, [2001:db8::1]:80")
	trusted := proxies(prefixes("127.0.0.0/8"))
	f.Fuzz(func(t *testing.T, remote, forward string) {
		at := trusted.client(remote, http.Header{"X-Forwarded-For": {forward}})
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
			st := &pushtest.Store{}
			s := &Server{Store: st, Approver: &push.Approver{Store: st}}
			if trust {
				s.TrustedProxies = prefixes("192.0.2.1/32")
			}
			var seen string
			h := s.believe(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.RemoteAddr }))
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

func TestAddressStreams(t *testing.T) {
	var s streams
	a, b := netip.MustParsePrefix("198.51.100.7/32"), netip.MustParsePrefix("198.51.100.8/32")
	const limit, perAddress = 100, 2
	first := s.add("d1", a, limit, perAddress)
	if first == nil || s.add("d2", a, limit, perAddress) == nil {
		t.Fatal("refused")
	}
	if s.add("d3", a, limit, perAddress) != nil {
		t.Error("a third stream of one address")
	}
	if s.add("d3", b, limit, perAddress) == nil {
		t.Error("another address has none")
	}
	for i := range 10 { // this machine, or a proxy: no limit of its own
		if s.add(string(rune('a'+i)), netip.Prefix{}, limit, perAddress) == nil {
			t.Fatal("a proxy is limited")
		}
	}
	s.remove("d1", first)
	s.remove("d1", first)
	if s.add("d4", a, limit, perAddress) == nil {
		t.Error("no room after one has ended")
	}
	s.end("d2")
	s.end("d2")
	if s.add("d5", a, limit, perAddress) == nil || s.add("d6", a, limit, perAddress) != nil {
		t.Error("a device that was ended counts wrongly")
	}
	s.close()
	if len(s.open) != 0 || len(s.addresses) != 0 || s.add("d7", b, limit, perAddress) != nil {
		t.Error("open after close")
	}
}

// addressed is a connection from an address.
type addressed struct {
	net.Conn
	from net.Addr
}

func (c addressed) RemoteAddr() net.Addr { return c.from }

func TestAddressConnections(t *testing.T) {
	inner := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	l := &addressListener{Listener: inner, trusted: prefixes("192.0.2.1/32"), limit: 2}
	connect := func(from string) (client net.Conn) {
		client, server := net.Pipe()
		inner.conns <- addressed{server, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))}
		return client
	}
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	taken := func(from string) net.Conn {
		t.Helper()
		connect(from)
		return <-accepted
	}
	one := taken("198.51.100.7:1")
	taken("198.51.100.7:2")
	refused := connect("198.51.100.7:3")
	if _, err := refused.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a third connection of one address: %v", err)
	}
	taken("198.51.100.8:1")
	taken("[2001:db8::1]:1")
	taken("[2001:db8::2]:1")
	if _, err := connect("[2001:db8::3]:1").Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a third connection of one /64: %v", err)
	}
	for range 5 {
		taken("192.0.2.1:1") // the proxy
		taken("127.0.0.1:1") // maybe one
	}
	_ = one.Close()
	_ = one.Close()
	taken("198.51.100.7:4")
	if _, err := connect("198.51.100.7:5").Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a connection that was closed twice counts twice: %v", err)
	}
	_ = inner.Close()
	<-accepted
}

// TestSlowHeaders: a connection that sends its request drop by drop is closed.
func TestSlowHeaders(t *testing.T) {
	slow(t, "G", headerTimeout)
	slow(t, "GET /healthz HTTP/1.1\r\nX: ", headerTimeout)
}

// TestSlowBody: a body that comes drop by drop ends with its connection.
func TestSlowBody(t *testing.T) {
	slow(t, "POST /api/v1/enroll HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 8000\r\n\r\n", requestTimeout)
}

// TestSilentConnection: so does one that sends nothing at all, or no second request.
func TestSilentConnection(t *testing.T) {
	slow(t, "", headerTimeout)
}

// slow sends a text at once, then a drop each second, and expects the end.
func slow(t *testing.T, text string, within time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
		st := &pushtest.Store{}
		s := &Server{Store: st, Approver: &push.Approver{Store: st}}
		srv := NewHTTPServer(s.Handler(), nil)
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		client, server := net.Pipe()
		l.conns <- server
		start := time.Now()
		wrote := make(chan struct{})
		go func() {
			defer close(wrote)
			if _, err := io.WriteString(client, text); err != nil || text == "" {
				return
			}
			for {
				time.Sleep(time.Second)
				if _, err := client.Write([]byte(" ")); err != nil {
					return
				}
			}
		}()
		if answer, err := io.ReadAll(client); err != nil || len(answer) > 0 && !strings.HasPrefix(string(answer), "HTTP/1.1 4") {
			t.Errorf("got %q, %v", answer, err)
		}
		if took := time.Since(start); took > within+2*time.Second {
			t.Errorf("it took %v", took)
		}
		_ = client.Close()
		_ = srv.Close()
		<-served
		<-wrote
	})
}
