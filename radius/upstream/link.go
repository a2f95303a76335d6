package upstream

import (
	"bytes"
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/radmatch/radmatch/radius/wire"
)

// questionsPerLink is how many requests wait on one socket before another one is
// opened: several source ports reach several threads of a server. linksPerServer
// bounds them, so that at most 256 times as many requests wait for one server; half
// of them, questionsPerClient, for the logins at one client.
const (
	questionsPerLink = 64
	linksPerServer   = 32
	idsPerLink       = 256

	questionsPerClient = linksPerServer * idsPerLink / 2
)

// link is one connected socket to a server: the kernel takes nothing from other
// addresses. A goroutine reads it until it was idle for a while.
type link struct {
	server *server
	at     string // the address that it leads to
	conn   net.Conn

	mu        sync.Mutex
	questions [idsPerLink]*question // by identifier
	used      int
	fresh     bool // used since the last look for idleness
	closed    bool
}

// question is one request that waits for its answer.
type question struct {
	link   *link
	code   wire.Code
	auth   [wire.AuthSize]byte
	proxy  [8]byte // our Proxy-State
	packet []byte
	answer chan wire.Answer // capacity 1: verified
	refuse chan struct{}    // capacity 1: nothing listens there
	// invalid says why the last answer was not taken: anybody can send one, so it
	// ends nothing.
	invalid atomic.Pointer[error]
}

// newQuestion takes an identifier and makes the packet; nil where most are waiting
// already or the link is closed.
func (l *link) newQuestion(q *wire.Query, most int) (*question, error) {
	c := &question{link: l, code: q.Code, answer: make(chan wire.Answer, 1), refuse: make(chan struct{}, 1)}
	var random [wire.AuthSize + 8]byte
	rand.Read(random[:])
	copy(c.auth[:], random[:])
	copy(c.proxy[:], random[wire.AuthSize:])
	id, ok := l.reserve(c, most)
	if !ok {
		return nil, nil
	}
	var err error
	if c.packet, err = appendProxied(q, id, c, l.server.secret); err != nil {
		l.end(c, id)
		return nil, err
	}
	return c, nil
}

// appendProxied is Append of q with a Proxy-State behind.
func appendProxied(q *wire.Query, id byte, c *question, secret *wire.Secret) ([]byte, error) {
	own := *q
	own.Tail = wire.AppendAttribute(q.Tail[:len(q.Tail):len(q.Tail)], wire.TypeProxyState, c.proxy[:])
	return own.Append(make([]byte, 0, 256), id, &c.auth, secret)
}

// reserve finds a free identifier, from a random one on.
func (l *link) reserve(c *question, most int) (id byte, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.used >= most {
		return 0, false
	}
	for id = byte(mathrand.Uint32()); l.questions[id] != nil; id++ {
	}
	l.questions[id] = c
	l.used++
	l.fresh = true
	return id, true
}

func (c *question) id() byte { return c.packet[1] }

// end gives the identifier of a question back. An answer that still comes does not
// fit the next request's authenticator.
func (l *link) end(c *question, id byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.questions[id] == c {
		l.questions[id] = nil
		l.used--
	}
}

// send sends the packet, which is the same octets each time (RFC 5080 §2.2.1).
// The kernel reports with it that an earlier packet was refused: then it was not
// sent.
func (c *question) send() error {
	_, err := c.link.conn.Write(c.packet)
	if errors.Is(err, syscall.ECONNREFUSED) {
		_, err = c.link.conn.Write(c.packet)
	}
	return err
}

// read delivers answers until the link is closed or idle.
func (l *link) read() {
	buf := make([]byte, wire.MaxPacketSize)
	l.conn.SetReadDeadline(time.Now().Add(l.server.idle()))
	for {
		n, err := l.conn.Read(buf)
		switch {
		case err == nil:
			l.deliver(buf[:n])
		case errors.Is(err, os.ErrDeadlineExceeded):
			if l.retire() {
				return
			}
			l.conn.SetReadDeadline(time.Now().Add(l.server.idle()))
		case errors.Is(err, syscall.ECONNREFUSED):
			l.refused()
		default:
			l.close()
			l.refused()
			return
		}
	}
}

// deliver hands an answer to the question that it verifies for, and to no other.
func (l *link) deliver(datagram []byte) {
	if len(datagram) < wire.HeaderSize {
		return
	}
	id := datagram[1]
	l.mu.Lock()
	c := l.questions[id]
	l.mu.Unlock()
	if c == nil {
		return
	}
	answer, err := wire.ParseAnswer(datagram, id, &c.auth, l.server.secret)
	if err == nil {
		err = c.takes(answer)
	}
	if err != nil {
		c.invalid.Store(&err)
		return
	}
	answer.Packet = bytes.Clone(answer.Packet)
	l.mu.Lock()
	waits := l.questions[id] == c
	if waits {
		l.questions[id] = nil
		l.used--
	}
	l.mu.Unlock()
	if waits {
		c.answer <- answer
	}
}

var (
	errCode       = errors.New("has a code that answers no Access-Request")
	errProxyMatch = errors.New("brings back another Proxy-State")
)

// takes refuses a verified answer that is not one to this request.
func (c *question) takes(a wire.Answer) error {
	switch {
	case a.Code == wire.AccessAccept:
	case c.code == wire.AccessRequest && (a.Code == wire.AccessReject || a.Code == wire.AccessChallenge):
	default:
		return errCode
	}
	for typ, value := range wire.Attributes(a.Packet) {
		// One who forgets it (RFC 2865 §5.33) still has answered this
		// authenticator; one who brings back another has not.
		if typ == wire.TypeProxyState && !bytes.Equal(value, c.proxy[:]) {
			return errProxyMatch
		}
	}
	return nil
}

// refused tells all questions that nothing listens: ICMP does not say which of them.
func (l *link) refused() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.questions {
		if c == nil {
			continue
		}
		select {
		case c.refuse <- struct{}{}:
		default:
		}
	}
}

// retire closes a link that nobody used since the last look.
func (l *link) retire() bool {
	l.mu.Lock()
	stays := l.used > 0 || l.fresh && !l.server.closed.Load()
	l.fresh = false
	l.closed = !stays
	l.mu.Unlock()
	if !stays {
		l.close()
	}
	return !stays
}

func (l *link) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.conn.Close()
	l.server.forget(l)
}
