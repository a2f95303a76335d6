package radius

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	layeh "layeh.com/radius"

	"github.com/radmatch/radmatch/mfa"
)

// Code is the kind of a packet.
type Code = layeh.Code

// The codes that a client meets.
const (
	AccessRequest   Code = layeh.CodeAccessRequest
	AccessAccept    Code = layeh.CodeAccessAccept
	AccessReject    Code = layeh.CodeAccessReject
	AccessChallenge Code = layeh.CodeAccessChallenge
	StatusServer    Code = layeh.CodeStatusServer
)

// ErrNoAnswer means that no valid answer came in time.
var ErrNoAnswer = errors.New("no answer")

// Query is a request as a client sends it.
type Query struct {
	Code       Code // AccessRequest or StatusServer
	User       string
	Cred       mfa.Credential // mfa.Password, mfa.MSCHAPv2 or nil
	State      string
	Attributes []mfa.Attribute // further ones, from NASAttribute
	tail       []byte          // and encoded ones behind them
}

// Append appends the query as a packet, with the Message-Authenticator first.
// auth must be random and never used twice with one secret (RFC 2865 §3).
func (q *Query) Append(b []byte, id byte, auth *[16]byte, secret *Secret) ([]byte, error) {
	start := len(b)
	w := newWriter(b[start:], q.Code, id, auth[:], secret)
	if q.User != "" {
		w.text(typeUserName, q.User)
	}
	switch c := q.Cred.(type) {
	case mfa.Password:
		w.password(string(c))
	case mfa.MSCHAPv2:
		w.vendor(vendorMicrosoft, msCHAPChallenge, c.AuthChallenge[:])
		response := append(make([]byte, 0, ms2ResponseSize), c.Ident, 0)
		response = append(response, c.PeerChallenge[:]...)
		response = append(response, make([]byte, 8)...)
		w.vendor(vendorMicrosoft, msCHAP2Response, append(response, c.NTResponse[:]...))
	}
	if q.State != "" {
		w.text(typeState, q.State)
	}
	for _, a := range q.Attributes {
		w.add(a)
	}
	w.b = append(w.b, q.tail...)
	if err := w.seal(); err != nil {
		return nil, err
	}
	return append(b[:start], w.b...), nil
}

// password appends a User-Password (RFC 2865 §5.2).
func (w *writer) password(password string) {
	if len(password) > maxPassword {
		w.err = fmt.Errorf("the password is longer than %d octets", maxPassword)
		return
	}
	var plain, encrypted [maxPassword]byte
	n := max(minPassword, (copy(plain[:], password)+md5.Size-1)/md5.Size*md5.Size)
	w.attribute(typeUserPassword, cryptPassword(encrypted[:0], plain[:n], w.auth, w.secret, true))
}

// NASAttribute is a text attribute of a request, for Query.Attributes.
func NASAttribute(name, value string) (mfa.Attribute, error) {
	def, ok := dictionary().names[strings.ToLower(name)]
	if !ok || dictionary().uses[def.key()] == useServer || def.tag {
		return mfa.Attribute{}, fmt.Errorf("attribute %q: not one that a client may add", name)
	}
	b, err := def.encode(value, 0)
	if err != nil {
		return mfa.Attribute{}, fmt.Errorf("attribute %q: %w; got %q", name, err, value)
	}
	return mfa.Attribute{Vendor: def.vendor, Type: def.typ, Value: b}, nil
}

// Answer is a verified answer.
type Answer struct {
	Code   Code
	packet []byte
}

// ParseAnswer verifies that datagram answers the request with this identifier
// and authenticator and was signed with secret: Response Authenticator and
// Message-Authenticator, without which an answer can be forged (Blast-RADIUS). The
// Answer keeps datagram, which is written to during the call.
func ParseAnswer(datagram []byte, id byte, auth *[16]byte, secret *Secret) (Answer, error) {
	p := trim(datagram)
	if p == nil {
		return Answer{}, errors.New("malformed packet")
	}
	if p[1] != id {
		return Answer{}, errors.New("answers another request")
	}
	var r request
	if r.scan(p, math.MaxInt) != keep {
		return Answer{}, errors.New("malformed attributes")
	}
	if r.ma == 0 {
		return Answer{}, errors.New("has no Message-Authenticator")
	}
	var response [authSize]byte
	copy(response[:], p[4:headerSize])
	copy(p[4:headerSize], auth[:])
	digest := secret.digest(p)
	signed := secret.verify(p, r.ma)
	copy(p[4:headerSize], response[:])
	if !hmac.Equal(digest[:], response[:]) || !signed {
		return Answer{}, errors.New("is signed with another secret")
	}
	return Answer{Code: r.code, packet: p}, nil
}

// State is what the answer to a challenge must carry.
func (a Answer) State() string { return string(find(a.packet, AttributeType{Type: typeState})) }

// Echo reports whether a challenge allows what is typed to be shown (RFC 2869 §5.10).
func (a Answer) Echo() bool {
	v := find(a.packet, AttributeType{Type: typePrompt})
	return len(v) == 4 && v[3] == 1
}

// Message is the text for the person.
func (a Answer) Message() string {
	var text strings.Builder
	for typ, v := range attributes(a.packet) {
		if typ == typeReplyMessage {
			text.Write(v)
		}
	}
	return text.String()
}

// Attributes returns all attributes in their order, those of known vendors each
// for itself. Values stay encrypted where they are.
func (a Answer) Attributes() []mfa.Attribute {
	var list []mfa.Attribute
	for typ, v := range attributes(a.packet) {
		if typ != typeVendorSpecific || len(v) < 4 {
			list = append(list, untag(mfa.Attribute{Type: typ, Value: v}))
			continue
		}
		vendor, _ := vendorOf(v)
		for typ, v := range vendorAttributes(v, vendor) {
			list = append(list, mfa.Attribute{Vendor: vendor, Type: typ, Value: v})
		}
	}
	return list
}

// untag takes the tag out of a value that may have one (RFC 2868 §3.1).
func untag(a mfa.Attribute) mfa.Attribute {
	def := dictionary().types[AttributeType{a.Vendor, a.Type}]
	if def == nil || !def.tag || len(a.Value) == 0 || a.Value[0] > 31 {
		return a
	}
	if a.Value[0] != 0 || !(def.format == "integer") {
		a.Tag, a.Value = a.Value[0], a.Value[1:]
	}
	return a
}

// Caller sends queries to one server. Its methods may be called concurrently;
// each call has a socket of its own, as many devices do.
type Caller struct {
	Addr   string     // host:port; of a name its first address
	Local  netip.Addr // to send from; the zero Addr leaves it to the system
	Secret *Secret
	First  time.Duration // until the first retransmission; 0: 2 s
	Total  time.Duration // until ErrNoAnswer; 0: 30 s
}

// The timers of RFC 5080 §2.2.1.
const (
	initialRetransmit = 2 * time.Second
	maximumRetransmit = 16 * time.Second
	maximumDuration   = 30 * time.Second
)

// Exchange sends q and returns the verified answer. It retransmits the same
// octets as RFC 5080 §2.2.1 says. ErrNoAnswer means that none came in Total, or
// that nothing listens; a done ctx ends it early.
func (c *Caller) Exchange(ctx context.Context, q *Query) (Answer, error) {
	a, err := c.exchange(ctx, q)
	if err != nil {
		return Answer{}, fmt.Errorf("radius %s: %w", c.Addr, err)
	}
	return a, nil
}

func (c *Caller) exchange(ctx context.Context, q *Query) (Answer, error) {
	var auth [authSize]byte
	rand.Read(auth[:])
	id := byte(mathrand.Uint32())
	packet, err := q.Append(nil, id, &auth, c.Secret)
	if err != nil {
		return Answer{}, err
	}
	return c.transact(ctx, packet, func(datagram []byte) (Answer, error) {
		return ParseAnswer(datagram, id, &auth, c.Secret)
	})
}

// transact sends packet, again and again, until parse takes an answer.
func (c *Caller) transact(ctx context.Context, packet []byte, parse func([]byte) (Answer, error)) (Answer, error) {
	var dialer net.Dialer
	if c.Local.IsValid() {
		dialer.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.Local, 0))
	}
	conn, err := dialer.DialContext(ctx, "udp", c.Addr)
	if err != nil {
		return Answer{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()

	wait, end := c.First, time.Now().Add(c.Total)
	if wait <= 0 {
		wait = initialRetransmit
	}
	if c.Total <= 0 {
		end = time.Now().Add(maximumDuration)
	}
	fault := ErrNoAnswer
	for ctx.Err() == nil && time.Now().Before(end) {
		if _, err := conn.Write(packet); err != nil {
			return Answer{}, fmt.Errorf("%w: %w", ErrNoAnswer, err)
		}
		until := time.Now().Add(spread(wait))
		if until.After(end) {
			until = end
		}
		answer, err := c.await(ctx, conn, until, parse)
		switch {
		case err == nil:
			return answer, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
		case errors.Is(err, errInvalid):
			fault = err
		default: // nothing listens there
			return Answer{}, fmt.Errorf("%w: %w", ErrNoAnswer, err)
		}
		wait = min(2*wait, maximumRetransmit)
	}
	if err := ctx.Err(); err != nil {
		return Answer{}, fmt.Errorf("%w: %w", fault, err)
	}
	return Answer{}, fault
}

// errInvalid is an answer that does not verify: anybody can send one, so it
// ends nothing, but it tells why no answer was had.
var errInvalid = fmt.Errorf("%w that is valid", ErrNoAnswer)

// await reads until a valid answer comes or the time is over.
func (c *Caller) await(ctx context.Context, conn net.Conn, until time.Time, parse func([]byte) (Answer, error)) (Answer, error) {
	if err := conn.SetReadDeadline(until); err != nil {
		return Answer{}, err
	}
	var invalid error
	buf := make([]byte, maxPacketSize)
	for {
		if ctx.Err() != nil {
			return Answer{}, os.ErrDeadlineExceeded
		}
		n, err := conn.Read(buf)
		if err != nil && invalid != nil {
			return Answer{}, fmt.Errorf("%w: the last one %w", errInvalid, invalid)
		}
		if err != nil {
			return Answer{}, err
		}
		answer, err := parse(buf[:n])
		if err == nil {
			return answer, nil
		}
		invalid = err
	}
}
