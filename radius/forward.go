package radius

import (
	"context"
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"math"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	layeh "layeh.com/radius"
)

const (
	// forwardLanes keeps the reports of one session in their order: all of them
	// are in one lane.
	forwardLanes = 8
	maxForward   = 1024 // reports that wait in a lane
	forwardFor   = time.Hour
	forwardTry   = 5 * time.Second  // for each server
	forwardPause = 10 * time.Second // after none has acknowledged
)

// Forwarder sends copies of Accounting-Requests to other servers, after they were
// recorded and apart from their acknowledgement. What waits is in memory: it is
// lost when the program ends. Its exported fields may be set until the first call.
type Forwarder struct {
	// Servers are tried in their order, until one has acknowledged.
	Servers []*AccountingServer
	Logger  *zap.Logger

	begin    sync.Once
	seed     maphash.Seed
	lanes    [forwardLanes]chan *copied
	waiting  atomic.Int64  // reports that are not forwarded yet
	dropped  atomic.Uint64 // reports that were given up
	warnings hourly
}

// AccountingServer is a server that Accounting-Requests are forwarded to.
type AccountingServer struct {
	Name   string
	Addr   string // host:port
	Secret *Secret

	once sync.Once
	host host
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
		for i := range f.lanes {
			f.lanes[i] = make(chan *copied, maxForward)
		}
	})
}

// Forward queues the Accounting-Request packet, which it keeps. It does not
// block: when too much waits, the new is dropped and the log says so.
func (f *Forwarder) Forward(packet []byte, received time.Time) {
	f.start()
	session := find(packet, AttributeType{Type: typeAcctSessionID})
	lane := f.lanes[maphash.Bytes(f.seed, session)%forwardLanes]
	f.waiting.Add(1)
	select {
	case lane <- &copied{packet, received}:
	default:
		f.waiting.Add(-1)
		f.drop("too many wait")
	}
}

// Run forwards until ctx ends.
func (f *Forwarder) Run(ctx context.Context) {
	f.start()
	var lanes sync.WaitGroup
	for _, lane := range f.lanes {
		lanes.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case c := <-lane:
					f.deliver(ctx, c)
					f.waiting.Add(-1)
				}
			}
		})
	}
	lanes.Wait()
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
			if ctx.Err() == nil && f.warnings.allow(refusal{client: s.Name}, time.Now()) {
				f.Logger.Warn("accounting is not forwarded; trying on", zap.String("server", s.Name), zap.Error(err))
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
	if f.warnings.allow(refusal{why: why}, time.Now()) {
		f.Logger.Error("an accounting report was recorded but is not forwarded", zap.String("reason", why), zap.Uint64("dropped", n))
	}
}

// send sends c to the addresses of the server until one acknowledges it.
func (s *AccountingServer) send(ctx context.Context, c *copied) error {
	s.once.Do(func() { s.host.addr = s.Addr })
	id := byte(mathrand.Uint32())
	packet, err := c.request(id, time.Since(c.received))
	if err != nil {
		return err
	}
	auth := s.Secret.signAccounting(packet)
	targets, err := s.targets(ctx)
	for _, at := range targets {
		caller := Caller{Addr: at, Secret: s.Secret, First: time.Second, Total: forwardTry / time.Duration(len(targets))}
		_, err = caller.transact(ctx, packet, func(datagram []byte) (Answer, error) {
			return parseAcknowledgement(datagram, id, auth, s.Secret)
		})
		if err == nil {
			s.host.answered(at)
			return nil
		}
	}
	s.host.missed()
	return err
}

func (s *AccountingServer) targets(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, forwardTry)
	defer cancel()
	return s.host.targets(ctx)
}

// request is c as our own request: without what was between its NAS and us, and
// with the time that it has taken so far (RFC 2866 §5.2).
func (c *copied) request(id byte, waited time.Duration) ([]byte, error) {
	b := make([]byte, headerSize, len(c.packet)+6)
	b[0], b[1] = byte(layeh.CodeAccountingRequest), id
	delay := uint64(waited / time.Second)
	for typ, v := range attributes(c.packet) {
		switch typ {
		case typeProxyState, typeMessageAuthenticator, typeUserPassword, typeCHAPPassword, typeState:
		case typeAcctDelayTime:
			if len(v) == 4 {
				delay += uint64(binary.BigEndian.Uint32(v))
			}
		default:
			b = appendAttribute(b, typ, v)
		}
	}
	b = append(b, typeAcctDelayTime, 6)
	b = binary.BigEndian.AppendUint32(b, uint32(min(delay, math.MaxUint32)))
	if len(b) > maxPacketSize {
		return nil, errNoRoom
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b, nil
}

// parseAcknowledgement verifies that datagram is the Accounting-Response to the
// request with this identifier and authenticator. A Message-Authenticator is not
// looked at: servers differ in how they compute it here, and the Response
// Authenticator covers all.
func parseAcknowledgement(datagram []byte, id byte, auth [authSize]byte, secret *Secret) (Answer, error) {
	p := trim(datagram)
	switch {
	case p == nil:
		return Answer{}, errors.New("malformed packet")
	case p[1] != id:
		return Answer{}, errors.New("answers another request")
	case p[0] != byte(layeh.CodeAccountingResponse):
		return Answer{}, errors.New("is no Accounting-Response")
	}
	response := [authSize]byte(p[4:headerSize])
	copy(p[4:headerSize], auth[:])
	digest := secret.digest(p)
	copy(p[4:headerSize], response[:])
	if !hmac.Equal(digest[:], response[:]) {
		return Answer{}, errors.New("is signed with another secret")
	}
	return Answer{Code: layeh.CodeAccountingResponse, packet: p}, nil
}
