package caller

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/radmatch/radmatch/radius/wire"
)

// ErrNoAnswer means that no valid answer came in time.
var ErrNoAnswer = errors.New("no answer")

// Caller sends queries to one server. Its methods may be called concurrently;
// each call has a socket of its own, as many devices do.
type Caller struct {
	Addr   string     // host:port; of a name its first address
	Local  netip.Addr // to send from; the zero Addr leaves it to the system
	Secret *wire.Secret
	First  time.Duration // until the first retransmission; 0: 2 s
	Total  time.Duration // until ErrNoAnswer; 0: 30 s
}

// The timers of RFC 5080 §2.2.1.
const (
	InitialRetransmit = 2 * time.Second
	MaximumRetransmit = 16 * time.Second
	maximumDuration   = 30 * time.Second
)

// Exchange sends q and returns the verified answer. It retransmits the same
// octets as RFC 5080 §2.2.1 says. ErrNoAnswer means that none came in Total, or
// that nothing listens; a done ctx ends it early.
func (c *Caller) Exchange(ctx context.Context, q *wire.Query) (wire.Answer, error) {
	a, err := c.exchange(ctx, q)
	if err != nil {
		return wire.Answer{}, fmt.Errorf("radius %s: %w", c.Addr, err)
	}
	return a, nil
}

func (c *Caller) exchange(ctx context.Context, q *wire.Query) (wire.Answer, error) {
	var auth [wire.AuthSize]byte
	rand.Read(auth[:])
	id := byte(mathrand.Uint32())
	packet, err := q.Append(nil, id, &auth, c.Secret)
	if err != nil {
		return wire.Answer{}, err
	}
	return c.Transact(ctx, packet, func(datagram []byte) (wire.Answer, error) {
		return wire.ParseAnswer(datagram, id, &auth, c.Secret)
	})
}

// Transact sends packet, again and again, until parse takes an answer.
func (c *Caller) Transact(ctx context.Context, packet []byte, parse func([]byte) (wire.Answer, error)) (wire.Answer, error) {
	var dialer net.Dialer
	if c.Local.IsValid() {
		dialer.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.Local, 0))
	}
	conn, err := dialer.DialContext(ctx, "udp", c.Addr)
	if err != nil {
		return wire.Answer{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()

	wait, end := c.First, time.Now().Add(c.Total)
	if wait <= 0 {
		wait = InitialRetransmit
	}
	if c.Total <= 0 {
		end = time.Now().Add(maximumDuration)
	}
	fault := ErrNoAnswer
	for ctx.Err() == nil && time.Now().Before(end) {
		if _, err := conn.Write(packet); err != nil {
			return wire.Answer{}, fmt.Errorf("%w: %w", ErrNoAnswer, err)
		}
		until := time.Now().Add(Spread(wait))
		if until.After(end) {
			until = end
		}
		answer, err := c.await(ctx, conn, until, parse)
		switch {
		case err == nil:
			return answer, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
		case errors.Is(err, ErrInvalid):
			fault = err
		default: // nothing listens there
			return wire.Answer{}, fmt.Errorf("%w: %w", ErrNoAnswer, err)
		}
		wait = min(2*wait, MaximumRetransmit)
	}
	if err := ctx.Err(); err != nil {
		return wire.Answer{}, fmt.Errorf("%w: %w", fault, err)
	}
	return wire.Answer{}, fault
}

// ErrInvalid is an answer that does not verify: anybody can send one, so it
// ends nothing, but it tells why no answer was had.
var ErrInvalid = fmt.Errorf("%w that is valid", ErrNoAnswer)

// await reads until a valid answer comes or the time is over.
func (c *Caller) await(ctx context.Context, conn net.Conn, until time.Time, parse func([]byte) (wire.Answer, error)) (wire.Answer, error) {
	if err := conn.SetReadDeadline(until); err != nil {
		return wire.Answer{}, err
	}
	var invalid error
	buf := make([]byte, wire.MaxPacketSize)
	for {
		if ctx.Err() != nil {
			return wire.Answer{}, os.ErrDeadlineExceeded
		}
		n, err := conn.Read(buf)
		if err != nil && invalid != nil {
			return wire.Answer{}, fmt.Errorf("%w: the last one %w", ErrInvalid, invalid)
		}
		if err != nil {
			return wire.Answer{}, err
		}
		answer, err := parse(buf[:n])
		if err == nil {
			return answer, nil
		}
		invalid = err
	}
}

// Spread keeps many clients from sending at the same moments (RFC 5080 §2.2.1).
func Spread(d time.Duration) time.Duration {
	return time.Duration((0.9 + 0.2*mathrand.Float64()) * float64(d))
}
