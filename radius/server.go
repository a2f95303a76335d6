package radius

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/bound"
	"github.com/radmatch/radmatch/radius/accounting"
)

// Server answers the RADIUS requests that transports hand to it: see package listen.
// Its exported fields may be set until the first call of a method; its methods may be
// called concurrently. A server without a Service discards all that it receives.
type Server struct {
	Logger *zap.Logger // nil: none
	// Latches remembers who signs. Nil: RequireAuto refuses like RequireYes.
	Latches Latches

	// MaxPending bounds the requests without a decision, overall and for each
	// client. A request with a State, whose user has begun to sign in, may
	// exceed it by an eighth. 0: 50,000. The rejections that wait for their time
	// are bounded apart: see delays.
	MaxPending          int
	MaxPendingPerClient int // 0: half of MaxPending, so that one client leaves room
	MaxAttributes       int // of a packet; 0: 200

	// Ready reports whether a login could be accepted now; nil: always. While it cannot,
	// Status-Server gets no answer, so that clients turn to another server (RFC 5997 §4.2).
	Ready func() error

	// Accounting says what becomes of Accounting-Requests. Nil: there is none.
	Accounting *Accounting

	begin     sync.Once
	log       *zap.Logger
	ctx       context.Context // of Authenticate; ends when Shutdown returns
	cancel    context.CancelFunc
	answers   *retransmissions
	service   atomic.Pointer[service]
	names     namedCounters
	refusals  *bound.Hourly[logKey]
	rooms     sync.Pool // of *room
	pending   atomic.Int64
	delayed   atomic.Int64 // rejections that wait for their time
	lines     lines
	sessions  *accounting.Sessions
	panics    atomic.Uint64
	unknown   atomic.Uint64
	malformed atomic.Uint64
	draining  atomic.Bool
	closed    atomic.Bool
	idle      chan struct{} // capacity 1: nothing is pending
	flows     atomic.Uint32
	inputs    inputs
	workers   workers
	reports   reports
}

// service is a Service with the counters of its clients, by their index.
type service struct {
	Service
	counters []*counters
}

// namedCounters outlive the tables, so that a reload does not reset them.
type namedCounters struct {
	mu sync.Mutex
	m  map[string]*counters
}

func (n *namedCounters) of(clients []*client) []*counters {
	list := make([]*counters, len(clients))
	for i, c := range clients {
		list[i] = n.named(c.Name)
	}
	return list
}

func (n *namedCounters) named(name string) *counters {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.m == nil {
		n.m = make(map[string]*counters)
	}
	if n.m[name] == nil {
		n.m[name] = newCounters()
	}
	return n.m[name]
}

func (s *Server) start() {
	s.begin.Do(func() {
		if s.MaxPending <= 0 {
			s.MaxPending = 50000
		}
		if s.MaxPendingPerClient <= 0 {
			s.MaxPendingPerClient = max(1, s.MaxPending/2)
		}
		if s.MaxAttributes <= 0 {
			s.MaxAttributes = 200
		}
		s.log = s.Logger
		if s.log == nil {
			s.log = zap.NewNop()
		}
		s.ctx, s.cancel = context.WithCancel(context.Background())
		s.answers = newRetransmissions(2 * s.MaxPending)
		s.refusals = bound.NewHourly[logKey](maxRefusals)
		s.sessions = accounting.NewSessions()
		s.rooms.New = func() any { return new(room) }
		s.idle = make(chan struct{}, 1)
		context.AfterFunc(s.ctx, s.workers.stop)
	})
}

// Swap exchanges client table and Authenticator as one. Requests that are being
// decided stay with the ones that they came to.
func (s *Server) Swap(svc Service) {
	s.start()
	s.service.Store(&service{svc, s.names.of(svc.Table.clients)})
}

// Shutdown waits until nothing is pending or ctx ends, while retransmissions still
// get their answers, and closes the transports. Meanwhile Status-Server gets no answer,
// so that clients turn to another server (RFC 5997 §4.2); Access-Requests still go
// to the Authenticator, which refuses new logins and takes answers to challenges.
// It returns ctx's error if requests were given up.
func (s *Server) Shutdown(ctx context.Context) error {
	s.start()
	s.draining.Store(true)
	var err error
	for s.busy() > 0 && err == nil {
		select {
		case <-s.idle:
		case <-ctx.Done():
			if n := s.busy(); n > 0 {
				err = fmt.Errorf("%d requests are given up: %w", n, ctx.Err())
			}
		}
	}
	s.closed.Store(true)
	s.inputs.close()
	s.cancel()
	s.reports.done.Wait()
	s.lines.flush(s.log)
	return err
}

// inputs are the transports that hand packets to a server.
type inputs struct {
	mu     sync.Mutex
	closed bool
	open   []io.Closer
}

// Attach has Shutdown close a transport once nothing is pending. Close must return
// when the transport hands over nothing any more. After Shutdown the error is
// net.ErrClosed, and the transport is the caller's to close.
func (s *Server) Attach(transport io.Closer) error {
	s.start()
	s.inputs.mu.Lock()
	defer s.inputs.mu.Unlock()
	if s.inputs.closed {
		return net.ErrClosed
	}
	s.inputs.open = append(s.inputs.open, transport)
	return nil
}

func (i *inputs) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	for _, transport := range i.open {
		transport.Close()
	}
	i.open = nil
}

// admit takes a place among the pending requests.
func (s *Server) admit(c *counters, hasState bool) bool {
	most, mostClient := int64(s.MaxPending), int64(s.MaxPendingPerClient)
	if hasState {
		most, mostClient = most+most/8, mostClient+mostClient/8
	}
	overall, ofClient := s.pending.Add(1), c.pending.Add(1)
	if overall > most || ofClient > mostClient {
		s.release(c)
		return false
	}
	return true
}

// turnsAway reports whether clients should go to another server.
func (s *Server) turnsAway() bool { return s.draining.Load() || s.Ready != nil && s.Ready() != nil }

// busy is how many requests have no answer yet.
func (s *Server) busy() int64 { return s.pending.Load() + s.delayed.Load() }

// release gives a place back.
func (s *Server) release(c *counters) {
	c.pending.Add(-1)
	s.pending.Add(-1)
	s.rested()
}

// rested wakes Shutdown in a drain when nothing is left to answer.
func (s *Server) rested() {
	if s.draining.Load() && s.busy() == 0 {
		select {
		case s.idle <- struct{}{}:
		default:
		}
	}
}

// logKey tells lines apart, of refused packets above all.
type logKey struct {
	client string
	why    string
	source netip.Addr
}

// maxRefusals bounds how many of them are told apart.
const maxRefusals = 4096

// Authenticator decides on Access-Requests. Authenticate calls reply exactly
// once, from any goroutine, maybe much later; it holds no goroutine meanwhile.
// ctx is the server's, not the packet's: a packet that the NAS gave up is
// marked by r.Supersede, and the answer to it is dropped.
type Authenticator interface {
	Authenticate(ctx context.Context, r *mfa.Request, reply func(mfa.Decision))
}

// Latches remembers which source addresses have proved that they sign
// (require_message_authenticator: auto). Both methods may be called
// concurrently; Latched answers from memory.
type Latches interface {
	Latched(client string, source netip.Addr) bool
	// Latch remembers source over restarts. It may write later.
	Latch(client string, source netip.Addr, at time.Time)
}

// Service is what a reload exchanges as one: who may ask, and who decides.
type Service struct {
	Table         *Table
	Authenticator Authenticator
}
