package upstream

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/caller"
	"github.com/radmatch/radmatch/radius/wire"
)

// hostileAnswers are packets that answer nothing, though some come near it.
func hostileAnswers(h *home, q *homeRequest, earlier []byte) map[string][]byte {
	right := h.reply(q, wire.AccessAccept, nil)
	resign := func(p []byte, secret *wire.Secret) []byte { // both authenticators, over whatever p is
		copy(p[4:], q.Auth())
		if at := bytes.Index(p[wire.HeaderSize:], []byte{wire.TypeMessageAuthenticator, 18}); at >= 0 {
			sum := secret.Sign(p, wire.HeaderSize+at+2)
			copy(p[wire.HeaderSize+at+2:], sum[:])
		}
		sum := secret.Digest(p)
		copy(p[4:], sum[:])
		return p
	}
	cut := func(p []byte, n int) []byte { return bytes.Clone(p[:n]) }
	changed := func(change func(p []byte)) []byte {
		p := bytes.Clone(right)
		change(p)
		return p
	}
	grown := func(attributes ...[]byte) []byte {
		p := bytes.Clone(right)
		for _, a := range attributes {
			p = append(p, a...)
		}
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		return resign(p, h.secret)
	}
	unsigned := append(cut(right, wire.HeaderSize), right[wire.HeaderSize+18:]...)
	binary.BigEndian.PutUint16(unsigned[2:], uint16(len(unsigned)))
	return map[string][]byte{
		"another secret":                 resign(bytes.Clone(right), wire.NewSecret([]byte("another secret"))),
		"no Message-Authenticator":       resign(unsigned, h.secret),
		"two Message-Authenticators":     grown(emptyMA()),
		"wrong Response Authenticator":   changed(func(p []byte) { p[19] ^= 1 }),
		"wrong Message-Authenticator":    changed(func(p []byte) { p[wire.MAOffset] ^= 1 }),
		"a Reject made an Accept":        append([]byte{byte(wire.AccessAccept)}, h.reply(q, wire.AccessReject, nil)[1:]...),
		"another identifier":             resign(changed(func(p []byte) { p[1]++ }), h.secret),
		"another Proxy-State":            grown(avp(wire.TypeProxyState, "theirs")),
		"another code":                   resign(changed(func(p []byte) { p[0] = 5 }), h.secret),
		"a request":                      resign(changed(func(p []byte) { p[0] = 1 }), h.secret),
		"a Status-Server":                resign(changed(func(p []byte) { p[0] = 12 }), h.secret),
		"the request itself":             q.Raw,
		"the header":                     cut(right, wire.HeaderSize),
		"half a header":                  cut(right, 10),
		"nothing":                        {},
		"truncated":                      cut(right, len(right)-1),
		"length below the header":        changed(func(p []byte) { p[2], p[3] = 0, 19 }),
		"length beyond the packet":       changed(func(p []byte) { p[2] = 0x0f }),
		"oversize":                       append(changed(func(p []byte) { p[2], p[3] = 0x10, 0x01 }), make([]byte, 4097-len(right))...),
		"attribute of length 0":          grown([]byte{25, 0}),
		"attribute of length 1":          grown([]byte{25, 1}),
		"attribute beyond the packet":    grown([]byte{25, 200, 1}),
		"replayed":                       earlier,
		"replayed, with this identifier": append([]byte{earlier[0], q.ID}, earlier[2:]...),
	}
}

// TestUpstreamHostile: none of them is an answer; each ends in "no answer", when
// the time is over, and the right answer after all of them is taken.
func TestUpstreamHostile(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	u, _ := upstreamOf(t, func(s *Settings) { s.Timeout, s.DeadAfter = 500*time.Millisecond, 100 }, h)
	var earlier []byte
	h.then = func(_ *homeRequest, p []byte) []byte { earlier = p; return p }
	if _, err := u.Check(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse")); err != nil {
		t.Fatal(err)
	}
	// The user is called like the one packet that comes; alice gets them all.
	var first []byte
	var names []string
	h.set(func() {
		first = bytes.Clone(earlier)
		h.then = nil
		for name := range hostileAnswers(h, &homeRequest{Request: wire.Request{Raw: raw(wire.AccessRequest, 1, 1), ID: 1}}, first) {
			names = append(names, name)
		}
		h.answer = func(q *homeRequest) [][]byte {
			all := hostileAnswers(h, q, first)
			if q.user != "alice" {
				return [][]byte{all[q.user]}
			}
			return append(slices.Collect(maps.Values(all)), h.reply(q, wire.AccessAccept, func(w *wire.Writer) { w.Text(25, "right") }))
		}
	})
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() {
			began := time.Now()
			id, err := u.Check(t.Context(), mfa.NameOf(name), mfa.Password("right horse"))
			if !errors.Is(err, caller.ErrNoAnswer) || errors.Is(err, mfa.ErrRejected) || !reflect.DeepEqual(id, mfa.Identity{}) {
				t.Errorf("%s: got %+v, %v", name, id, err)
			}
			if took := time.Since(began); took < 450*time.Millisecond {
				t.Errorf("%s: the wait has ended after %v; want at least 450*time.Millisecond", name, took)
			}
		})
	}
	wg.Wait()
	u.timeout = 10 * time.Second // this one is answered, however busy the machine is
	id, err := u.Check(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse"))
	if err != nil || len(id.Attributes) != 1 || string(id.Attributes[0].Value) != "right" {
		t.Errorf("the right answer after all of them: %+v, %v", id, err)
	}
}

// TestUpstreamOtherSource: the right answer from another address is none.
func TestUpstreamOtherSource(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	u, _ := upstreamOf(t, func(s *Settings) { s.Timeout = 500 * time.Millisecond }, h)
	links := make(chan net.Addr, 1)
	dial := u.dial
	u.dial = func(ctx context.Context, address string) (net.Conn, error) {
		c, err := dial(ctx, address)
		if err == nil {
			links <- c.LocalAddr()
		}
		return c, err
	}
	other, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	h.answer = func(q *homeRequest) [][]byte {
		to := <-links
		links <- to // it may ask again
		if _, err := other.WriteTo(h.reply(q, wire.AccessAccept, nil), to); err != nil {
			t.Error(err)
		}
		return nil
	}
	if _, err := u.Check(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse")); !errors.Is(err, caller.ErrNoAnswer) {
		t.Errorf("got %v", err)
	}
}

// TestUpstreamRetransmits: the same octets again, then an answer.
func TestUpstreamRetransmits(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	u, _ := upstreamOf(t, func(s *Settings) { s.Timeout = 3 * time.Second }, h)
	h.answer = func(q *homeRequest) [][]byte {
		if len(h.asked) < 3 {
			return nil
		}
		return [][]byte{h.reply(q, wire.AccessAccept, nil)}
	}
	if _, err := u.Check(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse")); err != nil {
		t.Fatal(err)
	}
	seen := h.requests()
	if len(seen) != 3 || !bytes.Equal(seen[0].Raw, seen[1].Raw) || !bytes.Equal(seen[0].Raw, seen[2].Raw) {
		t.Errorf("%d packets, or not the same octets", len(seen))
	}
}

// TestUpstreamNASTimeout: a login has no longer than its NAS waits; and a server that
// does not answer in the time of such logins is passed over all the same.
func TestUpstreamNASTimeout(t *testing.T) {
	t.Parallel()
	silent, second := newHome(t), newHome(t)
	silent.silent, second.silent = true, true
	u, _ := upstreamOf(t, func(s *Settings) { s.Timeout, s.DeadAfter = time.Minute, 1 }, silent, second)
	for _, tt := range []struct {
		nasTimeout time.Duration
		dead       bool
	}{{300 * time.Millisecond, false}, {longEnough + 200*time.Millisecond, true}} {
		ctx, cancel := context.WithTimeout(t.Context(), tt.nasTimeout)
		defer cancel()
		began := time.Now()
		_, err := u.Check(ctx, mfa.NameOf("alice"), mfa.Password("right horse"))
		if took := time.Since(began); !errors.Is(err, caller.ErrNoAnswer) || took > tt.nasTimeout+500*time.Millisecond {
			t.Errorf("NAS timeout %v: %v after %v", tt.nasTimeout, err, took)
		}
		if dead := u.servers[0].dead.Load(); dead != tt.dead {
			t.Errorf("NAS timeout %v: dead %t", tt.nasTimeout, dead)
		}
	}
	if len(second.requests()) != 0 {
		t.Error("the second server was asked when the time was over")
	}
}

// TestUpstreamContext: who gives up does not count as unanswered.
func TestUpstreamContext(t *testing.T) {
	h := newHome(t)
	h.silent = true
	u, _ := upstreamOf(t, func(s *Settings) { s.Timeout, s.DeadAfter = time.Minute, 1 }, h)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := u.Check(ctx, mfa.NameOf("alice"), mfa.Password("right horse")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if u.servers[0].dead.Load() {
		t.Error("got the server passed over; want it asked")
	}
}

// TestUpstreamFailover: a silent server is passed over after the second login,
// asked how it is, and back when it answers that; one login never asks both at once.
func TestUpstreamFailover(t *testing.T) {
	t.Parallel()
	first, second := newHome(t), newHome(t)
	u, logs := upstreamOf(t, func(s *Settings) { s.Timeout = time.Second }, first, second)
	u.probeEvery = 100 * time.Millisecond
	login := func() time.Duration {
		t.Helper()
		began := time.Now()
		if _, err := u.Check(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse")); err != nil {
			t.Error(err)
		}
		return time.Since(began)
	}
	login()
	if len(second.requests()) != 0 {
		t.Error("the second server was asked while the first one answers")
	}
	first.set(func() { first.silent = true })
	for range 2 {
		if took := login(); took < 900*time.Millisecond {
			t.Errorf("the second server was asked after %v; want at least 900*time.Millisecond", took)
		}
	}
	if took := login(); took > 800*time.Millisecond {
		t.Errorf("a dead server held a login for %v; want at most 800*time.Millisecond", took)
	}
	until(t, "a Status-Server", func() bool {
		all := first.requests()
		return all[len(all)-1].Code == wire.StatusServer
	})
	first.set(func() { first.silent = false })
	until(t, "the first server to be back", func() bool { return !u.servers[0].dead.Load() })
	asked := len(second.requests())
	login()
	if len(second.requests()) != asked {
		t.Error("the first server is not asked again")
	}
	if logs.FilterMessage("an upstream server does not answer").Len() != 1 || logs.FilterMessage("an upstream server answers again").Len() != 1 {
		t.Errorf("logged %v", logs.All())
	}
}

// TestUpstreamTrial: a dead server that knows no Status-Server gets one login
// every dead time; one that has answered Status-Servers gets none.
func TestUpstreamTrial(t *testing.T) {
	first, second := newHome(t), newHome(t)
	first.silent = true
	u, _ := upstreamOf(t, func(s *Settings) { s.DeadAfter = 1 }, first, second)
	u.timeout, u.deadTime, u.probeEvery = 50*time.Millisecond, 300*time.Millisecond, time.Hour
	s := u.servers[0]
	s.missed(time.Now())
	if s.usable() {
		t.Error("got a dead server asked at once; want it left alone")
	}
	until(t, "the dead time to be over", s.usable)
	if s.usable() {
		t.Error("a second login is sent to it")
	}
	s.status.Store(true)
	s.retry = time.Time{}
	if s.usable() {
		t.Error("a login is sent where a Status-Server will tell")
	}
	if got := u.order(); got[0] != u.servers[1] || got[1] != s {
		t.Error("a dead server must be asked last")
	}
}

// TestUpstreamSingleSilence: a server that is silent to some logins and answers
// others is alive.
func TestUpstreamSingleSilence(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.answer = func(q *homeRequest) [][]byte {
		if q.user == "nobody" {
			return nil
		}
		return [][]byte{h.reply(q, h.code(q), nil)}
	}
	u, _ := upstreamOf(t, func(s *Settings) { s.Timeout, s.DeadAfter = 500*time.Millisecond, 2 }, h)
	var wg sync.WaitGroup
	for range 4 {
		for range 4 {
			wg.Go(func() { u.Check(t.Context(), mfa.NameOf("nobody"), mfa.Password("x")) })
		}
		time.Sleep(20 * time.Millisecond) // so that this answer comes while those wait
		if _, err := u.Check(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse")); err != nil {
			t.Error(err)
		}
		wg.Wait()
	}
	if u.servers[0].dead.Load() {
		t.Error("a server that answers is passed over")
	}
}

// TestUpstreamRefused: a port that nothing listens on is not waited for where
// there is another server, and is where there is none: it may be restarting.
func TestUpstreamRefused(t *testing.T) {
	gone, second := newHome(t), newHome(t)
	gone.conn.Close()
	u, _ := upstreamOf(t, func(s *Settings) { s.Timeout = time.Minute }, gone, second)
	began := time.Now()
	if _, err := u.Check(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse")); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v; want at most 5*time.Second", took)
	}
	alone, _ := upstreamOf(t, func(s *Settings) { s.Timeout = 2 * time.Second }, gone)
	done := make(chan error, 1)
	go func() {
		_, err := alone.Check(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse"))
		done <- err
	}()
	until(t, "the first packet", func() bool {
		alone.servers[0].mu.Lock()
		defer alone.servers[0].mu.Unlock()
		return len(alone.servers[0].links) == 1
	})
	conn, err := net.ListenPacket("udp", gone.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go gone.serve(conn)
	if err := <-done; err != nil {
		t.Errorf("a server that restarts: got error %v; want none", err)
	}
}

// TestUpstreamBound: requests that wait are bounded, spread over several ports,
// and all answered by their own answer.
func TestUpstreamBound(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.users["bob"] = "other horse"
	u, _ := upstreamOf(t, func(s *Settings) { s.Timeout = 20 * time.Second }, h)
	h.answer = func(*homeRequest) [][]byte { return nil }
	s := u.servers[0]
	errs := make(chan error, linksPerServer*idsPerLink+1)
	var began sync.WaitGroup
	for i := range 300 {
		began.Add(1)
		go func() {
			began.Done()
			user, password := "alice", "right horse"
			if i%3 == 0 {
				user, password = "bob", "wrong"
			}
			_, err := u.Check(t.Context(), mfa.NameOf(user), mfa.Password(password))
			if (i%3 == 0) != errors.Is(err, mfa.ErrRejected) {
				err = fmt.Errorf("%s: %v", user, err)
			} else {
				err = nil
			}
			errs <- err
		}()
	}
	began.Wait()
	used := func() (links, waiting int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, l := range s.links {
			l.mu.Lock()
			waiting += l.used
			l.mu.Unlock()
		}
		return len(s.links), waiting
	}
	until(t, "all to wait", func() bool { _, n := used(); return n == 300 })
	if links, _ := used(); links < 300/questionsPerLink || links > 300/questionsPerLink+1 {
		t.Errorf("%d sockets for 300 requests", links)
	}
	h.set(func() { h.answer = nil }) // to what is sent again
	for range 300 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if _, n := used(); n != 0 {
		t.Errorf("got %d identifiers are not given back; want 0", n)
	}
	full := &server{Primary: u, address: h.addr, host: caller.Host{Addr: h.addr}, secret: s.secret, opening: make(chan struct{}, 1)}
	for range linksPerServer {
		full.links = append(full.links, &link{server: full, at: h.addr, used: idsPerLink})
	}
	if _, err := full.exchange(t.Context(), &wire.Query{Code: wire.AccessRequest, User: "x"}, time.Second, false); !errors.Is(err, errBusy) {
		t.Errorf("all identifiers of all sockets in use: got %v; want errBusy", err)
	}
	if full.misses != 0 {
		t.Error("a full server counts as one that does not answer")
	}
}

// TestUpstreamClose: sockets end when nothing waits on them; a login that waits gets its
// answer, and a login that still has the primary works.
func TestUpstreamClose(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	u, _ := upstreamOf(t, nil, h)
	links := func() int {
		u.servers[0].mu.Lock()
		defer u.servers[0].mu.Unlock()
		return len(u.servers[0].links)
	}
	var got chan error
	h.answer = func(q *homeRequest) [][]byte {
		u.Close()
		return [][]byte{h.reply(q, wire.AccessAccept, nil)}
	}
	got = make(chan error, 1)
	go func() {
		_, err := u.Check(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse"))
		got <- err
	}()
	if err := <-got; err != nil {
		t.Errorf("a login that was waiting: got error %v; want none", err)
	}
	until(t, "the socket to be closed", func() bool { return links() == 0 })
	if _, err := u.Check(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse")); err != nil {
		t.Errorf("a login that came later: got error %v; want none", err)
	}
	until(t, "the second socket to be closed", func() bool { return links() == 0 })
}

// Of what waits for one upstream server a client's logins have half at most.
func TestUpstreamIsShared(t *testing.T) {
	h := newHome(t)
	u, _ := upstreamOf(t, nil, h)
	for u.servers[0].shares.take("flooded", questionsPerClient) {
	}
	check := func(client string) error {
		_, err := u.Check(mfa.ForClient(t.Context(), &mfa.Client{Name: client}), mfa.NameOf("alice"), mfa.Password("right horse"))
		return err
	}
	if err := check("flooded"); !errors.Is(err, errBusy) {
		t.Errorf("got %v, want that too many wait", err)
	}
	if err := check("vpn"); err != nil {
		t.Errorf("another client's login: got error %v; want none", err)
	}
	u.servers[0].shares.give("flooded")
	for range 2 {
		if err := check("flooded"); err != nil {
			t.Errorf("with a place given back: got error %v; want none", err)
		}
	}
}
