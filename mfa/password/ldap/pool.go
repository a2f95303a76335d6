package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password"
)

// use is what a connection is for. A connection that users were bound on never
// searches: it would see with the eyes of the last one.
type use int

const (
	searching use = iota
	binding
	uses
)

const (
	// maxIdle is when an idle connection is no longer trusted: a firewall may
	// have forgotten it without a word.
	maxIdle = time.Minute
	// lastResort is how often a directory of which no server answers is tried.
	lastResort = time.Second
)

// server is one server of a directory.
type server struct {
	url      string
	address  string
	tls      *tls.Config // nil: none
	startTLS bool

	// Under the mutex of the pool:
	dead    time.Time // until when it is left alone; zero: it answers
	refused bool      // it does not take bind_dn's password: trying soon again could lock that account
	idle    [uses][]*conn
}

// pool holds the connections to the servers of one directory. The first
// server that answers is used. Its methods may be called concurrently; no call
// waits for the network with the mutex held.
type pool struct {
	settings *Settings
	servers  []*server
	password mfa.Password // of bind_dn
	log      *zap.Logger
	gates    [uses]*password.Gate

	mu     sync.Mutex
	closed bool
	resort time.Time // when one was last tried though all were dead
}

// stepError is a connection that failed at a step.
type stepError struct {
	step string
	err  error
}

func (e *stepError) Error() string { return e.step + ": " + e.err.Error() }
func (e *stepError) Unwrap() error { return e.err }

// errNoServer means that no server of the directory answers.
var errNoServer = errors.New("no server answers")

// run hands a connection to call, and puts it back if it is still good. A
// connection that breaks without an answer is replaced, and call runs again: on
// a bind too, because the server that went away has counted nothing. A server
// that is too slow is replaced only for a search: it may still count a bind.
func (p *pool) run(ctx context.Context, u use, call func(context.Context, *conn) error) error {
	if err := p.gates[u].Enter(ctx); err != nil {
		return err
	}
	defer p.gates[u].Leave()
	for tries := 0; ; tries++ {
		c, err := p.connection(ctx, u, tries > 0)
		if err != nil {
			return err
		}
		begun := time.Now()
		limited, cancel := context.WithTimeout(ctx, p.settings.Timeout)
		err = call(limited, c)
		cancel()
		lost := (*lostError)(nil)
		if errors.As(err, &lost) && ctx.Err() != nil {
			// The caller had no more time. That says nothing of the server, unless
			// the server had plenty: a NAS that gives up early must not keep a hung
			// server in use without end.
			lost.late = time.Since(begun) > p.settings.Timeout/2
		}
		p.put(u, c, err)
		if err != nil {
			err = fmt.Errorf("%s: %w", c.server.url, err)
		}
		if lost == nil || ctx.Err() != nil || lost.late && u == binding || tries >= len(p.servers) {
			return err
		}
	}
}

// connection returns one from the pool, or a new one to the first server that
// takes it.
func (p *pool) connection(ctx context.Context, u use, fresh bool) (*conn, error) {
	failed := errNoServer
	tried := map[*server]bool{}
	for {
		s, c := p.pick(u, fresh, tried)
		if c != nil {
			return c, nil
		}
		if s == nil {
			return nil, failed
		}
		tried[s] = true
		c, err := p.dial(ctx, s, u)
		if err == nil {
			p.alive(s)
			return c, nil
		}
		failed = fmt.Errorf("%w; %s: %w", failed, s.url, err)
		if ctx.Err() != nil {
			return nil, failed
		}
		p.markDown(s, err)
	}
}

// pick returns the server to use, with an idle connection if there is one. A dead
// server is tried by one check each dead_time, the others go on with the next.
func (p *pool) pick(u use, fresh bool, tried map[*server]bool) (*server, *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for _, s := range p.servers {
		switch {
		case tried[s]:
		case s.dead.IsZero():
			if fresh {
				return s, nil
			}
			return s, s.take(u, now)
		case now.After(s.dead):
			s.dead = now.Add(p.settings.DeadTime)
			return s, nil
		}
	}
	if now.Sub(p.resort) < lastResort {
		return nil, nil
	}
	var oldest *server
	for _, s := range p.servers {
		if !tried[s] && !s.refused && (oldest == nil || s.dead.Before(oldest.dead)) {
			oldest = s
		}
	}
	if oldest != nil {
		p.resort = now
	}
	return oldest, nil
}

// take returns the connection that was used last, if it is still good.
func (s *server) take(u use, now time.Time) *conn {
	for len(s.idle[u]) > 0 {
		last := len(s.idle[u]) - 1
		c := s.idle[u][last]
		s.idle[u] = s.idle[u][:last]
		if !c.closed() && now.Sub(c.idle) < maxIdle {
			return c
		}
		go c.close()
	}
	return nil
}

// dial connects to a server and, for searches, binds the service account.
func (p *pool) dial(ctx context.Context, s *server, u use) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.settings.ConnectTimeout)
	defer cancel()
	c, err := dial(ctx, s)
	if err != nil {
		return nil, err
	}
	if u == searching && p.settings.BindDN != "" {
		if err := c.bind(ctx, p.settings.BindDN, string(p.password)); err != nil {
			c.close()
			return nil, &stepError{"bind", fmt.Errorf("as %q: %w", p.settings.BindDN, err)}
		}
	}
	return c, nil
}

// put takes a connection back. err is what its last use ended with.
func (p *pool) put(u use, c *conn, err error) {
	result, lost := (*resultError)(nil), (*lostError)(nil)
	errors.As(err, &lost)
	errors.As(err, &result)
	if lost != nil && lost.late || result != nil && (result.code == codeBusy || result.code == codeUnavailable) {
		p.markDown(c.server, err)
	}
	if lost != nil || !p.keep(u, c) {
		c.close()
	}
}

func (p *pool) keep(u use, c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || !c.server.dead.IsZero() || c.closed() {
		return false
	}
	c.idle = time.Now()
	c.server.idle[u] = append(c.server.idle[u], c)
	return true
}

// markDown leaves a server alone for a time.
func (p *pool) markDown(s *server, err error) {
	p.mu.Lock()
	news := s.dead.IsZero()
	s.dead = time.Now().Add(p.settings.DeadTime)
	s.refused = isRefusedAccount(err)
	idle := s.drop()
	p.mu.Unlock()
	closeAll(idle)
	if news {
		p.log.Warn("directory server does not answer", zap.String("url", s.url), zap.Error(err), zap.Float64("left_alone_s", p.settings.DeadTime.Seconds()))
	}
}

// isRefusedAccount reports whether a server has looked at the password of bind_dn
// and not taken it. One that hung over the bind, broke the connection or was busy
// has refused nothing: it is tried again as soon as one that is down.
func isRefusedAccount(err error) bool {
	step, result := (*stepError)(nil), (*resultError)(nil)
	if !errors.As(err, &step) || step.step != "bind" || !errors.As(err, &result) {
		return false
	}
	switch result.code {
	case codeInvalidCredentials, codeInappropriateAuth, codeConstraintViolation, codeUnwilling: // the last one of a disabled account
		return true
	}
	return result.policy >= 0
}

// alive notes that a server has taken a connection: it is used again, and the
// ones behind it no longer.
func (p *pool) alive(s *server) {
	p.mu.Lock()
	news := !s.dead.IsZero()
	s.dead, s.refused = time.Time{}, false
	var idle []*conn
	if news {
		behind := false
		for _, other := range p.servers {
			if behind {
				idle = append(idle, other.drop()...)
			}
			behind = behind || other == s
		}
	}
	p.mu.Unlock()
	closeAll(idle)
	if news {
		p.log.Info("directory server answers again", zap.String("url", s.url))
	}
}

// drop empties the pool of a server.
func (s *server) drop() []*conn {
	var all []*conn
	for u := range s.idle {
		all = append(all, s.idle[u]...)
		s.idle[u] = nil
	}
	return all
}

func closeAll(conns []*conn) {
	for _, c := range conns {
		c.close()
	}
}

// close lets go of idle connections. Those in use are closed when they come back.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	var idle []*conn
	for _, s := range p.servers {
		idle = append(idle, s.drop()...)
	}
	p.mu.Unlock()
	closeAll(idle)
}
