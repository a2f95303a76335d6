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

	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/front"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/mfa/push/pushtest"
	"github.com/radmatch/radmatch/mfa/web/webtest"
)

// The limits of package front that these tests see.
const (
	shortHeader = 5 * time.Second // to read the header of a request
	shortIdle   = 5 * time.Second // between two requests of an unknown caller
)

// from is a connection from an address.
type from struct {
	net.Conn
	at net.Addr
}

func (c from) RemoteAddr() net.Addr { return c.at }

// TestUnknownCallerIsShort: a connection that no device has proved its own ends after
// some seconds, that of a device not.
func TestUnknownCallerIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		comes := webtest.NewListener(1)
		st := &pushtest.Store{}
		key := st.Add(t, "anna", "anna1", device.MaxVersion)
		s := &Server{Store: st, Approver: &push.Approver{Store: st}}
		srv := front.NewHTTPServer(s.Handler(), nil)
		served := make(chan error, 1)
		go func() { served <- srv.Serve(front.LimitListener(comes, nil, 100)) }()
		auth, err := device.SignRequest(key, device.MaxVersion, "anna1", time.Now(), "GET", "/api/v1/prompts", nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			request string
			alive   bool
		}{
			"unsure": {"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", false},
			"device": {"GET /api/v1/prompts HTTP/1.1\r\nHost: x\r\nAuthorization: " + auth + "\r\n\r\n", true},
		} {
			client, inner := net.Pipe()
			comes.Conns <- from{inner, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.7:1"))}
			if _, err := io.WriteString(client, c.request); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(client), nil)
			if err != nil || answer.StatusCode != 200 {
				t.Fatalf("%s: got %v, %v; want no error, StatusCode 200", name, answer, err)
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = client.SetReadDeadline(time.Now().Add(shortIdle + time.Second))
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
	slow(t, "G", shortHeader)
	slow(t, "GET /healthz HTTP/1.1\r\nX: ", shortHeader)
}

// TestSlowBody: a body that comes drop by drop ends with its connection.
func TestSlowBody(t *testing.T) {
	slow(t, "POST /api/v1/enroll HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 8000\r\n\r\n", front.RequestTimeout)
}

// TestSilentConnection: so does one that sends nothing at all, or no second request.
func TestSilentConnection(t *testing.T) {
	slow(t, "", shortHeader)
}

// slow sends a text at once, then a drop each second, and expects the end.
func slow(t *testing.T, text string, within time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		l := webtest.NewListener(0)
		st := &pushtest.Store{}
		s := &Server{Store: st, Approver: &push.Approver{Store: st}}
		srv := front.NewHTTPServer(s.Handler(), nil)
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		client, server := net.Pipe()
		l.Conns <- server
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
