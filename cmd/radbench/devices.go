package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/radius/wire"
)

// The aims of pushes.
const (
	maxDecision = 50.0   // ms, p99 from a device's request to the Access-Accept
	maxPrompt   = 1000.0 // ms, p99 from the Access-Request to the device
	maxStreams  = 500.0  // MiB resident with all devices connected
)

const (
	pendingLogins = 1000
	decisions     = 8000
	deciders      = 8 // devices that decide at once
	connecters    = 64
	promptPace    = 2 * time.Millisecond // between two logins
	settleTime    = 5 * time.Second
	pushTimeout   = 15 * time.Second // for what must come
)

// pushBench measures what users with devices wait for, with the store loaded as
// in the other runs.
func (b *bench) pushBench(ctx context.Context) error {
	if err := b.open(&b.radmatch); err != nil {
		return err
	}
	if !b.keep {
		defer os.RemoveAll(b.dir)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if need := uint64(b.devices) + 500; uint64(limit.Cur) < need { // signed on FreeBSD
		return fmt.Errorf("%d devices need %d open files, the limit is %d: raise it (ulimit -Hn)", b.devices, need, limit.Cur)
	}
	b.pushes = b.devices
	if b.devices < pendingLogins || b.users < b.devices {
		return fmt.Errorf("there must be from %d devices to as many as users", pendingLogins)
	}
	if err := b.write(); err != nil {
		return err
	}
	var secure *tls.Config // nil: no TLS
	if b.tls {
		var err error
		if secure, err = b.addTLS(); err != nil {
			return err
		}
	}
	if err := b.importTokens(ctx); err != nil {
		return err
	}
	key, err := b.addDevices(ctx)
	if err != nil {
		return err
	}
	s, err := b.startRadmatch(ctx)
	if err != nil {
		return err
	}
	defer s.kill() // what is left will not be decided
	empty, err := s.resident()
	if err != nil {
		return err
	}
	b.note("%d users with tokens, %d with a device: %.0f MiB resident", b.users, b.devices, empty)
	f, err := b.newFleet(s, key, secure)
	if err != nil {
		return err
	}
	defer f.close()
	if err := f.decide(ctx); err != nil {
		return fmt.Errorf("decisions: %w", err)
	}
	if err := f.connect(ctx); err != nil {
		return fmt.Errorf("event streams: %w", err)
	}
	return f.prompts(ctx)
}

// fleet is every device, each with a login that it may have open.
type fleet struct {
	*bench
	server *server
	secure *tls.Config // nil: no TLS
	phones []*device.Phone
	logins []login
	conns  []*net.UDPConn // of NASes
}

// login is one device's: its identifier is its own on one NAS's socket.
type login struct {
	nas      *net.UDPConn
	id       byte
	mu       sync.Mutex
	auth     [16]byte
	answered chan time.Time // capacity 1: when the Access-Accept came

	sent   time.Time // the last request
	stream net.Conn
	synced chan error // capacity 1
	came   chan time.Time
}

// perSocket is how many logins have one socket: an identifier is an octet.
const perSocket = 250

func (b *bench) newFleet(s *server, key *ecdsa.PrivateKey, secure *tls.Config) (*fleet, error) {
	f := &fleet{bench: b, server: s, secure: secure, logins: make([]login, b.devices)}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: deciders, TLSClientConfig: secure}}
	url := "http://" + s.web
	if secure != nil {
		url = "https://" + s.web
	}
	for i := range b.devices {
		user := userName(b.users - b.devices + i)
		f.phones = append(f.phones, &device.Phone{Server: url, Device: "bench-" + user, User: user, Version: device.VersionNumber, Key: key, Client: client})
		if i%perSocket == 0 {
			conn, err := net.Dial("udp", s.addr)
			if err != nil {
				f.close()
				return nil, err
			}
			f.conns = append(f.conns, conn.(*net.UDPConn))
		}
		f.logins[i].nas, f.logins[i].id = f.conns[len(f.conns)-1], byte(i%perSocket)
		f.logins[i].answered, f.logins[i].synced, f.logins[i].came = make(chan time.Time, 1), make(chan error, 1), make(chan time.Time, 1)
	}
	for i, conn := range f.conns {
		go f.receive(conn, f.logins[i*perSocket:min((i+1)*perSocket, len(f.logins))])
	}
	return f, nil
}

func (f *fleet) close() {
	for _, c := range f.conns {
		c.Close()
	}
	for i := range f.logins {
		if c := f.logins[i].stream; c != nil {
			c.Close()
		}
	}
}

// receive notes when Accepts come, until the socket is closed. Anything else is
// no answer, and anyone who waits for one says so.
func (f *fleet) receive(conn *net.UDPConn, logins []login) {
	secret := wire.NewSecret([]byte(benchSecret))
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		now := time.Now()
		if err != nil {
			return
		}
		if n < 2 || int(buf[1]) >= len(logins) {
			continue
		}
		l := &logins[buf[1]]
		l.mu.Lock()
		auth := l.auth
		l.mu.Unlock()
		if a, err := wire.ParseAnswer(buf[:n], l.id, &auth, secret); err == nil && a.Code == wire.AccessAccept {
			l.answered <- now
		}
	}
}

// signIn begins the login of a device's user.
func (f *fleet) signIn(i int) error {
	l := &f.logins[i]
	l.mu.Lock()
	rand.Read(l.auth[:])
	auth := l.auth
	l.mu.Unlock()
	q := wire.Query{Code: wire.AccessRequest, User: f.phones[i].User, Cred: mfa.Password(benchPassword)}
	packet, err := q.Append(nil, l.id, &auth, wire.NewSecret([]byte(benchSecret)))
	if err != nil {
		return err
	}
	l.sent = time.Now()
	_, err = l.nas.Write(packet)
	return err
}

// decide keeps logins pending, lets devices approve one after the other, and
// measures until the Access-Accept.
func (f *fleet) decide(ctx context.Context) error {
	for i := range pendingLogins {
		if err := f.signIn(i); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	took := make([][]float64, deciders)
	start := time.Now()
	err := beside(deciders, func(w int) error {
		for n := range decisions / deciders {
			ms, err := f.decideOne(ctx, (w+n*deciders)%pendingLogins)
			if err != nil {
				return err
			}
			took[w] = append(took[w], ms)
		}
		return nil
	})
	if err != nil {
		return err
	}
	all := slices.Concat(took...)
	p99 := percentile(all, 99)
	f.note("%d decisions, %.0f/s, with %d pending: from the device's request to Access-Accept p50 %.1f ms, p99 %.1f ms: %s",
		len(all), float64(len(all))/time.Since(start).Seconds(), pendingLogins, percentile(all, 50), p99, reached(p99, maxDecision))
	return nil
}

// decideOne approves what waits for a device and begins its next login.
func (f *fleet) decideOne(ctx context.Context, i int) (ms float64, err error) {
	l := &f.logins[i]
	var prompts []device.PromptView
	for deadline := time.Now().Add(pushTimeout); len(prompts) == 0; {
		list, err := f.phones[i].Prompts(ctx)
		if err != nil {
			return 0, err
		}
		if prompts = list.Prompts; len(prompts) == 0 && time.Now().After(deadline) {
			return 0, fmt.Errorf("no prompt for %s", f.phones[i].User)
		}
	}
	start := time.Now()
	if _, err := f.phones[i].Decide(ctx, prompts[0], device.ActionApprove, ""); err != nil {
		return 0, err
	}
	select {
	case at := <-l.answered:
		return float64(at.Sub(start).Microseconds()) / 1000, f.signIn(i)
	case <-time.After(pushTimeout):
		return 0, fmt.Errorf("no Access-Accept for %s", f.phones[i].User)
	}
}

// connect opens every device's event stream and measures what they hold.
func (f *fleet) connect(ctx context.Context) error {
	start := time.Now()
	err := beside(connecters, func(w int) error {
		for i := w; i < len(f.logins); i += connecters {
			if err := f.openStream(ctx, i); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	f.note("%d event streams open in %.1f s", len(f.logins), time.Since(start).Seconds())
	time.Sleep(settleTime)
	return nil
}

// openStream opens one stream and waits for its sync.
func (f *fleet) openStream(ctx context.Context, i int) error {
	const target = "/api/v1/events"
	p, l := f.phones[i], &f.logins[i]
	auth, err := device.SignRequest(p.Key, p.Version, p.Device, time.Now(), "GET", target, nil)
	if err != nil {
		return err
	}
	if l.stream, err = f.dial(ctx); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(l.stream, "GET %s HTTP/1.1\r\nHost: bench\r\nAuthorization: %s\r\n\r\n", target, auth); err != nil {
		return err
	}
	go l.listen()
	select {
	case err := <-l.synced:
		return err
	case <-time.After(pushTimeout):
		return errors.New("an event stream does not begin")
	}
}

func (f *fleet) dial(ctx context.Context) (net.Conn, error) {
	d := &net.Dialer{Timeout: pushTimeout}
	if f.secure == nil {
		return d.DialContext(ctx, "tcp", f.server.web)
	}
	return (&tls.Dialer{NetDialer: d, Config: f.secure}).DialContext(ctx, "tcp", f.server.web)
}

// listen reads a stream until it is closed: each event begins a line.
func (l *login) listen() {
	s := bufio.NewScanner(l.stream)
	for s.Scan() {
		switch line := s.Text(); {
		case strings.HasPrefix(line, "HTTP/1.1 ") && !strings.HasPrefix(line, "HTTP/1.1 200"):
			l.synced <- errors.New(line)
			return
		case line == "event: sync":
			l.synced <- nil
		case line == "event: prompt":
			select {
			case l.came <- time.Now():
			default: // a request joined
			}
		}
	}
	select {
	case l.synced <- fmt.Errorf("it ended: %w", cmp.Or(s.Err(), io.EOF)):
	default: // it began, and anyone who waits for more will say so
	}
}

// prompts begins a login of everyone and measures until the device shows it.
// Those that are pending already have no part in it.
func (f *fleet) prompts(ctx context.Context) error {
	connected, err := f.server.resident()
	if err != nil {
		return err
	}
	most := connected
	pace := time.NewTicker(promptPace)
	defer pace.Stop()
	for i := pendingLogins; i < len(f.logins); i++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-pace.C:
		}
		if err := f.signIn(i); err != nil {
			return err
		}
		if i%500 == 0 {
			now, err := f.server.resident()
			if err != nil {
				return err
			}
			most = max(most, now)
		}
	}
	var took []float64
	lost := 0
	deadline := time.After(pushTimeout)
	for i := pendingLogins; i < len(f.logins); i++ {
		select {
		case at := <-f.logins[i].came:
			took = append(took, float64(at.Sub(f.logins[i].sent).Microseconds())/1000)
		case <-deadline:
			lost++
			deadline = time.After(0)
		}
	}
	end, err := f.server.resident()
	if err != nil {
		return err
	}
	most = max(most, end)
	f.note("%d devices connected: %.0f MiB resident, %.0f with as many logins pending: %s", len(f.logins), connected, most, reached(most, maxStreams))
	p99 := percentile(took, 99)
	f.note("%d prompts, %.0f/s: from Access-Request to the device p50 %.1f ms, p99 %.1f ms: %s",
		len(took), float64(time.Second/promptPace), percentile(took, 50), p99, reached(p99, maxPrompt))
	if lost > 0 {
		return fmt.Errorf("%d prompts did not arrive", lost)
	}
	return nil
}

// beside runs f so many times at once, and returns what went wrong.
func beside(n int, f func(worker int) error) error {
	errs := make([]error, n)
	var w sync.WaitGroup
	for i := range n {
		w.Go(func() { errs[i] = f(i) })
	}
	w.Wait()
	return errors.Join(errs...)
}

// percentile returns the value that p percent of ms do not exceed.
func percentile(ms []float64, p int) float64 {
	if len(ms) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(ms))
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}
