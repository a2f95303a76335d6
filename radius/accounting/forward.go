package accounting

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"math"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa/bound"
	"github.com/radmatch/radmatch/radius/caller"
	"github.com/radmatch/radmatch/radius/wire"
)

const (
	// forwardQueues keeps the reports of one session in their order: all of them
	// are in one queue.
	forwardQueues = 8
	maxForward    = 1024 // reports that wait in a queue
	forwardFor    = time.Hour
	forwardTry    = 5 * time.Second  // for each server
	forwardPause  = 10 * time.Second // after none has acknowledged
	maxWarnings   = 1024             // kinds of log lines that are told apart
)

// Forwarder sends copies of Accounting-Requests to other servers, after they were
// recorded and apart from their acknowledgement. A waiting report is in memory: it is
// lost when the program ends. Its exported fields may be set until the first call.
type Forwarder struct {
	// Servers are tried in their order, until one has acknowledged.
	Servers []*Server
	Logger  *zap.Logger

	begin    sync.Once
	seed     maphash.Seed
	queues   [forwardQueues]chan *copied
	waiting  atomic.Int64  // reports that are not forwarded yet
	dropped  atomic.Uint64 // reports that were given up
	warnings *bound.Hourly[string]
}

// Server is a server that Accounting-Requests are forwarded to.
type Server struct {
	Name   string
	Addr   string // host:port
	Secret *wire.Secret

	once sync.Once
	host caller.Host
}

// errNoRoom is a report that does not fit in a packet with its Acct-Delay-Time.
var errNoRoom = errors.New("no room for Acct-Delay-Time")

// copied is a report that is to be forwarded. The packet is a request as it came.
type copied struct {
	packet   []byte
	received time.Time
}

func (f *Forwarder) start() {
	f.begin.Do(func() {
		f.seed = maphash.MakeSeed()
		f.warnings = bound.NewHourly[string](maxWarnings)
		for i := range f.queues {
			f.queues[i] = make(chan *copied, maxForward)
		}
	})
}

// Forward queues the Accounting-Request packet, which it keeps. It does not
// block: when too much waits, the new is dropped and the log says so.
func (f *Forwarder) Forward(packet []byte, received time.Time) {
	f.start()
	session := wire.Find(packet, wire.AttributeType{Type: wire.TypeAcctSessionID})
	queue := f.queues[maphash.Bytes(f.seed, session)%forwardQueues]
	f.waiting.Add(1)
	select {
	case queue <- &copied{packet, received}:
	default:
		f.waiting.Add(-1)
		f.drop("too many wait")
	}
}

// Run forwards until ctx ends.
func (f *Forwarder) Run(ctx context.Context) {
	f.start()
	var queues sync.WaitGroup
	for _, queue := range f.queues {
		queues.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case c := <-queue:
					f.deliver(ctx, c)
					f.waiting.Add(-1)
				}
			}
		})
	}
	queues.Wait()
	if n := f.waiting.Load(); n > 0 {
		f.Logger.Warn("accounting that was recorded is not forwarded any more", zap.Int64("reports", n))
	}
}

// deliver tries the servers until one has acknowledged c, it is too old, or ctx ends.
func (f *Forwarder) deliver(ctx context.Context, c *copied) {
	for ctx.Err() == nil {
		for _, s := range f.Servers {
			err := s.send(ctx, c)
			if err == nil {
				return
			}
			if errors.Is(err, errNoRoom) {
				f.drop(err.Error())
				return
			}
			if ctx.Err() == nil && f.warnings.Allow("server "+s.Name, time.Now()) {
				f.Logger.Warn("accounting is not forwarded; will retry", zap.String("server", s.Name), zap.Error(err))
			}
		}
		if time.Since(c.received) > forwardFor {
			f.drop("no server has acknowledged it")
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(forwardPause):
		}
	}
}

func (f *Forwarder) drop(why string) {
	n := f.dropped.Add(1)
	if f.warnings.Allow(why, time.Now()) {
		f.Logger.Error("an accounting report was recorded but is not forwarded", zap.String("reason", why), zap.Uint64("dropped", n))
	}
}

// send sends c to the addresses of the server until one acknowledges it.
func (s *Server) send(ctx context.Context, c *copied) error {
	s.once.Do(func() { s.host.Addr = s.Addr })
	id := byte(mathrand.Uint32())
	packet, err := c.request(id, time.Since(c.received))
	if err != nil {
		return err
	}
	auth := s.Secret.SignAccounting(packet)
	targets, err := s.targets(ctx)
	for _, at := range targets {
		caller := caller.Caller{Addr: at, Secret: s.Secret, First: time.Second, Total: forwardTry / time.Duration(len(targets))}
		_, err = caller.Transact(ctx, packet, func(datagram []byte) (wire.Answer, error) {
			return parseResponse(datagram, id, auth, s.Secret)
		})
		if err == nil {
			s.host.Answered(at)
			return nil
		}
	}
	s.host.Missed()
	return err
}

func (s *Server) targets(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, forwardTry)
	defer cancel()
	return s.host.Targets(ctx)
}

// request is c as our own request: without what was between its NAS and us, and
// with the time that it has taken so far (RFC 2866 §5.2).
func (c *copied) request(id byte, waited time.Duration) ([]byte, error) {
	b := make([]byte, wire.HeaderSize, len(c.packet)+6)
	b[0], b[1] = byte(wire.AccountingRequest), id
	delay := uint64(waited / time.Second)
	for typ, v := range wire.Attributes(c.packet) {
		switch typ {
		case wire.TypeProxyState, wire.TypeMessageAuthenticator, wire.TypeUserPassword, wire.TypeCHAPPassword, wire.TypeState:
		case wire.TypeAcctDelayTime:
			if len(v) == 4 {
				delay += uint64(binary.BigEndian.Uint32(v))
			}
		default:
			b = wire.AppendAttribute(b, typ, v)
		}
	}
	b = append(b, wire.TypeAcctDelayTime, 6)
	b = binary.BigEndian.AppendUint32(b, uint32(min(delay, math.MaxUint32)))
	if len(b) > wire.MaxPacketSize {
		return nil, errNoRoom
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b, nil
}
