package radius

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/radmatch/radmatch/radius/wire"
)

// keepAnswer is how long an answer is repeated to a retransmission (RFC 5080 §2.2.2).
const keepAnswer = 30 * time.Second

// shards is how many parts the retransmission table is locked in.
const shards = 64

// key identifies a request among those in flight (RFC 5080 §2.2.2). The code
// is in it because a Status-Server may have the identifier of a login (RFC 5997 §4.1).
type key struct {
	addr     [16]byte
	port     uint16
	flow     uint32
	code, id byte
}

func makeKey(from netip.AddrPort, flow uint32, code, id byte) key {
	return key{addr: from.Addr().As16(), port: from.Port(), flow: flow, code: code, id: id}
}

// shard mixes what differs between the requests of one NAS, and between NASes.
func (k *key) shard() int {
	return int(k.id)*7 + int(k.port)*13 + int(k.addr[15])*31 + int(k.addr[14]) ^ int(k.code)
}

// entry is one identifier in use: pending while exchange is set, then finished
// with the answer (none: it ended in silence) until expires.
type entry struct {
	key      key
	auth     [wire.AuthSize]byte
	login    uint64 // see retransmissions.login
	signed   bool
	exchange *exchange
	answer   []byte
	expires  time.Time
	next     *entry // in the order in which they finished
	prev     *entry
}

// retransmissions is the table of requests in flight and of the answers of the
// last 30 s. Pending entries are never evicted; of the finished ones the oldest
// give way when a shard is full.
type retransmissions struct {
	most   int // finished entries a shard
	seed   maphash.Seed
	shards [shards]tableShard
}

type tableShard struct {
	mu       sync.Mutex
	entries  map[key]*entry
	finished entry // sentinel of the circular list of finished entries, oldest first
	count    int   // of the circular list
}

func newRetransmissions(most int) *retransmissions {
	t := &retransmissions{most: max(1, most/shards), seed: maphash.MakeSeed()}
	for i := range t.shards {
		s := &t.shards[i]
		s.entries = make(map[key]*entry)
		s.finished.next, s.finished.prev = &s.finished, &s.finished
	}
	return t
}

func (t *retransmissions) shard(k *key) *tableShard {
	return &t.shards[uint(k.shard())%shards]
}

// standing is what the table says of a packet.
type standing int

const (
	packetNew     standing = iota // take it
	packetPending                 // a retransmission of one that is being decided: drop it
	packetAgain                   // a retransmission: send the answer again
	packetSilent                  // a retransmission of one that ended in silence: drop it
	packetRefused                 // an unsigned packet on a signed one's identifier: drop it
	packetFull                    // new, but over a limit: drop it
)

// login is a hash of who asks with what. A NAS with a bad random generator uses
// an authenticator twice; the answer to one user must not go to the next for
// that. The rest of a packet may differ: devices count their tries in it.
func (t *retransmissions) login(r *wire.Request) uint64 {
	var h maphash.Hash
	h.SetSeed(t.seed)
	for _, part := range [...][]byte{r.User, r.Password, r.State, r.MSChallenge, r.MS2Response} {
		h.WriteByte(byte(len(part))) // of an attribute, so that it fits
		h.Write(part)
	}
	return h.Sum64()
}

// begin looks a packet up. For a new one, if admit allows, it makes the pending
// exchange, which supersedes the one before. With packetAgain comes a copy of
// the answer.
func (t *retransmissions) begin(k key, auth []byte, login uint64, signed bool, now time.Time, admit func() bool) (standing, *exchange, []byte) {
	s := t.shard(&k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	e := s.entries[k]
	if e != nil {
		live := e.exchange != nil || now.Before(e.expires)
		if live && e.login == login && string(e.auth[:]) == string(auth) {
			switch {
			case e.exchange != nil:
				return packetPending, nil, nil
			case len(e.answer) == 0:
				return packetSilent, nil, nil
			}
			return packetAgain, nil, slices.Clone(e.answer)
		}
		if live && e.signed && !signed {
			return packetRefused, nil, nil
		}
	}
	if !admit() {
		return packetFull, nil, nil
	}
	switch {
	case e == nil:
		e = &entry{key: k}
		s.entries[k] = e
	case e.exchange != nil:
		e.exchange.req.Supersede()
	default:
		s.unlink(e)
	}
	x := &exchange{entry: e}
	e.auth = [wire.AuthSize]byte(auth)
	e.login = login
	e.signed = signed
	e.exchange = x
	return packetNew, x, nil
}

// finish ends x with an answer, none for silence. It reports false if x was
// superseded: then nothing may be sent.
func (t *retransmissions) finish(x *exchange, answer []byte, now time.Time) bool {
	e := x.entry
	s := t.shard(&e.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.exchange != x {
		return false
	}
	e.exchange = nil
	e.answer = append(e.answer[:0], answer...)
	e.expires = now.Add(keepAnswer)
	s.link(e)
	if s.count > t.most {
		s.forget(s.finished.next)
	}
	return true
}

// expire forgets the oldest finished entries that are over, a few at a time.
func (s *tableShard) expire(now time.Time) {
	for range 2 {
		oldest := s.finished.next
		if oldest == &s.finished || now.Before(oldest.expires) {
			return
		}
		s.forget(oldest)
	}
}

func (s *tableShard) forget(e *entry) {
	s.unlink(e)
	delete(s.entries, e.key)
}

func (s *tableShard) link(e *entry) {
	last := s.finished.prev
	e.prev, e.next = last, &s.finished
	last.next, s.finished.prev = e, e
	s.count++
}

func (s *tableShard) unlink(e *entry) {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
	s.count--
}
