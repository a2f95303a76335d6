package wire

import (
	"crypto/md5"
	"encoding/binary"
	"errors"

	layeh "layeh.com/radius"
)

// Request is a received request, read in place: its slices point into the
// datagram. A nil slice is an absent attribute, an empty one has no octets.
type Request struct {
	Raw  []byte // exactly Length octets
	Code layeh.Code
	ID   byte
	MA   int // offset of the Message-Authenticator's value, 0 if there is none
	// Signed says that it has a Message-Authenticator. Anyone who knows otherwise who sends,
	// as over TLS, sets it too. It proves nothing before the signature was verified.
	Signed bool

	User, Password, State    []byte
	Service                  uint32
	NASID, NASAddr           []byte
	Session                  []byte // Acct-Session-Id
	MSChallenge, MS2Response []byte
	ProxyStates              int // attributes
	EAP                      bool
	EAPID                    byte   // of its EAP packet, for an EAP-Failure
	OtherCredential          string // a kind that is not examined
	Credentials              int    // kinds and repetitions
	Repeated                 string // an attribute that may stand once and stands twice
}

// The errors of Scan.
var (
	ErrMalformed     = errors.New("malformed attributes")
	ErrTooMany       = errors.New("too many attributes")
	ErrSignatureForm = errors.New("malformed Message-Authenticator")
)

// Scan reads the packet p, which Trim has returned, in one walk. An error,
// one of the three above, is why it must get no answer. Nothing is allocated.
func (r *Request) Scan(p []byte, maxAttributes int) error {
	*r = Request{Raw: p, Code: layeh.Code(p[0]), ID: p[1]}
	for off, n := HeaderSize, 0; off < len(p); n++ {
		if n == maxAttributes {
			return ErrTooMany
		}
		if len(p)-off < 2 || p[off+1] < 2 || int(p[off+1]) > len(p)-off {
			return ErrMalformed
		}
		end := off + int(p[off+1])
		if p[off] == TypeMessageAuthenticator {
			if r.MA != 0 || end-off != 2+md5.Size {
				return ErrSignatureForm
			}
			r.MA = off + 2
		}
		r.attribute(p[off], p[off+2:end:end])
		off = end
	}
	r.Signed = r.MA != 0
	return nil
}

// attribute notes one attribute of the request.
func (r *Request) attribute(typ byte, value []byte) {
	switch typ {
	case TypeUserName:
		r.once(&r.User, value, "User-Name")
	case TypeUserPassword:
		r.Credentials++
		r.Password = value
	case TypeCHAPPassword:
		r.other("CHAP")
	case TypeARAPPassword:
		r.other("ARAP")
	case TypeEAPMessage:
		if !r.EAP { // may be split over several attributes, RFC 3579 §3.1
			r.EAP = true
			if len(value) > 1 {
				r.EAPID = value[1]
			}
			r.other("EAP")
		}
	case TypeState:
		r.once(&r.State, value, "State")
	case TypeProxyState:
		r.ProxyStates++
	case TypeAcctSessionID:
		r.Session = value
	case TypeNASIdentifier:
		r.NASID = value
	case TypeNASIPAddress, TypeNASIPv6Address:
		r.NASAddr = value
	case TypeServiceType:
		if len(value) == serviceTypeAttributes {
			r.Service = binary.BigEndian.Uint32(value)
		}
	case TypeVendorSpecific:
		r.vendor(value)
	}
}

// vendor notes the MS-CHAP attributes of a Vendor-Specific. One that is not
// formed as RFC 2865 §5.26 recommends is opaque, not an error; the method gateway
// looks at it again.
func (r *Request) vendor(value []byte) {
	for typ, v := range VendorAttributes(value, VendorMicrosoft) {
		switch typ {
		case MSCHAPChallenge:
			r.once(&r.MSChallenge, v, "MS-CHAP-Challenge")
		case MSCHAP2Response:
			r.Credentials++
			r.MS2Response = v
		case MSCHAPResponse:
			r.other("MS-CHAPv1")
		case MSCHAPCPW1, MSCHAPCPW2, MSCHAPLMEncPW, MSCHAPNTEncPW, MSCHAP2CPW:
			r.other("MS-CHAP password change")
		}
	}
}

func (r *Request) once(field *[]byte, value []byte, name string) {
	if *field != nil {
		r.Repeated = name
	}
	*field = value
}

func (r *Request) other(kind string) {
	r.Credentials++
	r.OtherCredential = kind
}

// Proxy returns a copy of the Proxy-State attributes, in their order: an answer
// repeats them (RFC 2865 §5.33).
func (r *Request) Proxy() (states []byte) {
	if r.ProxyStates == 0 {
		return nil
	}
	for typ, value := range Attributes(r.Raw) {
		if typ == TypeProxyState {
			states = AppendAttribute(states, typ, value)
		}
	}
	return states
}

// Auth is the Request Authenticator.
func (r *Request) Auth() []byte { return r.Raw[4:HeaderSize] }

// AppendText is that for a text of the request: of an unsigned one it appends v as it is.
func (r *Request) AppendText(b, v []byte) []byte {
	if !r.Signed {
		return append(b, v...)
	}
	if text, ok := AppendText(b, v); ok {
		return text
	}
	return append(b, v...)
}
