package radius

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// statuses are the values of Acct-Status-Type (RFC 2866 §5.1, RFC 2867 §3.1).
var statuses = [...]string{
	1: "start", 2: "stop", 3: "interim", 4: "modem-start", 5: "modem-stop", 6: "cancel", 7: "on", 8: "off",
	9: "tunnel-start", 10: "tunnel-stop", 11: "tunnel-reject", 12: "link-start", 13: "link-stop", 14: "link-reject", 15: "failed",
}

// causes are the values of Acct-Terminate-Cause (RFC 2866 §5.10, RFC 2867 and 3580).
var causes = [...]string{
	1: "User-Request", 2: "Lost-Carrier", 3: "Lost-Service", 4: "Idle-Timeout", 5: "Session-Timeout", 6: "Admin-Reset",
	7: "Admin-Reboot", 8: "Port-Error", 9: "NAS-Error", 10: "NAS-Request", 11: "NAS-Reboot", 12: "Port-Unneeded",
	13: "Port-Preempted", 14: "Port-Suspended", 15: "Service-Unavailable", 16: "Callback", 17: "User-Error", 18: "Host-Request",
	19: "Supplicant-Restart", 20: "Reauthentication-Failure", 21: "Port-Reinitialized", 22: "Port-Administratively-Disabled",
}

// maxDelay bounds how far back Acct-Delay-Time dates a report.
const maxDelay = 24 * time.Hour

// nameOf returns a number's name, or its digits.
func nameOf(names []string, n uint32) string {
	if n < uint32(len(names)) && names[n] != "" {
		return names[n]
	}
	return strconv.FormatUint(uint64(n), 10)
}

// parseSession reads what the Accounting-Request p, whose attributes were walked
// before, reports. It is nil where it does not say what happened: RFC 2866 §5.13
// demands an Acct-Status-Type. Numbers that are not four octets count as absent.
func parseSession(p []byte) *mfa.Session {
	s := &mfa.Session{}
	number := func(v []byte) uint64 {
		if len(v) != 4 {
			return 0
		}
		return uint64(binary.BigEndian.Uint32(v))
	}
	for typ, v := range wire.Attributes(p) {
		switch typ {
		case wire.TypeAcctStatusType:
			if len(v) != 4 || s.Status != "" {
				return nil
			}
			s.Status = nameOf(statuses[:], binary.BigEndian.Uint32(v))
		case wire.TypeAcctSessionID:
			s.ID = wire.ToText(v)
		case wire.TypeNASIdentifier:
			s.NAS = wire.ToText(v)
		case wire.TypeNASIPAddress, wire.TypeNASIPv6Address:
			if addr, ok := netip.AddrFromSlice(v); ok && s.NAS == "" {
				s.NAS = addr.String()
			}
		case wire.TypeFramedIPAddress, wire.TypeFramedIPv6Address:
			if addr, ok := netip.AddrFromSlice(v); ok && s.Address == "" {
				s.Address = addr.String()
			}
		case wire.TypeAcctSessionTime:
			s.Duration = time.Duration(number(v)) * time.Second
		case wire.TypeAcctInputOctets:
			s.InOctets += number(v)
		case wire.TypeAcctOutputOctets:
			s.OutOctets += number(v)
		case wire.TypeAcctInputGiga:
			s.InOctets += number(v) << 32
		case wire.TypeAcctOutputGiga:
			s.OutOctets += number(v) << 32
		case wire.TypeAcctTerminateCause:
			s.Cause = nameOf(causes[:], uint32(number(v)))
		}
	}
	if s.Status == "" {
		return nil
	}
	return s
}

// sessionEvent is the line of the trail for a report. It has the id of the login
// where a Class of ours proves it, or the session was named with the login.
func (s *Server) sessionEvent(a *Arrival, c *client, r *wire.Request, session *mfa.Session, now time.Time) mfa.Event {
	ev := mfa.Event{
		Kind: mfa.EventAccounting, Time: now, Details: mfa.Details{Session: session},
		Origin: mfa.Origin{
			Client: c.Name, Group: c.Policy.Group, User: mfa.NameOf(wire.ToText(r.User)),
			EndUser: string(c.Profile.AppendEndUser(nil, r.Raw, true)), Source: a.Source.String(),
		},
	}
	for typ, v := range wire.Attributes(r.Raw) {
		switch {
		case typ == wire.TypeClass && ev.ID == "":
			ev.ID = wire.LoginOfClass(s.Accounting.ClassKey, c.Policy.Group, v)
		case typ == wire.TypeAcctDelayTime && len(v) == 4:
			ev.Time = now.Add(-min(time.Duration(binary.BigEndian.Uint32(v))*time.Second, maxDelay))
		}
	}
	if ev.ID == "" {
		ev.ID = s.sessions.login(s.sessionKey(c, ev.User, r.Session), now)
	}
	return ev
}

// markOf is the same for a report and its retransmissions. Those may differ in
// Acct-Delay-Time, which counts up (RFC 2866 §5.2), and with it in identifier and
// authenticator, and in what a proxy and the signature add.
func markOf(client string, p []byte) (mark [16]byte) {
	h := sha256.New()
	h.Write([]byte(client))
	for typ, v := range wire.Attributes(p) {
		switch typ {
		case wire.TypeAcctDelayTime, wire.TypeProxyState, wire.TypeMessageAuthenticator:
		default:
			h.Write([]byte{0, typ, byte(len(v))})
			h.Write(v)
		}
	}
	copy(mark[:], h.Sum(nil))
	return mark
}

const (
	// maxSessions bounds each of the two halves of sessions.
	maxSessions = 50_000
	// keepSession is how long a half lasts. A session that is reported on stays.
	keepSession = 24 * time.Hour
)

// sessions joins reports to logins at devices that send no Class back: those that
// send the same Acct-Session-Id with the Access-Request. It is in memory, bounded,
// and decides nothing. Its zero value is ready; its methods may be called concurrently.
type sessions struct {
	mu       sync.Mutex
	now, old map[uint64]string // login ids
	since    time.Time
}

// sessionKey is a hash of who has the session where, 0 where the request names none.
// A device that counts its sessions from 1 again must not join one user's to another.
func (s *Server) sessionKey(c *client, user mfa.Name, id []byte) uint64 {
	if s.Accounting == nil || len(id) == 0 {
		return 0
	}
	var h maphash.Hash
	h.SetSeed(s.answers.seed)
	h.WriteString(c.Name)
	h.WriteByte(0)
	h.Write(id)
	maphash.WriteComparable(&h, user.Key())
	return h.Sum64() | 1
}

// note remembers the login of a session.
func (s *sessions) note(key uint64, login string, now time.Time) {
	if key == 0 || login == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(key, login, now)
}

func (s *sessions) put(key uint64, login string, now time.Time) {
	if s.now == nil || len(s.now) >= maxSessions || now.Sub(s.since) >= keepSession {
		s.old, s.now, s.since = s.now, make(map[uint64]string), now
	}
	s.now[key] = login
}

// login returns the login of a session, empty where it is not known.
func (s *sessions) login(key uint64, now time.Time) string {
	if key == 0 {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	login, ok := s.now[key]
	if !ok {
		if login, ok = s.old[key]; ok {
			s.put(key, login, now)
		}
	}
	return login
}
