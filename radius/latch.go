package radius

import (
	"bytes"
	"net/netip"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// toolPrefix begins the NAS-Identifier of radmatch's own commands. What they send is
// signed, and says nothing of the device at the same address.
var toolPrefix = []byte("radmatch ")

// ToolIdentifier is the NAS-Identifier of one of radmatch's own commands.
func ToolIdentifier(command string) mfa.Attribute {
	return mfa.Attribute{Type: wire.TypeNASIdentifier, Value: append(slices.Clone(toolPrefix), command...)}
}

// latch notes that a source of a client with RequireAuto has signed: from now on
// it must. The proof is an Access-Request of the device itself. An EAP
// request is signed by every device, a Status-Server probe may come from another
// program on the same host, and so does what our own tools send. An address from
// which an unsigned login was accepted lately is mixed: a test on that host has
// signed, and the device behind it would be shut out. Not to latch is the state of
// an address that has never signed; who could cause it has a login accepted
// unsigned, for which the state must be that already.
func (s *Server) latch(c *client, count *counters, r *wire.Request, source netip.Addr, now time.Time) {
	if c.RequireMA != RequireAuto || r.Code != wire.AccessRequest || r.EAP || fromTool(r) ||
		s.Latches == nil || s.Latches.Latched(c.Name, source) {
		return
	}
	if at, mixed := count.unsignedFrom.last(source, now); mixed {
		if s.refusals.Allow(logKey{c.Name, "mixed", source}, now) {
			s.log.Warn("an address signs and does not sign: it need not from now on", zap.String("client", c.Name),
				zap.Stringer("source", source), zap.Time("unsigned", at), zap.String("hint", c.Profile.SigningHint()))
		}
		return
	}
	s.Latches.Latch(c.Name, source, now)
}

// fromTool reports whether the request is that of one of radmatch's own commands.
func fromTool(r *wire.Request) bool { return bytes.HasPrefix(r.NASID, toolPrefix) }

// proves reports whether a signed request shows that the device signs.
func proves(r *wire.Request) bool { return r.Code == wire.AccessRequest && !fromTool(r) }

const (
	// mixedFor is how long an unsigned login keeps its address from being latched:
	// more than a weekend.
	mixedFor = 7 * 24 * time.Hour
	// maxUnsigned bounds the addresses that are kept of a client.
	maxUnsigned = 64
)

// UnsignedSource is an address of a client from which an unsigned login was
// accepted, and when last.
type UnsignedSource struct {
	Addr netip.Addr `json:"addr"`
	At   time.Time  `json:"at"`
}

// unsignedSources are those of one client. Its methods may be called concurrently.
type unsignedSources struct {
	mu   sync.Mutex
	list []UnsignedSource // the one that was last seen last
}

// note notes an accepted login. Where there are too many addresses the oldest goes.
func (u *unsignedSources) note(source netip.Addr, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.list = slices.DeleteFunc(u.list, func(s UnsignedSource) bool { return s.Addr == source || at.Sub(s.At) >= mixedFor })
	if len(u.list) >= maxUnsigned {
		u.list = slices.Delete(u.list, 0, 1)
	}
	u.list = append(u.list, UnsignedSource{source, at})
}

// last returns when an unsigned login from source was accepted, false where that
// was not lately.
func (u *unsignedSources) last(source netip.Addr, now time.Time) (at time.Time, lately bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, s := range u.list {
		if s.Addr == source && now.Sub(s.At) < mixedFor {
			return s.At, true
		}
	}
	return time.Time{}, false
}

// lately returns a copy.
func (u *unsignedSources) lately(now time.Time) []UnsignedSource {
	u.mu.Lock()
	defer u.mu.Unlock()
	var list []UnsignedSource
	for _, s := range u.list {
		if now.Sub(s.At) < mixedFor {
			list = append(list, s)
		}
	}
	return list
}

// Remember restores, by client, from which addresses unsigned logins were accepted
// before a restart. It is called before Swap.
func (s *Server) Remember(unsigned map[string][]UnsignedSource) {
	s.start()
	for name, list := range unsigned {
		for _, u := range list {
			s.names.named(name).unsignedFrom.note(u.Addr, u.At)
		}
	}
}
