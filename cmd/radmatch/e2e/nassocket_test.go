package e2e

import (
	"crypto/rand"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// nasSocket is a NAS's socket: it sends what a test tells it to, octet for octet, and
// keeps what comes back. It is used by one goroutine at a time.
type nasSocket struct {
	t      testing.TB
	conn   *net.UDPConn
	secret *wire.Secret
	id     byte
	inbox  map[byte][][]byte // datagrams that nobody asked for yet, by identifier
}

// nasSocket opens a socket to the first listener from an address of this machine.
func (p *serverProcess) nasSocket(from string) *nasSocket {
	p.t.Helper()
	return dialNAS(p.t, from, p.radius[0], testSecret)
}

func dialNAS(t testing.TB, from, to, secret string) *nasSocket {
	t.Helper()
	local := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0))
	conn, err := net.DialUDP("udp", local, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &nasSocket{t: t, conn: conn, secret: wire.NewSecret([]byte(secret)), inbox: map[byte][][]byte{}}
}

// request is a packet that was built, to be sent as often as a test likes.
type request struct {
	id     byte
	auth   [16]byte
	packet []byte
}

// build makes a signed request with an identifier that is not in use.
func (s *nasSocket) build(q wire.Query) request {
	s.t.Helper()
	s.id++
	return s.buildAs(s.id, q)
}

func (s *nasSocket) buildAs(id byte, q wire.Query) request {
	s.t.Helper()
	r := request{id: id}
	rand.Read(r.auth[:])
	var err error
	if r.packet, err = q.Append(nil, r.id, &r.auth, s.secret); err != nil {
		s.t.Fatal(err)
	}
	return r
}

// unsigned takes the Message-Authenticator off, which Query puts first.
func (r request) unsigned() request {
	const header, signature = 20, 18
	r.packet = slices.Concat(r.packet[:header], r.packet[header+signature:])
	binary.BigEndian.PutUint16(r.packet[2:], uint16(len(r.packet)))
	return r
}

func (s *nasSocket) send(r request) { s.sendRaw(r.packet) }

func (s *nasSocket) sendRaw(b []byte) {
	s.t.Helper()
	if _, err := s.conn.Write(b); err != nil {
		s.t.Fatal(err)
	}
}

// start builds a request and sends it.
func (s *nasSocket) start(q wire.Query) request {
	s.t.Helper()
	r := s.build(q)
	s.send(r)
	return r
}

// ask sends a request and waits for its answer.
func (s *nasSocket) ask(q wire.Query) wire.Answer {
	s.t.Helper()
	a, _ := s.answer(s.start(q))
	return a
}

// answer waits for the answer to r, which must verify, and returns its octets too.
func (s *nasSocket) answer(r request) (wire.Answer, []byte) {
	s.t.Helper()
	raw := s.datagram(r.id)
	if raw == nil {
		s.t.Fatal("got no answer; want one")
	}
	a, err := wire.ParseAnswer(slices.Clone(raw), r.id, &r.auth, s.secret)
	if err != nil {
		s.t.Fatalf("answer %x: got error %v; want none", raw, err)
	}
	if raw[20] != 80 { // Message-Authenticator, against Blast-RADIUS
		s.t.Errorf("answer %x: its first attribute is not Message-Authenticator", raw)
	}
	return a, raw
}

// gets waits for the answer to r, which must be of this kind.
func (s *nasSocket) gets(r request, want wire.Code) {
	s.t.Helper()
	if a, _ := s.answer(r); a.Code != want {
		s.t.Fatalf("request %d got %s, want %s", r.id, a.Code, want)
	}
}

// datagram returns the next datagram with this identifier, nil if none comes in time.
func (s *nasSocket) datagram(id byte) []byte {
	s.conn.SetReadDeadline(time.Now().Add(testTimeout))
	for len(s.inbox[id]) == 0 {
		if !s.read() {
			return nil
		}
	}
	raw := s.inbox[id][0]
	s.inbox[id] = s.inbox[id][1:]
	return raw
}

func (s *nasSocket) read() bool {
	buf := make([]byte, 4096)
	n, err := s.conn.Read(buf)
	if err != nil || n < 2 {
		return false
	}
	s.inbox[buf[1]] = append(s.inbox[buf[1]], buf[:n])
	return true
}

// silent demands that no datagram came that was not asked for. The Status-Server
// request behind all that was sent is answered by the reader that has dealt with
// the rest before.
func (s *nasSocket) silent() {
	s.t.Helper()
	r := s.buildAs(255, wire.Query{Code: wire.StatusServer})
	s.send(r)
	s.answer(r)
	for id, list := range s.inbox {
		if len(list) > 0 {
			s.t.Errorf("an answer that must not be, to identifier %d: got %x; want none", id, list[0])
		}
	}
}

// expect sends a request and demands an answer of this kind.
func (s *nasSocket) expect(q wire.Query, want wire.Code) wire.Answer {
	s.t.Helper()
	a := s.ask(q)
	if a.Code != want {
		s.t.Fatalf("%s got %s, want %s", q.User, a.Code, want)
	}
	return a
}

// signIn is the first request of a login; from is its Calling-Station-Id, if any.
func signIn(user, from string) wire.Query {
	q := wire.Query{Code: wire.AccessRequest, User: user, Cred: mfa.Password(testPassword)}
	if from != "" {
		a, err := wire.NASAttribute("Calling-Station-Id", from)
		if err != nil {
			panic(err)
		}
		q.Attributes = append(q.Attributes, a)
	}
	return q
}

// answerTo answers a challenge.
func answerTo(user, state, text string) wire.Query {
	return wire.Query{Code: wire.AccessRequest, User: user, Cred: mfa.Password(text), State: state}
}
