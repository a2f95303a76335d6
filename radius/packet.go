package radius

import (
	"crypto/md5"
	"encoding/binary"

	layeh "layeh.com/radius"
)

// Sizes of RFC 2865 §3.
const (
	headerSize    = 20
	maxPacketSize = 4096
	authSize      = 16
)

// The attributes that the server reads or writes itself.
const (
	typeUserName               = 1
	typeUserPassword           = 2
	typeCHAPPassword           = 3
	typeNASIPAddress           = 4
	typeNASPort                = 5
	typeServiceType            = 6
	typeFramedProtocol         = 7
	typeFramedMTU              = 12
	typeReplyMessage           = 18
	typeState                  = 24
	typeVendorSpecific         = 26
	typeSessionTimeout         = 27
	typeIdleTimeout            = 28
	typeCalledStationID        = 30
	typeCallingStationID       = 31
	typeNASIdentifier          = 32
	typeProxyState             = 33
	typeAcctMultiSessionID     = 50
	typeEventTimestamp         = 55
	typeCHAPChallenge          = 60
	typeNASPortType            = 61
	typeTunnelType             = 64
	typeTunnelMediumType       = 65
	typeTunnelClientEndpoint   = 66
	typeTunnelServerEndpoint   = 67
	typeTunnelPassword         = 69
	typeARAPPassword           = 70
	typePrompt                 = 76
	typeConnectInfo            = 77
	typeEAPMessage             = 79
	typeMessageAuthenticator   = 80
	typeNASPortID              = 87
	typeChargeableUserIdentity = 89
	typeNASIPv6Address         = 95
)

// The attributes of RFC 2548.
const (
	vendorMicrosoft       = 311
	msCHAPResponse        = 1
	msCHAPError           = 2
	msCHAPCPW1            = 3
	msCHAPCPW2            = 4
	msCHAPLMEncPW         = 5
	msCHAPNTEncPW         = 6
	msMPPEEncryptPolicy   = 7
	msMPPEEncryptTypes    = 8
	msCHAPChallenge       = 11
	msMPPESendKey         = 16
	msMPPERecvKey         = 17
	msCHAP2Response       = 25
	msCHAP2Success        = 26
	msCHAP2CPW            = 27
	vendorAruba           = 14823
	vendorPaloAlto        = 25461
	arubaMPSKPassphrase   = 44
	serviceCallCheck      = 10
	serviceAuthorizeOnly  = 17
	serviceTypeAttributes = 4 // octets of an integer
)

// request is a received request, read in place: its slices point into the
// datagram. A nil slice is an absent attribute, an empty one has no octets.
type request struct {
	raw  []byte // exactly Length octets
	code layeh.Code
	id   byte
	ma   int // offset of the Message-Authenticator's value, 0 if there is none

	user, password, state    []byte
	service                  uint32
	nasID, nasAddr           []byte
	session                  []byte // Acct-Session-Id
	msChallenge, ms2Response []byte
	proxyStates              int // attributes
	eap                      bool
	eapID                    byte   // of its EAP packet, for an EAP-Failure
	otherCredential          string // a kind that is not examined
	credentials              int    // kinds and repetitions
	repeated                 string // an attribute that may stand once and stands twice
}

// trim returns the packet of a datagram without its padding (RFC 2865 §3), or
// nil if it has no whole header or not the octets that it claims.
func trim(datagram []byte) []byte {
	if len(datagram) < headerSize {
		return nil
	}
	n := int(binary.BigEndian.Uint16(datagram[2:]))
	if n < headerSize || n > maxPacketSize || n > len(datagram) {
		return nil
	}
	return datagram[:n]
}

// scan reads the packet p, which trim has returned, in one walk. A reason other
// than keep is why it must get no answer. Nothing is allocated.
func (r *request) scan(p []byte, maxAttributes int) discard {
	*r = request{raw: p, code: layeh.Code(p[0]), id: p[1]}
	for off, n := headerSize, 0; off < len(p); n++ {
		if n == maxAttributes {
			return discardTooMany
		}
		if len(p)-off < 2 || p[off+1] < 2 || int(p[off+1]) > len(p)-off {
			return discardAttributes
		}
		end := off + int(p[off+1])
		if p[off] == typeMessageAuthenticator {
			if r.ma != 0 || end-off != 2+md5.Size {
				return discardSignatureForm
			}
			r.ma = off + 2
		}
		r.attribute(p[off], p[off+2:end:end])
		off = end
	}
	return keep
}

// attribute notes one attribute of the request.
func (r *request) attribute(typ byte, value []byte) {
	switch typ {
	case typeUserName:
		r.once(&r.user, value, "User-Name")
	case typeUserPassword:
		r.credentials++
		r.password = value
	case typeCHAPPassword:
		r.other("CHAP")
	case typeARAPPassword:
		r.other("ARAP")
	case typeEAPMessage:
		if !r.eap { // may be split over several attributes, RFC 3579 §3.1
			r.eap = true
			if len(value) > 1 {
				r.eapID = value[1]
			}
			r.other("EAP")
		}
	case typeState:
		r.once(&r.state, value, "State")
	case typeProxyState:
		r.proxyStates++
	case typeAcctSessionID:
		r.session = value
	case typeNASIdentifier:
		r.nasID = value
	case typeNASIPAddress, typeNASIPv6Address:
		r.nasAddr = value
	case typeServiceType:
		if len(value) == serviceTypeAttributes {
			r.service = binary.BigEndian.Uint32(value)
		}
	case typeVendorSpecific:
		r.vendor(value)
	}
}

// vendor notes the MS-CHAP attributes of a Vendor-Specific. One that is not
// formed as RFC 2865 §5.26 recommends is opaque, not an error; withoutCredential
// looks at it again.
func (r *request) vendor(value []byte) {
	for typ, v := range vendorAttributes(value, vendorMicrosoft) {
		switch typ {
		case msCHAPChallenge:
			r.once(&r.msChallenge, v, "MS-CHAP-Challenge")
		case msCHAP2Response:
			r.credentials++
			r.ms2Response = v
		case msCHAPResponse:
			r.other("MS-CHAPv1")
		case msCHAPCPW1, msCHAPCPW2, msCHAPLMEncPW, msCHAPNTEncPW, msCHAP2CPW:
			r.other("MS-CHAP password change")
		}
	}
}

func (r *request) once(field *[]byte, value []byte, name string) {
	if *field != nil {
		r.repeated = name
	}
	*field = value
}

func (r *request) other(kind string) {
	r.credentials++
	r.otherCredential = kind
}

// proxy returns a copy of the Proxy-State attributes, in their order: an answer
// repeats them (RFC 2865 §5.33).
func (r *request) proxy() (states []byte) {
	if r.proxyStates == 0 {
		return nil
	}
	for typ, value := range attributes(r.raw) {
		if typ == typeProxyState {
			states = appendAttribute(states, typ, value)
		}
	}
	return states
}

// auth is the Request Authenticator.
func (r *request) auth() []byte { return r.raw[4:headerSize] }

// find returns the value of the first attribute of type t, nil if there is none.
func find(p []byte, t AttributeType) []byte {
	for typ, value := range attributes(p) {
		if t.Vendor == 0 && typ == t.Type {
			return value
		}
		if t.Vendor == 0 || typ != typeVendorSpecific {
			continue
		}
		for typ, v := range vendorAttributes(value, t.Vendor) {
			if typ == t.Type {
				return v
			}
		}
	}
	return nil
}

// attributes yields type and value of each attribute of a packet that was walked before.
func attributes(p []byte) func(yield func(byte, []byte) bool) {
	return func(yield func(byte, []byte) bool) {
		for off := headerSize; len(p)-off >= 2; {
			end := off + int(p[off+1])
			if end < off+2 || end > len(p) || !yield(p[off], p[off+2:end:end]) {
				return
			}
			off = end
		}
	}
}

// vendorAttributes yields type and value of each attribute that a
// Vendor-Specific value holds, if it is the given vendor's and well formed. 0 is
// no vendor: an AttributeType with it is one of the RFCs' own attributes, and
// whoever writes 0 into a Vendor-Specific must not smuggle one of them in.
func vendorAttributes(value []byte, vendor uint32) func(yield func(byte, []byte) bool) {
	return func(yield func(byte, []byte) bool) {
		if vendor == 0 || len(value) < 4 || binary.BigEndian.Uint32(value) != vendor {
			return
		}
		for off := 4; len(value)-off >= 2; {
			end := off + int(value[off+1])
			if end < off+2 || end > len(value) || !yield(value[off], value[off+2:end:end]) {
				return
			}
			off = end
		}
	}
}

// vendorOf returns the vendor of a Vendor-Specific value, and how many of its
// octets are left that vendorAttributes does not yield: they are not formed as RFC
// 2865 §5.26 recommends.
func vendorOf(value []byte) (vendor uint32, rest int) {
	if len(value) < 4 {
		return 0, len(value)
	}
	vendor, rest = binary.BigEndian.Uint32(value), len(value)-4
	for _, v := range vendorAttributes(value, vendor) {
		rest -= 2 + len(v)
	}
	return vendor, rest
}

// appendAttribute appends one attribute as it stands in a packet.
func appendAttribute(b []byte, typ byte, value []byte) []byte {
	return append(append(b, typ, byte(2+len(value))), value...)
}

// appendVendorAttribute appends a vendor's attribute in a Vendor-Specific of its own.
func appendVendorAttribute(b []byte, vendor uint32, typ byte, value []byte) []byte {
	b = append(b, typeVendorSpecific, byte(8+len(value)))
	return appendAttribute(binary.BigEndian.AppendUint32(b, vendor), typ, value)
}

// Lengths of an encrypted User-Password (RFC 2865 §5.2).
const (
	minPassword = 16
	maxPassword = 128
)

// decryptPassword appends to dst the password that an encrypted User-Password
// holds; false if it has an impossible length. Only trailing NULs are padding: a
// NUL within stays, so that no password is equal to a part of itself.
func decryptPassword(dst, encrypted, auth []byte, secret *Secret) ([]byte, bool) {
	if n := len(encrypted); n < minPassword || n > maxPassword || n%md5.Size != 0 {
		return nil, false
	}
	start := len(dst)
	dst = cryptPassword(dst, encrypted, auth, secret, false)
	for len(dst) > start && dst[len(dst)-1] == 0 {
		dst = dst[:len(dst)-1]
	}
	return dst, true
}

// cryptPassword appends the stream of RFC 2865 §5.2 over text, whose length is a
// multiple of 16. Each block is keyed by the encrypted one before it.
func cryptPassword(dst, text, auth []byte, secret *Secret, encrypt bool) []byte {
	var room [256 + md5.Size]byte
	key := append(room[:0], secret.key...)
	previous := auth
	for i := 0; i < len(text); i += md5.Size {
		block := md5.Sum(append(key, previous...))
		for j, b := range text[i : i+md5.Size] {
			block[j] ^= b
		}
		dst = append(dst, block[:]...)
		previous = text[i : i+md5.Size]
		if encrypt {
			previous = dst[len(dst)-md5.Size:]
		}
	}
	return dst
}
