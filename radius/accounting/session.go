package accounting

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"strconv"
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

// nameOf returns a number's name, or its digits.
func nameOf(names []string, n uint32) string {
	if n < uint32(len(names)) && names[n] != "" {
		return names[n]
	}
	return strconv.FormatUint(uint64(n), 10)
}

// ParseSession reads what the Accounting-Request p reports, whose attributes must have
// been walked before. It returns nil where p does not say what happened: RFC 2866 §5.13
// demands an Acct-Status-Type. Numbers that are not four octets count as absent.
func ParseSession(p []byte) *mfa.Session {
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

// Mark is the same for a report of a client and its retransmissions. Those may differ in
// Acct-Delay-Time, which counts up (RFC 2866 §5.2), and with it in identifier and
// authenticator, and in what a proxy and the signature add.
func Mark(client string, p []byte) (mark [16]byte) {
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
