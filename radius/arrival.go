package radius

import (
	"net/netip"
	"time"

	"github.com/radmatch/radmatch/radius/wire"
)

// Arrival is a packet as a transport hands it over: see [Server.Receive]. A reader
// may use one again and again. Nothing of it is a socket, so that a transport beside
// UDP needs no change behind the intake.
type Arrival struct {
	Packet []byte // the datagram, padding included; Receive writes to it
	Peer
	Sender Sender // takes the answer
	// Flow numbers the listener or connection that the packet came on: see
	// [Server.NewFlow]. Identifiers are told apart by it and the Peer's Source.
	Flow       uint32
	Accounting bool      // it came where Accounting-Requests belong
	Queued     time.Time // when the kernel took it, by the clock of the day; zero: not known
	// Trusted is what the transport has proved of who sends. Nil, as over UDP: nothing;
	// the client is the one of the source address, and the packet must prove the rest.
	Trusted *Trust

	request wire.Request // what is read of the packet; as a variable it would be allocated
}

// Peer is where a request came from. It is kept, and handed back with the answer.
type Peer struct {
	Source netip.AddrPort // for the log, the trail and the limits too
	// Local is the address that was asked, and that the answer leaves from. The zero
	// Addr leaves it to the transport.
	Local netip.Addr
}

// Addr is the address without what may differ in its spelling.
func (p *Peer) Addr() netip.Addr { return p.Source.Addr().Unmap().WithZone("") }

// Trust is what a transport proves itself, as TLS does with a certificate.
type Trust struct {
	Client  string         // the name of the client
	Secrets []*wire.Secret // what packets are keyed with there (RFC 6614 §2.3); not empty
}

// Sender sends an answer to where its request came from, maybe late. Send may be
// called concurrently and keeps nothing of answer. An error means that it was not delivered.
type Sender interface {
	Send(answer []byte, to Peer) error
}

// NewFlow returns a number for Arrival.Flow that no other listener or connection has.
func (s *Server) NewFlow() uint32 { return s.flows.Add(1) }

// age is how long the packet lay in the socket's queue.
func (a *Arrival) age(now time.Time) time.Duration {
	if a.Queued.IsZero() {
		return 0
	}
	return max(0, now.Sub(a.Queued))
}

// scan reads the packet p, which wire.Trim has returned.
func (a *Arrival) scan(p []byte, maxAttributes int) discard {
	err := a.request.Scan(p, maxAttributes)
	a.request.Signed = a.request.Signed || a.Trusted != nil
	return discardOf(err)
}

// client finds whose packet it is; nil: no client's.
func (a *Arrival) client(t *Table) *client {
	if a.Trusted != nil {
		return t.named(a.Trusted.Client)
	}
	return t.networks.lookup(a.Addr())
}

// secrets are those that the packet may be signed with.
func (a *Arrival) secrets(c *client) []*wire.Secret {
	if a.Trusted != nil {
		return a.Trusted.Secrets
	}
	return c.secrets
}
