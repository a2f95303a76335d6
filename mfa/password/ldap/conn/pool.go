package conn

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

// Use is what a connection is for. A connection that users were bound on never
// searches: it would see with the eyes of the last one.
type Use int

const (
	Searching Use = iota // as the service account
	Binding              // as users
	uses
)

const (
	// maxIdle is when an idle connection is no longer trusted: a firewall may
	// have forgotten it without a word.
	maxIdle = time.Minute
	// lastResort is how often a directory of which no server answers is tried.
	lastResort = time.Second
)

// Server is one server of a directory.
type Server struct {
	URL      string      // for logs and errors
	Address  string      // host:port
	TLS      *tls.Config // nil: none
	StartTLS bool

	// Under the mutex of the pool:
	dead    time.Time // until when it is left alone; zero: it answers
	refused bool      // it does not take bind_dn's password: trying soon again could lock that account
	idle    [uses][]*Conn
}

// Settings say how a pool uses the servers of its directory.
type Settings struct {
	BindDN         string // the account that searches; empty: none
	BindPassword   mfa.Password
	ConnectTimeout time.Duration // of a new connection, up to its bind
	Timeout        time.Duration // of what is done with it
	DeadTime       time.Duration // how long a server that does not answer is left alone
	Connections    int           // of each use, at the same time
	Waiting        int           // how many may wait for one
	Logger         *zap.Logger
}

// Pool holds the connections to the servers of one directory. The first
// server that answers is used. Its methods may be called concurrently; no call
// waits for the network with the mutex held.
type Pool struct {
	set     Settings
	servers []*Server
	gates   [uses]*password.Gate

	mu     sync.Mutex
	closed bool
	resort time.Time // when one was last tried though all were dead
}

// NewPool returns a pool that connects to nothing yet. The servers are tried in their order.
func NewPool(set Settings, servers []*Server) *Pool {
	p := &Pool{set: set, servers: servers}
	for u := range p.gates {
		p.gates[u] = password.GateOf(set.Connections, set.Waiting)
	}
	return p
}

// Servers are those of the directory. They must not be changed.
func (p *Pool) Servers() []*Server { return p.servers }

// StepError is a connection that failed at a step.
type StepError struct {
	Step string // dns, connect, tls or bind
	Err  error
}

func (e *StepError) Error() string { return e.Step + ": " + e.Err.Error() }
func (e *StepError) Unwrap() error { return e.Err }

// ErrNoServer means that no server of the directory answers.
var ErrNoServer = errors.New("no server answers")

// Run hands a connection to call, and puts it back if it is still good. A
// connection that breaks without an answer is replaced, and call runs again: on
// a bind too, because the server that went away has counted nothing. A server
// that is too slow is replaced only for a search: it may still count a bind.
func (p *Pool) Run(ctx context.Context, u Use, call func(context.Context, *Conn) error) error {
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
		limited, cancel := context.WithTimeout(ctx, p.set.Timeout)
		err = call(limited, c)
		cancel()
		lost := (*LostError)(nil)
		if errors.As(err, &lost) && ctx.Err() != nil {
			// The caller had no more time. That says nothing of the server, unless
			// the server had plenty: a NAS that gives up early must not keep a hung
			// server in use without end.
			lost.TimedOut = time.Since(begun) > p.set.Timeout/2
		}
		p.put(u, c, err)
		if err != nil {
			err = fmt.Errorf("%s: %w", c.server.URL, err)
		}
		if lost == nil || ctx.Err() != nil || lost.TimedOut && u == Binding || tries >= len(p.servers) {
			return err
		}
	}
}

// connection returns one from the pool, or a new one to the first server that
// takes it.
func (p *Pool) connection(ctx context.Context, u Use, fresh bool) (*Conn, error) {
	failed := ErrNoServer
	tried := map[*Server]bool{}
	for {
		s, c := p.pick(u, fresh, tried)
		if c != nil {
			return c, nil
		}
		if s == nil {
			return nil, failed
		}
		tried[s] = true
		c, err := p.Dial(ctx, s, u)
		if err == nil {
			p.markUp(s)
			return c, nil
		}
		failed = fmt.Errorf("%w; %s: %w", failed, s.URL, err)
		if ctx.Err() != nil {
			return nil, failed
		}
		p.markDown(s, err)
	}
}

// pick returns the server to use, with an idle connection if there is one. A dead
// server is tried by one check each dead_time, the others go on with the next.
func (p *Pool) pick(u Use, fresh bool, tried map[*Server]bool) (*Server, *Conn) {
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
			s.dead = now.Add(p.set.DeadTime)
			return s, nil
		}
	}
	if now.Sub(p.resort) < lastResort {
		return nil, nil
	}
	var oldest *Server
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
func (s *Server) take(u Use, now time.Time) *Conn {
	for len(s.idle[u]) > 0 {
		last := len(s.idle[u]) - 1
		c := s.idle[u][last]
		s.idle[u] = s.idle[u][:last]
		if !c.closed() && now.Sub(c.idle) < maxIdle {
			return c
		}
		go c.Close()
	}
	return nil
}

// Dial connects to a server and, for searches, binds the service account.
func (p *Pool) Dial(ctx context.Context, s *Server, u Use) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.set.ConnectTimeout)
	defer cancel()
	c, err := dial(ctx, s)
	if err != nil {
		return nil, err
	}
	if u == Searching && p.set.BindDN != "" {
		if err := c.Bind(ctx, p.set.BindDN, string(p.set.BindPassword)); err != nil {
			c.Close()
			return nil, &StepError{"bind", fmt.Errorf("as %q: %w", p.set.BindDN, err)}
		}
	}
	return c, nil
}

// put takes a connection back. err is what its last use ended with.
func (p *Pool) put(u Use, c *Conn, err error) {
	result, lost := (*ResultError)(nil), (*LostError)(nil)
	errors.As(err, &lost)
	errors.As(err, &result)
	if lost != nil && lost.TimedOut || result != nil && (result.Code == CodeBusy || result.Code == CodeUnavailable) {
		p.markDown(c.server, err)
	}
	if lost != nil || !p.keep(u, c) {
		c.Close()
	}
}

func (p *Pool) keep(u Use, c *Conn) bool {
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
func (p *Pool) markDown(s *Server, err error) {
	p.mu.Lock()
	news := s.dead.IsZero()
	s.dead = time.Now().Add(p.set.DeadTime)
	s.refused = IsRefusedAccount(err)
	idle := s.drop()
	p.mu.Unlock()
	closeAll(idle)
	if news {
		p.set.Logger.Warn("directory server does not answer", zap.String("url", s.URL), zap.Error(err), zap.Float64("left_alone_s", p.set.DeadTime.Seconds()))
	}
}

// IsRefusedAccount reports whether a server has looked at the password of bind_dn
// and not taken it. One that hung over the bind, broke the connection or was busy
// has refused nothing: it is tried again as soon as one that is down.
func IsRefusedAccount(err error) bool {
	step, result := (*StepError)(nil), (*ResultError)(nil)
	if !errors.As(err, &step) || step.Step != "bind" || !errors.As(err, &result) {
		return false
	}
	switch result.Code {
	case CodeInvalidCredentials, CodeInappropriateAuth, CodeConstraintViolation, codeUnwilling: // the last one of a disabled account
		return true
	}
	return result.Policy >= 0
}

// markUp notes that a server has taken a connection: it is used again, and the
// ones behind it no longer.
func (p *Pool) markUp(s *Server) {
	p.mu.Lock()
	news := !s.dead.IsZero()
	s.dead, s.refused = time.Time{}, false
	var idle []*Conn
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
		p.set.Logger.Info("directory server answers again", zap.String("url", s.URL))
	}
}

// drop empties the pool of a server.
func (s *Server) drop() []*Conn {
	var all []*Conn
	for u := range s.idle {
		all = append(all, s.idle[u]...)
		s.idle[u] = nil
	}
	return all
}

func closeAll(conns []*Conn) {
	for _, c := range conns {
		c.Close()
	}
}

// Close lets go of idle connections. Those in use are closed when they come back.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	var idle []*Conn
	for _, s := range p.servers {
		idle = append(idle, s.drop()...)
	}
	p.mu.Unlock()
	closeAll(idle)
}
