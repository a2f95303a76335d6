package web

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/radmatch/radmatch/mfa/device"
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
	a, b := prefixes("198.51.100.7/32"), prefixes("198.51.100.8/32")
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
		if s.add(string(rune('a'+i)), nil, limit, perAddress) == nil {
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

// doorRig is a door, and who comes to it.
type doorRig struct {
	*door
	inner *pipeListener
}

func newDoor(t *testing.T, d *door) *doorRig {
	r := &doorRig{d, &pipeListener{conns: make(chan net.Conn, 1), done: make(chan struct{})}}
	d.Listener = r.inner
	d.connects, d.freed = rates{every: rate.Inf, burst: 1}, make(chan struct{}, 1)
	return r
}

// enter has somebody connect, who is let in.
func (r *doorRig) enter(t *testing.T, from string) (client net.Conn, server *conn) {
	t.Helper()
	time.Sleep(grace) // that of all before is over
	client, inner := net.Pipe()
	r.inner.conns <- addressed{inner, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))}
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

// TestDoor: strangers push out each other, never a device, and no network holds more
// than its share.
func TestDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newDoor(t, &door{trusted: prefixes("192.0.2.1/32"), limit: 10, strangersLimit: 6, addressLimit: 2})
		one, _ := r.enter(t, "198.51.100.7:1")
		two, _ := r.enter(t, "198.51.100.7:2")
		_, three := r.enter(t, "198.51.100.7:3")
		if !closed(one) || closed(two) {
			t.Error("a third connection of one address takes not the place of its first")
		}
		three.device()
		r.enter(t, "198.51.100.7:4")
		if closed(two) {
			t.Error("a device's connection counts as a stranger's")
		}
		// One /64, one /56, and a /48 that has twice as much.
		var six []net.Conn
		for _, from := range []string{"[2001:db8:0:0::1]:1", "[2001:db8:0:0::2]:1", "[2001:db8:0:1::1]:1", "[2001:db8:0:100::1]:1", "[2001:db8:0:200::1]:1", "[2001:db8:0:300::1]:1"} {
			c, _ := r.enter(t, from)
			six = append(six, c)
		}
		for i, want := range []bool{true, true, false, false, false, false} {
			if got := closed(six[i]); got != want {
				t.Errorf("connection %d of a /48: closed %v", i, got)
			}
		}
		if closed(two) {
			t.Error("the oldest gave way before there was need")
		}
		// A proxy has no share of its own, but strangers are few all together.
		for range 4 {
			r.enter(t, "192.0.2.1:1")
		}
		if !closed(two) || r.strangers.Len() != 6 {
			t.Errorf("%d strangers, the oldest is there", r.strangers.Len())
		}
	})
}

// TestDoorFull: where devices have all connections nobody comes in, and a place is
// free again once, however often a connection is closed.
func TestDoorFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newDoor(t, &door{limit: 3, strangersLimit: 2, addressLimit: 2})
		var devices []*conn
		for range 3 {
			_, c := r.enter(t, "198.51.100.7:1")
			c.device()
			devices = append(devices, c)
		}
		refused, inner := net.Pipe()
		r.inner.conns <- addressed{inner, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.8:1"))}
		go r.Accept()
		synctest.Wait()
		if !closed(refused) {
			t.Error("a fourth connection")
		}
		for range 2 {
			_ = devices[0].Close()
		}
		again, inner := net.Pipe() // by the Accept that waits
		r.inner.conns <- addressed{inner, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.8:2"))}
		synctest.Wait()
		if closed(again) || r.count != 3 {
			t.Errorf("%d connections after one was closed twice", r.count)
		}
	})
}

// TestConnectRate: how often an address connects is bounded too.
func TestConnectRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newDoor(t, &door{limit: 10, strangersLimit: 6, addressLimit: 6})
		r.connects = rates{every: 0.1, burst: 3}
		var clients []net.Conn
		for range 3 {
			c, _ := r.enter(t, "198.51.100.7:1")
			clients = append(clients, c)
		}
		refused, inner := net.Pipe()
		r.inner.conns <- addressed{inner, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.7:2"))}
		go r.Accept()
		synctest.Wait()
		if !closed(refused) || closed(clients[0]) {
			t.Error("a fourth connection within seconds")
		}
		_ = r.inner.Close()
	})
}

// TestDoorWaits: who comes when strangers have all their places, each within its
// grace, waits for the first that is free, and pushes nobody out before.
func TestDoorWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newDoor(t, &door{limit: 10, strangersLimit: 2, addressLimit: 2})
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
		r.inner.conns <- addressed{inner, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.9:1"))}
		accept()
		_, inner = net.Pipe()
		r.inner.conns <- addressed{inner, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.10:1"))}
		accept()
		if a, b := <-accepted, <-accepted; a != 0 || b != grace {
			t.Errorf("they waited %v and %v", a, b)
		}
		if closed(first) || !closed(second) || closed(third) {
			t.Error("the oldest stranger is not the one who gave way")
		}
	})
}

// TestStrangerIsShort: a connection that no device has proved its own ends after
// some seconds, that of a device not.
func TestStrangerIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newDoor(t, &door{limit: 10, strangersLimit: 6, addressLimit: 6})
		st := &pushtest.Store{}
		key := st.Add(t, "anna", "anna1", device.MaxVersion)
		s := &Server{Store: st, Approver: &push.Approver{Store: st}}
		srv := NewHTTPServer(s.Handler(), nil)
		served := make(chan error, 1)
		go func() { served <- srv.Serve(r.door) }()
		auth, err := device.SignRequest(key, device.MaxVersion, "anna1", time.Now(), "GET", "/api/v1/prompts", nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			request string
			alive   bool
		}{
			"stranger": {"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", false},
			"device":   {"GET /api/v1/prompts HTTP/1.1\r\nHost: x\r\nAuthorization: " + auth + "\r\n\r\n", true},
		} {
			client, inner := net.Pipe()
			r.inner.conns <- addressed{inner, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.7:1"))}
			if _, err := io.WriteString(client, c.request); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(client), nil)
			if err != nil || answer.StatusCode != 200 {
				t.Fatalf("%s: %v, %v", name, answer, err)
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = client.SetReadDeadline(time.Now().Add(strangerIdle + time.Second))
			_, err = client.Read(make([]byte, 1))
			if alive := err != io.EOF; alive != c.alive {
				t.Errorf("%s: alive %v, %v", name, alive, err)
			}
			_ = client.Close()
		}
		_ = srv.Close()
		<-served
	})
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
