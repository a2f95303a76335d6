package upstream

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/caller"
	"github.com/radmatch/radmatch/radius/wire"
)

// server is one server of a Primary, with what is known of it.
type server struct {
	*Primary
	address string // as configured, with its port
	host    caller.Host
	secret  *wire.Secret
	opening chan struct{} // capacity 1: who is in it opens a link

	shares shares // of what waits for it

	mu    sync.Mutex
	links []*link

	lastAnswer atomic.Int64 // when the last answer came, in Unix nanoseconds
	dead       atomic.Bool
	status     atomic.Bool // it has answered a Status-Server once

	health   sync.Mutex
	misses   int       // requests in a row without an answer
	lastMiss int64     // when the last one was given up, in Unix nanoseconds
	retry    time.Time // when a dead server may be tried with a login
	probing  bool
}

// The errors of a server that gave no answer.
var (
	errBusy    = errors.New("too many requests wait for it")
	errRefused = fmt.Errorf("%w: nothing listens there", caller.ErrNoAnswer)
)

// reply is a verified answer, with what its encrypted attributes are read with.
type reply struct {
	wire.Answer
	server *server
	at     string // the address of the server that it came from
	auth   [wire.AuthSize]byte
}

// exchange asks the server for at most limit. hasty says that there is another
// server to ask: then a port that nothing listens on is not waited for.
func (s *server) exchange(ctx context.Context, q *wire.Query, limit time.Duration, hasty bool) (reply, error) {
	began := time.Now()
	targets, err := s.targets(ctx, began.Add(limit))
	if err == nil {
		return s.exchangeWith(ctx, targets, q, limit, hasty)
	}
	if s.counts(ctx, err, limit, began) {
		s.missed(began)
	}
	return reply{}, err
}

// targets are the addresses of the server that are to be asked.
func (s *server) targets(ctx context.Context, end time.Time) ([]string, error) {
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	return s.host.Targets(ctx)
}

// exchangeWith asks one address of the server after the other. Each has an equal
// part of what is left of limit.
func (s *server) exchangeWith(ctx context.Context, targets []string, q *wire.Query, limit time.Duration, hasty bool) (reply, error) {
	client := mfa.ClientOf(ctx)
	if !s.shares.take(client, questionsPerClient) {
		return reply{}, errBusy
	}
	defer s.shares.give(client)
	began := time.Now()
	end := began.Add(limit)
	var failed error
	for i, at := range targets {
		others := len(targets) - i - 1
		r, err := s.askAt(ctx, at, q, time.Until(end)/time.Duration(others+1), hasty || others > 0)
		if err == nil {
			s.answered(at)
			return r, nil
		}
		if len(targets) > 1 {
			err = fmt.Errorf("%s: %w", at, err)
		}
		failed = errors.Join(failed, err)
		if ctx.Err() != nil || errors.Is(err, errBusy) {
			break
		}
	}
	if s.counts(ctx, failed, limit, began) {
		s.missed(began)
	}
	return reply{}, failed
}

// askAt asks one address for at most limit. It retransmits as RFC 5080 §2.2.1
// says, sooner where the limit is short.
func (s *server) askAt(ctx context.Context, at string, q *wire.Query, limit time.Duration, hasty bool) (reply, error) {
	end := time.Now().Add(limit)
	c, err := s.begin(ctx, at, q, end)
	if err != nil {
		return reply{}, err
	}
	defer c.link.end(c, c.id())
	answer, err := c.await(ctx, end, hasty)
	if err != nil {
		return reply{}, err
	}
	return reply{Answer: answer, server: s, at: at, auth: c.auth}, nil
}

// longEnough is after how long an answer that did not come says something of the
// server, where the NAS waits less than the server's timeout.
const longEnough = time.Second

// counts reports whether a request that got no answer speaks against the server.
func (s *server) counts(ctx context.Context, err error, limit time.Duration, began time.Time) bool {
	switch {
	case errors.Is(err, errBusy), errors.Is(ctx.Err(), context.Canceled):
		return false
	case ctx.Err() != nil || limit < s.timeout:
		return time.Since(began) >= min(s.timeout, longEnough)
	}
	return true
}

// await sends, and sends again, until an answer comes or the time is over.
func (c *question) await(ctx context.Context, end time.Time, hasty bool) (wire.Answer, error) {
	refused := false
	wait := min(time.Until(end)/4, caller.InitialRetransmit)
	timer := time.NewTimer(caller.Spread(wait))
	defer timer.Stop()
	err := c.send()
	for {
		if err != nil && hasty {
			return wire.Answer{}, fmt.Errorf("%w: %w", caller.ErrNoAnswer, err)
		}
		select {
		case a := <-c.answer:
			return a, nil
		case <-ctx.Done():
			return wire.Answer{}, fmt.Errorf("%w: %w", c.fault(refused), ctx.Err())
		case <-c.refuse:
			if refused = true; hasty {
				return wire.Answer{}, errRefused
			}
		case now := <-timer.C:
			left := end.Sub(now)
			if left <= 0 {
				return wire.Answer{}, c.fault(refused)
			}
			err = c.send()
			wait = min(2*wait, caller.MaximumRetransmit)
			timer.Reset(min(caller.Spread(wait), left))
		}
	}
}

// fault says what is known of why no answer was had.
func (c *question) fault(refused bool) error {
	switch invalid := c.invalid.Load(); {
	case invalid != nil:
		return fmt.Errorf("%w: the last one %w", caller.ErrInvalid, *invalid)
	case refused:
		return errRefused
	}
	return caller.ErrNoAnswer
}

// begin finds a link to an address with a free identifier, or opens one.
func (s *server) begin(ctx context.Context, at string, q *wire.Query, end time.Time) (*question, error) {
	c, opens, err := s.take(at, q)
	if c != nil || err != nil {
		return c, err
	}
	if !opens {
		return nil, errBusy
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	select {
	case s.opening <- struct{}{}:
		defer func() { <-s.opening }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c, _, err = s.take(at, q); c != nil || err != nil {
		return c, err // someone else has opened one meanwhile
	}
	conn, err := s.dial(ctx, at)
	if err != nil {
		return nil, err
	}
	l := &link{server: s, at: at, conn: conn}
	c, err = l.newQuestion(q, idsPerLink)
	if err != nil {
		conn.Close()
		return nil, err
	}
	s.mu.Lock()
	s.links = append(s.links, l)
	s.mu.Unlock()
	go l.read()
	return c, nil
}

// take begins a question on an open link to an address, from a random one on. Where
// all have questionsPerLink, another should be opened while there may be more.
func (s *server) take(at string, q *wire.Query) (c *question, opens bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	there := 0
	for _, l := range s.links {
		if l.at == at {
			there++
		}
	}
	opens = there < linksPerServer
	most := questionsPerLink
	if !opens {
		most = idsPerLink
	}
	n := len(s.links)
	for i, from := 0, mathrand.IntN(max(n, 1)); i < n; i++ {
		l := s.links[(from+i)%n]
		if l.at != at {
			continue
		}
		if c, err = l.newQuestion(q, most); c != nil || err != nil {
			return c, opens, err
		}
	}
	return nil, opens, nil
}

func (s *server) forget(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links = slices.DeleteFunc(s.links, func(other *link) bool { return other == l })
}

// answered is called for each valid answer: the server lives.
func (s *server) answered(at string) {
	s.host.Answered(at)
	s.lastAnswer.Store(time.Now().UnixNano())
	if s.dead.Load() && s.dead.Swap(false) {
		s.log.Info("an upstream server answers again", zap.String("server", s.address))
	}
}

// missed is called for each request without an answer. It counts only where
// nobody else had one meanwhile: some servers are silent to single logins, as NPS
// is when an extension of it fails, and an unknown caller must not turn one off with those.
func (s *server) missed(began time.Time) {
	s.health.Lock()
	defer s.health.Unlock()
	lastAnswer := s.lastAnswer.Load()
	if lastAnswer >= began.UnixNano() {
		return
	}
	s.host.Missed()
	if s.lastMiss < lastAnswer {
		s.misses = 0
	}
	now := time.Now()
	s.misses, s.lastMiss = s.misses+1, now.UnixNano()
	if s.misses < s.deadAfter {
		return
	}
	s.retry = now.Add(s.deadTime)
	if s.dead.Swap(true) {
		return
	}
	s.log.Warn("an upstream server does not answer", zap.String("server", s.address),
		zap.Int("unanswered", s.misses))
	if !s.probing {
		s.probing = true
		go s.probe()
	}
}

// usable reports whether a login may be sent to the server. A dead one that
// never answered a Status-Server, as NPS does not, is tried with one login every
// dead time.
func (s *server) usable() bool {
	if !s.dead.Load() {
		return true
	}
	if s.status.Load() {
		return false
	}
	s.health.Lock()
	defer s.health.Unlock()
	now := time.Now()
	if now.Before(s.retry) {
		return false
	}
	s.retry = now.Add(s.deadTime)
	return true
}

// probe asks a dead server how it is until it answers (RFC 5997 §4.1; RFC 3539
// §3.4.1 for how often).
func (s *server) probe() {
	for s.probes() {
		select {
		case <-s.life.Done():
			return
		case <-time.After(caller.Spread(s.probeEvery)):
		}
		_ = s.askStatus(s.life, s.probeEvery/2) // what it says is in s.dead
	}
}

// probes reports whether there is still something to probe for.
func (s *server) probes() bool {
	s.health.Lock()
	defer s.health.Unlock()
	s.probing = s.dead.Load()
	return s.probing
}

// askStatus sends a Status-Server to one address after the other, each for at most limit.
func (s *server) askStatus(ctx context.Context, limit time.Duration) error {
	targets, err := s.targets(ctx, time.Now().Add(limit))
	for _, at := range targets {
		var r reply
		r, err = s.askAt(ctx, at, &wire.Query{Code: wire.StatusServer, Tail: s.nasIdentifier}, limit, false)
		if err == nil {
			s.status.Store(true)
			s.answered(r.at)
			return nil
		}
	}
	return err
}

// idle is how long a link stays open unused.
func (s *server) idle() time.Duration {
	if s.closed.Load() {
		return time.Second
	}
	return idleLink
}

// close lets the links end as soon as nothing waits on them.
func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		l.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// dialUDP opens a socket at a port that the kernel chooses.
func dialUDP(ctx context.Context, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "udp", address)
}
