package front

import (
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// MaxConns is how many connections are worth having: an event stream of each of
// 20,000 devices, and what they and unknown callers need beside.
const MaxConns = 25_000

// maxUnknown is how many connections there are at once that no device has
// proved to be its own, and maxAddressUnknown how many of one address. A
// connection is a device's after its first signed request, within milliseconds.
const (
	maxUnknown        = 2048
	maxAddressUnknown = maxUnknown / 4
)

// grace is how long an unknown caller's connection stays no matter who comes: time enough for a
// device to sign, also when thousands come back at once.
const grace = time.Second

// How often an address may connect: each time costs a handshake. Devices behind
// one address come back together when a server has restarted.
const (
	connectRate  = 100 // a second
	connectBurst = 2000
)

// LimitListener bounds the connections that l has accepted at once, all together
// and those that are no device's. Where these are too many, the oldest of them
// gives way after its grace, and who comes waits so long: a device has its turn,
// whatever unknown callers hold. Trusted proxies and this machine have no limit of their own.
func LimitListener(l net.Listener, trusted []netip.Prefix, conns int) net.Listener {
	few := min(maxUnknown, max(1, conns/5))
	return &door{
		Listener: l, trusted: trusted, limit: conns, unknownLimit: few, addressLimit: min(maxAddressUnknown, max(1, few/4)),
		connects: Rates{Every: connectRate, Burst: connectBurst}, freed: make(chan struct{}, 1),
	}
}

// door is a listener that closes connections, new ones or old ones, where there
// are too many.
type door struct {
	net.Listener
	trusted      Proxies
	limit        int // of all
	unknownLimit int
	addressLimit int // of the unknown callers
	connects     Rates
	freed        chan struct{} // has room for one; told when there are fewer unknown callers

	mu       sync.Mutex
	count    int
	unknown  list.List // of *conn, the oldest first
	networks Tally     // of the unknown callers
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	for {
		inner, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: inner, door: d, from: d.trusted.Limited(inner.RemoteAddr().String())}
		ok := d.connects.Allow(c.from, time.Now())
		for pause := time.Duration(1); ok && pause > 0; {
			pause, ok = d.enter(c, time.Now())
			d.await(pause)
		}
		if ok {
			return c, nil
		}
		_ = inner.Close() // the peer's loss
	}
}

// enter lets a connection in, perhaps in place of an old one, or says how long it
// has to wait at most.
func (d *door) enter(c *conn, now time.Time) (pause time.Duration, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var old *conn
	crowded := d.networks.Full(c.from, d.addressLimit)
	switch {
	case crowded.IsValid():
		old = d.oldest(func(s *conn) bool { return len(s.from) > 0 && crowded.Contains(s.from[0].Addr()) })
	case d.unknown.Len() >= d.unknownLimit, d.count >= d.limit:
		old = d.oldest(func(*conn) bool { return true })
	}
	switch {
	case old == nil && d.count >= d.limit: // all are devices'
		return 0, false
	case old != nil && now.Sub(old.since) < grace:
		// One network does not have the others wait.
		return grace - now.Sub(old.since), !crowded.IsValid()
	case old != nil:
		d.forget(old)
		_ = old.Conn.Close() // anyone who serves it sees that and closes it too
	}
	d.count++
	c.held, c.since = true, now
	c.place = d.unknown.PushBack(c)
	d.networks.Add(c.from)
	return 0, true
}

// await waits until there are fewer unknown callers, or for so long.
func (d *door) await(pause time.Duration) {
	if pause <= 0 {
		return
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-d.freed:
	}
}

// oldest returns the oldest unknown caller that fits. The caller holds the lock.
func (d *door) oldest(fits func(*conn) bool) *conn {
	for e := d.unknown.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*conn); fits(c) {
			return c
		}
	}
	return nil
}

// known takes a connection out of the unknown callers. The caller holds the lock.
func (d *door) known(c *conn) {
	if c.place != nil {
		d.unknown.Remove(c.place)
		c.place = nil
		d.networks.Remove(c.from)
		select {
		case d.freed <- struct{}{}:
		default:
		}
	}
}

// forget takes a connection out, once. The caller holds the lock.
func (d *door) forget(c *conn) {
	if c.held {
		c.held = false
		d.count--
		d.known(c)
	}
}

// conn is a connection of a door.
type conn struct {
	net.Conn
	door *door
	from []netip.Prefix

	since time.Time
	held  bool          // it counts; under the lock of the door
	place *list.Element // among the unknown callers; nil: a device's, or not held

	reads  atomic.Uint64 // that brought something
	served uint64        // reads when the last request began; of the goroutine that serves
	hasty  atomic.Bool   // the peer does not wait for answers: nothing more is read
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.door.mu.Lock()
	c.door.forget(c)
	c.door.mu.Unlock()
	return c.Conn.Close()
}

// device says that the connection is a device's.
func (c *conn) device() {
	if c == nil {
		return
	}
	c.door.mu.Lock()
	defer c.door.mu.Unlock()
	c.door.known(c)
}

// SetReadDeadline implements net.Conn. A deadline that is later than any request
// may take is that between two requests, which an unknown caller has less of.
func (c *conn) SetReadDeadline(t time.Time) error {
	if len(c.from) > 0 && time.Until(t) > RequestTimeout+time.Second && c.isUnknown() {
		t = time.Now().Add(unknownIdle)
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *conn) isUnknown() bool {
	c.door.mu.Lock()
	defer c.door.mu.Unlock()
	return c.place != nil
}

// connKey is where a request's context has its connection.
type connKey struct{}

// withConn is http.Server's ConnContext.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	if ours, ok := c.(*conn); ok {
		return context.WithValue(ctx, connKey{}, ours)
	}
	return ctx
}

// Vouch says that the connection of a request is a device's, and no unknown caller's.
func Vouch(r *http.Request) { connOf(r).device() }

// connOf returns the connection of a request, nil where no door let it in.
func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}
