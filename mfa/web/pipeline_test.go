package web

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa/front"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/mfa/push/pushtest"
)

// TestPipelining: a client that does not wait for its answers gets at most two, and
// its connection ends; one that waits is served as long as it asks.
func TestPipelining(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	st := &pushtest.Store{}
	srv := front.NewHTTPServer((&Server{Store: st, Approver: &push.Approver{Store: st}}).Handler(), nil)
	go srv.Serve(front.LimitListener(inner, nil, 100))
	defer srv.Close()
	small := "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
	large := "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Large: " + strings.Repeat("x", 4000) + "\r\n\r\n"
	body := "POST /api/v1/enroll HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
	for name, text := range map[string]string{"small": small, "large": large, "with a body": body, "mixed": small + body + large} {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		go io.WriteString(c, strings.Repeat(text, 200)) // it ends with the connection
		answers := 0
		for r := bufio.NewReader(c); ; answers++ {
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
					t.Errorf("%s: the connection goes on", name)
				}
				break
			}
			_, _ = io.Copy(io.Discard, resp.Body)
		}
		if answers > 2 {
			t.Errorf("%s: %d answers; want at most 2", name, answers)
		}
		_ = c.Close()
	}

	c, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for i := range 300 {
		text := []string{small, large, body}[i%3]
		fmt.Fprint(c, text[:10])
		fmt.Fprint(c, text[10:])
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode >= 500 {
			t.Fatalf("request %d: got %v, %v; want no error, StatusCode less than 500", i, resp, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
	}
}
