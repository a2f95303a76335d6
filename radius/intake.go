package radius

import (
	"cmp"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/upstream"
	"github.com/radmatch/radmatch/radius/wire"
)

// unknownNASTimeout is after how long in the queue a login is not worth beginning where
// nothing says how long the client waits: devices send again sooner.
const unknownNASTimeout = 10 * time.Second

// nasTimeout is how long the client waits for an answer. A request that has lain in the queue for
// longer, because the server or its machine stood still, no client waits for any more: it
// would send a prompt for nothing. A report of a session is none the worse for it.
func (c *client) nasTimeout() time.Duration {
	return cmp.Or(c.Profile.NASTimeout, unknownNASTimeout)
}

// Receive takes one packet through the intake. It returns before the request is
// decided, and keeps nothing of a but Peer and Sender. The order of the checks
// matters: nothing that an attacker can forge reaches the state that is kept for
// those who know the secret.
func (s *Server) Receive(a *Arrival) {
	var x *exchange
	defer func() {
		if v := recover(); v != nil {
			s.panicked(v, "")
			if x != nil && x.server != nil {
				x.abandon()
			}
		}
	}()
	svc := s.service.Load()
	if svc == nil {
		return
	}
	p := wire.Trim(a.Packet)
	if p == nil {
		s.malformed.Add(1)
		return
	}
	now := time.Now()
	source := a.Addr()
	c := a.client(svc.Table)
	if c == nil {
		s.unknownClient(source, now)
		return
	}
	count := svc.counters[c.index]
	count.packets.Add(1)
	count.lastSeen.Store(now.UnixNano())
	if !a.Accounting && a.age(now) >= c.nasTimeout() {
		s.refuse(c, count, discardStale, source, now)
		return
	}
	if a.Accounting {
		if why := s.account(a, svc, c, p, now); why != keep {
			s.refuse(c, count, why, source, now)
		}
		return
	}

	r := &a.request
	var secret *wire.Secret
	why := a.scan(p, s.MaxAttributes)
	if why == keep {
		secret, why = s.authenticate(a, c, count, r, now)
	}
	outer := count // it bounds what those behind it hold
	if why == keep && c.behind != nil && r.Signed && r.Code == wire.AccessRequest {
		c, count, why = svc.through(a, c, r, now)
	}
	if why == keep {
		x, why = s.deduplicate(a, r, count, outer, now)
	}
	if why != keep {
		s.refuse(c, count, why, source, now)
		return
	}
	if x == nil {
		return // a retransmission, dealt with
	}
	x.server, x.client, x.count, x.outer, x.secret = s, c, count, outer, secret
	x.fill(a, r, now)
	if r.Code == wire.StatusServer {
		x.status()
		return
	}
	s.workers.do(task{x, svc.Authenticator})
}

// through returns the client behind c that an authentic request is of, or c, with its
// counters. Who is behind may wait less long.
func (svc *service) through(a *Arrival, c *client, r *wire.Request, now time.Time) (*client, *counters, discard) {
	if inner := c.behind.find(r); inner != nil {
		c = inner
		count := svc.counters[c.index]
		count.packets.Add(1)
		count.lastSeen.Store(now.UnixNano())
		if !a.Accounting && a.age(now) >= c.nasTimeout() {
			return c, count, discardStale
		}
	}
	return c, svc.counters[c.index], keep
}

// authenticate checks the code and the signature. It returns the secret that the
// client uses.
func (s *Server) authenticate(a *Arrival, c *client, count *counters, r *wire.Request, now time.Time) (*wire.Secret, discard) {
	if r.Code != wire.AccessRequest && r.Code != wire.StatusServer {
		return nil, discardCode
	}
	secrets := a.secrets(c)
	switch {
	case !r.Signed:
		return secrets[0], s.unsigned(c, r, a.Addr())
	case r.MA == 0:
		return secrets[0], keep // the transport has proved who sends
	}
	for _, secret := range secrets {
		if !secret.Verify(r.Raw, r.MA) {
			continue
		}
		if a.Trusted == nil {
			s.latch(c, count, r, a.Addr(), now)
		}
		return secret, keep
	}
	return nil, discardSignature
}

// unsigned decides on a packet without a Message-Authenticator, before any
// cryptography (draft-ietf-radext-deprecating-radius, "Servers and Access-Request").
func (s *Server) unsigned(c *client, r *wire.Request, source netip.Addr) discard {
	switch {
	case r.EAP:
		return discardUnsignedEAP // RFC 3579 §3.1
	case r.Code == wire.StatusServer:
		return discardUnsignedStatus // RFC 5997 §3
	case r.ProxyStates > 0:
		return discardUnsignedProxy // the room in which Blast-RADIUS puts its collision
	case c.RequireMA == RequireNo:
		return keep
	case c.RequireMA == RequireAuto && s.Latches != nil && !s.Latches.Latched(c.Name, source):
		return keep
	}
	return discardUnsigned
}

// deduplicate returns the exchange of a new request, or nil for a retransmission,
// which is answered here if it has an answer.
func (s *Server) deduplicate(a *Arrival, r *wire.Request, count, outer *counters, now time.Time) (*exchange, discard) {
	status := r.Code == wire.StatusServer
	if status && s.turnsAway() {
		return nil, keep
	}
	admit := func() bool {
		if status {
			return outer.takeStatus(now) && s.admit(outer, true)
		}
		return s.admit(outer, r.State != nil)
	}
	k := makeKey(a.Source, a.Flow, byte(r.Code), r.ID)
	standing, x, answer := s.answers.begin(k, r.Auth(), s.answers.login(r), r.Signed, now, admit)
	switch standing {
	case packetNew:
		switch {
		case !r.Signed:
			count.unsigned.Add(1)
		case proves(r):
			count.signed.Add(1)
		}
		return x, keep
	case packetRefused:
		return nil, discardTakeover
	case packetFull:
		if status {
			return nil, discardStatusRate
		}
		return nil, discardOverload
	}
	count.duplicates.Add(1)
	if standing == packetAgain {
		a.Sender.Send(answer, a.Peer) // lost: the client asks again
	}
	return nil, keep
}

// refuse counts a refused packet of a known client and logs it, with what to do
// about it. An attack must not fill the disk: a line an hour for each client,
// address and reason.
func (s *Server) refuse(c *client, count *counters, why discard, source netip.Addr, now time.Time) {
	count.discarded[why].Add(1)
	if !s.refusals.Allow(logKey{c.Name, why.String(), source}, now) {
		return
	}
	hint := discardHints[why]
	if why == discardUnsigned {
		hint = c.Profile.SigningHint()
		if c.RequireMA == RequireAuto {
			hint += "; this address has signed before: `radmatch clients unlatch` forgets that"
		}
	}
	s.log.Warn("packets are discarded", zap.String("client", c.Name), zap.Stringer("source", source),
		zap.Stringer("reason", why), zap.String("hint", hint))
}

// discardHints say what an operator can do; of unsigned packets the profile does.
var discardHints = [discardReasons]string{
	discardAttributes:          "the packet is damaged, or not RADIUS",
	discardTooMany:             "see limits.attributes",
	discardCode:                "Access-Requests belong to listen.radius, Accounting-Requests to listen.accounting, and nothing else is answered",
	discardSignatureForm:       "the client must send one Message-Authenticator of 18 octets",
	discardUnsignedProxy:       "a proxy must sign what it forwards (Message-Authenticator); an unsigned Proxy-State is what the Blast-RADIUS attack needs",
	discardUnsignedEAP:         "EAP must be signed (RFC 3579)",
	discardUnsignedStatus:      "Status-Server must be signed (RFC 5997)",
	discardSignature:           "probably a wrong shared secret",
	discardTakeover:            "an unsigned packet used the identifier of a signed one that is not over",
	discardStale:               "the server stood still, or has too much to do; requests are dropped that their clients no longer wait for",
	discardOverload:            "see limits.pending and limits.pending_per_client",
	discardStatusRate:          "the client sends Status-Server more than 20 times a second",
	discardAccountingSignature: "probably a wrong shared secret",
	discardReportRate:          "the client reports more than 200 sessions a second for a long time: make the interval of its interim reports longer",
	discardAccountingForm:      "an Accounting-Request must have one Acct-Status-Type",
}

// unknownClient counts a packet from no client and logs it once an hour a network.
func (s *Server) unknownClient(source netip.Addr, now time.Time) {
	s.unknown.Add(1)
	bits := 24
	if source.Is6() {
		bits = 48
	}
	network, err := source.Prefix(bits)
	if err != nil || !s.refusals.Allow(logKey{"", "unknown_client", network.Addr()}, now) {
		return
	}
	s.log.Warn("packets are discarded", zap.Stringer("source", source), zap.String("reason", "unknown_client"),
		zap.String("hint", "no client has this address: see clients.addresses"))
}

// fill completes the exchange of a new request. The lock of the table is not
// held: only Supersede may be called meanwhile, which is atomic.
func (x *exchange) fill(a *Arrival, r *wire.Request, now time.Time) {
	x.sender, x.peer, x.id = a.Sender, a.Peer, r.ID
	x.auth = [wire.AuthSize]byte(r.Auth())
	x.proxy = r.Proxy()
	q := &x.req
	if x.client.forwards {
		q.Carrier = upstream.ForwardedOf(r)
	}
	q.Received, q.Client, q.Signed = now, x.client.Policy, r.Signed
	q.ID, q.Authenticator = x.id, x.auth
	if q.Signed {
		q.Address = x.client.Profile.EndUserAddress(r.Raw)
	}
	if nasTimeout := x.client.Profile.NASTimeout; nasTimeout > 0 {
		q.GivesUp = now.Add(nasTimeout - a.age(now))
	}
	x.texts(r)
	x.session = x.server.sessionKey(x.client, q.User, r.Session)
	q.Cred, q.Answer = x.credential(r), x
	q.Dialog = x.client.Policy.Dialog(mfa.ProtocolOf(q.Cred))
}

// texts sets the request's strings, which share one allocation.
func (x *exchange) texts(r *wire.Request) {
	var room [512]byte
	b := x.peer.Source.AppendTo(room[:0])
	source := len(b)
	b = r.AppendText(b, r.User)
	user := len(b)
	b = append(b, r.State...)
	state := len(b)
	b = x.client.Profile.AppendEndUser(b, r.Raw, r.Signed)
	endUser := len(b)
	b = appendNAS(b, r)
	s := string(b)
	q := &x.req
	q.Source, q.User, q.State, q.EndUser, q.NAS = s[:source], mfa.NameOf(s[source:user]), s[user:state], s[state:endUser], s[endUser:]
}

// appendNAS appends what the NAS of a request calls itself.
func appendNAS(b []byte, r *wire.Request) []byte {
	if len(r.NASID) > 0 {
		return r.AppendText(b, r.NASID)
	}
	if addr, ok := netip.AddrFromSlice(r.NASAddr); ok {
		return addr.AppendTo(b)
	}
	return b
}

// status answers a Status-Server request (RFC 5997 §4.2).
func (x *exchange) status() {
	s := x.server
	o := s.room()
	defer s.free(o)
	w := x.begin(o, wire.AccessAccept)
	w.Most = wire.MaxPacketSize
	w.B = append(w.B, x.proxy...)
	p, err := w.SealAnswer()
	if err == nil && s.answers.finish(x, p, time.Now()) {
		x.count.status.Add(1)
		x.sender.Send(p, x.peer)
	}
	s.release(x.outer) // not deferred: after a panic abandon does it
}
