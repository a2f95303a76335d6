package web

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/front"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/mfa/push/pushtest"
	"github.com/radmatch/radmatch/mfa/web/webtest"
)

// openStream is a stream as a device reads it.
type openStream struct {
	t     testing.TB
	body  io.ReadCloser
	lines *bufio.Scanner
}

func (r *rig) stream(t testing.TB, device string) *openStream {
	t.Helper()
	resp := r.send(t, request{target: "/api/v1/events", sign: device})
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("status %d, %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	t.Cleanup(func() { resp.Body.Close() })
	return &openStream{t, resp.Body, bufio.NewScanner(resp.Body)}
}

// next returns the next event; its name is empty at the end of the stream.
func (s *openStream) next() (name, data string) {
	for s.lines.Scan() {
		field, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch field {
		case "event":
			name = value
		case "data":
			data = value
		case "":
			if name != "" {
				return name, data
			}
		}
	}
	return "", ""
}

func (s *openStream) want(name, part string) {
	s.t.Helper()
	if n, d := s.next(); n != name || !strings.Contains(d, part) {
		s.t.Fatalf("got %s %s; want %s with %s", n, d, name, part)
	}
}

func TestEvents(t *testing.T) {
	r := newRig(t)
	one, two, bob := r.stream(t, "anna1"), r.stream(t, "anna2"), r.stream(t, "bob1")
	for _, s := range []*openStream{one, two, bob} {
		s.want("sync", `"prompts":[]`)
	}
	done := r.prompt(t, "p1", "")
	one.want("prompt", `"id":"p1"`)
	two.want("prompt", `"end_user":"198.51.100.7"`)
	r.Approver.Amend("p1", make([]mfa.PromptRequest, 2))
	one.want("prompt", `"id":"p1"`)
	two.want("prompt", `"id":"p1"`)

	late := r.stream(t, "anna1") // a device that connects again sees what is live
	late.want("sync", `"id":"p1"`)

	if _, err := r.phone("anna2").Decide(t.Context(), device.PromptView{ID: "p1", User: "anna"}, device.ActionDeny, ""); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, mfa.ErrRejected) {
		t.Errorf("Push: got %v; want mfa.ErrRejected", err)
	}
	for _, s := range []*openStream{one, two, late} {
		s.want("withdrawn", `{"id":"p1","reason":"decided"}`)
	}
	r.Close()
	if n, d := bob.next(); n != "" {
		t.Errorf("bob is told %s %s; want no text", n, d)
	}
}

// TestStreamOfRemovedDeviceEnds, with the next heartbeat, and tells nothing more.
func TestStreamOfRemovedDeviceEnds(t *testing.T) {
	r := newRig(t)
	s := r.stream(t, "anna1")
	s.want("sync", "")
	r.store.Remove("anna1")
	r.prompt(t, "p1", "")
	if n, d := s.next(); n != "" {
		t.Errorf("a removed device is told %s %s; want no text", n, d)
	}
	if status, b, _ := r.do(t, request{target: "/api/v1/events", sign: "anna1"}); status != 401 || b.Code != "device_unknown" {
		t.Errorf("it connects again: got %d %s; want 401, Code \"device_unknown\"", status, b.Code)
	}
}

func TestStreamLimits(t *testing.T) {
	r := newRig(t)
	r.MaxStreams = 4
	first := r.stream(t, "anna1")
	first.want("sync", "")
	second, third := r.stream(t, "anna1"), r.stream(t, "anna1")
	if n, _ := first.next(); n != "" {
		t.Errorf("the oldest stream goes on with: got %s; want no text", n)
	}
	second.want("sync", "")
	third.want("sync", "")
	r.stream(t, "anna2").want("sync", "")
	r.stream(t, "bob1").want("sync", "")
	if status, b, h := r.do(t, request{target: "/api/v1/events", sign: "bob1"}); status != 503 || b.Code != "overloaded" || h.Get("Retry-After") == "" {
		t.Errorf("one too many: %d %s", status, b.Code)
	}
	_ = third.body.Close()
	for deadline := time.Now().Add(5 * time.Second); ; runtime.Gosched() {
		resp := r.send(t, request{target: "/api/v1/events", sign: "bob1"})
		resp.Body.Close()
		if resp.StatusCode == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("got a closed stream that still counts; want it gone")
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.Close()
	if status, _, _ := r.do(t, request{target: "/api/v1/events", sign: "anna2"}); status != 503 {
		t.Errorf("after Close: got %d; want 503", status)
	}
}

// TestStreamOutlivesTimeouts: the limits of a request do not end a stream.
func TestStreamOutlivesTimeouts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = front.NewHTTPServer(r.http.Config.Handler, nil)
	const limit = 300 * time.Millisecond
	srv.Config.ReadTimeout, srv.Config.WriteTimeout = limit, limit
	srv.Start()
	defer srv.Close()
	r.http.URL = srv.URL
	s := r.stream(t, "anna1")
	s.want("sync", "")
	beats := 0
	for start := time.Now(); time.Since(start) < 3*limit; beats++ {
		if !s.lines.Scan() {
			t.Fatalf("ended after %v: got %v; want Scan true", time.Since(start), s.lines.Err())
		}
	}
	if beats < 5 {
		t.Errorf("got %d lines; want at least 5", beats)
	}
	r.prompt(t, "p1", "")
	s.want("prompt", "p1")
	time.Sleep(limit + limit/2) // nothing is written for longer than WriteTimeout
	r.Close()
	if n, _ := s.next(); n != "" || s.lines.Err() != nil {
		t.Errorf("it ends with %q: got %v; want no text, no Err", n, s.lines.Err())
	}
}

// pipes is a listener for connections within the process, which take no time.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c := <-p; c != nil {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestStreamOverTLS: one on which nothing happens for an hour is still there for
// the prompt that comes then, also for who would rather speak HTTP/2.
func TestStreamOverTLS(t *testing.T) {
	cert, key := webtest.Certificate(t, 1, time.Now().Add(time.Hour))
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		st := &pushtest.Store{}
		signer := st.Add(t, "anna", "anna1", device.MaxVersion)
		s := &Server{Store: st, Approver: &push.Approver{Store: st}}
		srv, l := front.NewHTTPServer(s.Handler(), nil), make(pipes)
		srv.TLSConfig = front.TLSConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil })
		go srv.ServeTLS(l, "", "")
		transport := &http.Transport{ForceAttemptHTTP2: true, DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			near, far := net.Pipe()
			l <- far
			c := tls.Client(near, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
			return c, c.HandshakeContext(ctx)
		}}
		auth, err := device.SignRequest(signer, device.MaxVersion, "anna1", time.Now(), "GET", "/api/v1/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		req := httptest.NewRequestWithContext(t.Context(), "GET", "https://mfa.example.org/api/v1/events", nil)
		req.Header.Set("Authorization", auth)
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		events := make(chan string, 10)
		go func() {
			defer close(events)
			for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
				if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
					events <- name
				}
			}
		}()
		if name := <-events; name != "sync" {
			t.Fatalf("it begins with: got %q; want \"sync\"", name)
		}
		time.Sleep(time.Hour)
		ctx, decided := context.WithCancel(t.Context())
		go func() {
			_, _ = s.Approver.Push(ctx, mfa.Prompt{ID: "p1", User: mfa.NameOf("anna"), Expires: time.Now().Add(time.Minute)})
		}()
		if name := <-events; name != "prompt" {
			t.Errorf("got %q", name)
		}
		decided()
		s.Close()
		for range events {
		}
		transport.CloseIdleConnections()
		close(l)
		srv.Close()
	})
}

// watch runs Watch and returns its notices.
func watch(t *testing.T, p *device.Phone, poll bool) (<-chan device.Notice, <-chan error, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	notices, ended := make(chan device.Notice, 100), make(chan error, 1)
	go func() {
		ended <- p.Watch(ctx, poll, func(n device.Notice) error { notices <- n; return nil })
	}()
	return notices, ended, cancel
}

// until returns the first notice that f wants.
func until(t *testing.T, notices <-chan device.Notice, f func(device.Notice) bool) device.Notice {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case n := <-notices:
			if f(n) {
				return n
			}
		case <-timeout:
			t.Fatal("got no update in time; want one")
		}
	}
}

func connected(n device.Notice) bool { return n.Connected }
func isNew(n device.Notice) bool     { return n.New != nil }
func isGone(n device.Notice) bool    { return n.Withdrawn != nil }

func TestPhoneWatch(t *testing.T) {
	for _, poll := range []bool{false, true} {
		t.Run(fmt.Sprint("poll ", poll), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			p := r.phone("anna1")
			done := r.prompt(t, "p1", "42")
			notices, ended, cancel := watch(t, p, poll)
			until(t, notices, connected)
			v := until(t, notices, isNew).New
			if told, err := p.Decide(t.Context(), *v, device.ActionApprove, "42"); told.Outcome != device.OutcomeApproved || err != nil {
				t.Errorf("got %+v, %v", told, err)
			}
			if err := <-done; err != nil {
				t.Errorf("Push: got error %v; want none", err)
			}
			if g := until(t, notices, isGone).Withdrawn; g.ID != "p1" {
				t.Errorf("withdrawn: got %+v; want ID \"p1\"", g)
			}
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("Watch: got %v; want context.Canceled", err)
			}
		})
	}
}

// TestPhoneReconnects after its stream broke, and learns what it missed.
func TestPhoneReconnects(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	notices, _, cancel := watch(t, r.phone("anna1"), false)
	defer cancel()
	until(t, notices, connected)
	r.http.CloseClientConnections()
	r.prompt(t, "p1", "")
	if v := until(t, notices, isNew).New; v.ID != "p1" {
		t.Errorf("got %+v", v)
	}
}

// TestPhoneFallsBackToPolling where a proxy lets no stream through.
func TestPhoneFallsBackToPolling(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var streams atomic.Int32
	inner := r.http.Config.Handler
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/api/v1/events" {
			streams.Add(1)
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<h1>\x1b[31mno streams here</h1>"))
			return
		}
		inner.ServeHTTP(w, q)
	}))
	defer proxy.Close()
	p := r.phone("anna1")
	p.Server = proxy.URL
	r.prompt(t, "p1", "")
	notices, _, cancel := watch(t, p, false)
	defer cancel()
	if v := until(t, notices, isNew).New; v.ID != "p1" || streams.Load() == 0 {
		t.Errorf("got %+v after %d tries at a stream", v, streams.Load())
	}
}

// TestPhoneWithWrongClock takes the server's time.
func TestPhoneWithWrongClock(t *testing.T) {
	r := newRig(t)
	inner := r.http.Config.Handler
	var refused atomic.Int32
	// The phone's clock cannot be set; a server whose clock is an hour off is the same.
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		a, err := device.ParseRequestAuth(q.Header.Get("Authorization"))
		if err == nil && a.Age(time.Now().Add(time.Hour)) > device.MaxSkew {
			refused.Add(1)
			now := time.Now().Add(time.Hour)
			answer(w, 401, device.ErrorBody{Code: "clock_skew", Message: "wrong", Time: &now})
			return
		}
		if err == nil && q.URL.Path == "/api/v1/prompts" {
			answer(w, 200, device.PromptList{Prompts: []device.PromptView{}})
			return
		}
		inner.ServeHTTP(w, q)
	}))
	defer proxy.Close()
	p := r.phone("anna1")
	p.Server = proxy.URL
	for range 3 {
		if _, err := p.Prompts(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if refused.Load() != 1 {
		t.Errorf("refused %d times, want once", refused.Load())
	}
}

// TestPhoneStops when it was removed, and says so.
func TestPhoneStops(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	notices, ended, cancel := watch(t, r.phone("anna1"), false)
	defer cancel()
	until(t, notices, connected)
	r.store.Remove("anna1")
	select {
	case err := <-ended:
		var told *device.PhoneError
		if !errors.As(err, &told) || told.Code != "device_unknown" {
			t.Errorf("got %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("got a stream that goes on; want its end")
	}
}

// TestPhoneFollowsNoRedirect: an invitation goes to nobody else.
func TestPhoneFollowsNoRedirect(t *testing.T) {
	reached := false
	evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer evil.Close()
	srv := httptest.NewServer(http.RedirectHandler(evil.URL, http.StatusTemporaryRedirect))
	defer srv.Close()
	token, _ := device.NewInvitation(mfa.NameOf("anna"), time.Now())
	if _, err := device.Enroll(t.Context(), device.InvitationLink(srv.URL, token), "x", 2, nil); err == nil || reached || strings.Contains(err.Error(), token) {
		t.Errorf("got %v, reached %v", err, reached)
	}
}

// TestHostileAnswers: what a server, or who plays it, sends does not harm the phone.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"not JSON": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) },
		"endless":  func(w http.ResponseWriter, q *http.Request) { _, _ = io.CopyN(w, endlessSpace{}, 64<<20) },
		"always skewed": func(w http.ResponseWriter, _ *http.Request) {
			answer(w, 401, device.ErrorBody{Code: "clock_skew", Time: &time.Time{}})
		},
		"never the version": func(w http.ResponseWriter, q *http.Request) {
			auth, _ := device.ParseRequestAuth(q.Header.Get("Authorization"))
			lower := max(1, auth.Version%device.MaxVersion)
			answer(w, 400, device.ErrorBody{Code: "version_unsupported", MinVersion: lower, MaxVersion: lower})
		},
		"escape in text": func(w http.ResponseWriter, _ *http.Request) { fail(w, 400, "x\x1b[2J", "y\x1b[2J") },
	} {
		srv := httptest.NewServer(h)
		r := newRig(t)
		p := r.phone("anna1")
		p.Server = srv.URL
		if l, err := p.Prompts(t.Context()); err == nil || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s: got %+v, %v", name, l, err)
		}
		srv.Close()
	}
}

// TestEnrollHostileAnswer: what the program prints of an enrolment and sends in
// headers is as the protocol has it.
func TestEnrollHostileAnswer(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "d\x1b[2J", "d, time=1", "d1\n", strings.Repeat("d", 65)} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			answer(w, 201, device.EnrollResponse{Device: id, User: "anna"})
		}))
		if p, err := device.Enroll(t.Context(), device.InvitationLink(srv.URL, "TOKEN"), "phone", device.MaxVersion, nil); err == nil {
			t.Errorf("device id %q is taken; want an error", p.Device)
		}
		srv.Close()
	}
}

type endlessSpace struct{}

func (endlessSpace) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// BenchmarkStreams opens one stream more each time: what a connected device
// costs, the client in this process included.
func BenchmarkStreams(b *testing.B) {
	r := newRig(b)
	r.Heartbeat = time.Minute
	memory := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before, n := memory(), 0
	for b.Loop() {
		id := fmt.Sprint("dev", n)
		r.keys[id] = r.store.Add(b, fmt.Sprint("user", n), id, 2)
		r.stream(b, id).want("sync", "")
		n++
	}
	b.ReportMetric(float64(memory()-before)/float64(n), "B/device-both-ends")
}

// BenchmarkDecision: from the device's request to the end of Push.
func BenchmarkDecision(b *testing.B) {
	r := newRig(b)
	p := r.phone("anna1")
	for i := 0; b.Loop(); i++ {
		if i%500 == 0 {
			r.nonces = nonces{}
		}
		done := r.prompt(b, fmt.Sprint("p", i), "")
		if _, err := p.Decide(b.Context(), device.PromptView{ID: fmt.Sprint("p", i), User: "anna"}, device.ActionApprove, ""); err != nil {
			b.Fatal(err)
		}
		<-done
	}
}
