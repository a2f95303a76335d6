package wire

import (
	"crypto/hmac"
	"errors"
	"math"
	"strings"

	"github.com/radmatch/radmatch/mfa"
)

// Answer is a verified answer.
type Answer struct {
	Code   Code
	Packet []byte
}

// ParseAnswer verifies that datagram answers the request with this identifier
// and authenticator and was signed with secret: Response Authenticator and
// Message-Authenticator, without which an answer can be forged (Blast-RADIUS). The
// Answer keeps datagram, which is written to during the call.
func ParseAnswer(datagram []byte, id byte, auth *[16]byte, secret *Secret) (Answer, error) {
	p := Trim(datagram)
	if p == nil {
		return Answer{}, errors.New("malformed packet")
	}
	if p[1] != id {
		return Answer{}, errors.New("answers another request")
	}
	var r Request
	if r.Scan(p, math.MaxInt) != nil {
		return Answer{}, errors.New("malformed attributes")
	}
	if r.MA == 0 {
		return Answer{}, errors.New("has no Message-Authenticator")
	}
	var response [AuthSize]byte
	copy(response[:], p[4:HeaderSize])
	copy(p[4:HeaderSize], auth[:])
	digest := secret.Digest(p)
	signed := secret.Verify(p, r.MA)
	copy(p[4:HeaderSize], response[:])
	if !hmac.Equal(digest[:], response[:]) || !signed {
		return Answer{}, errors.New("is signed with another secret")
	}
	return Answer{Code: r.Code, Packet: p}, nil
}

// State is what the answer to a challenge must carry.
func (a Answer) State() string { return string(Find(a.Packet, AttributeType{Type: TypeState})) }

// Echo reports whether a challenge allows what is typed to be shown (RFC 2869 §5.10).
func (a Answer) Echo() bool {
	v := Find(a.Packet, AttributeType{Type: TypePrompt})
	return len(v) == 4 && v[3] == 1
}

// Message is the text for the user.
func (a Answer) Message() string {
	var text strings.Builder
	for typ, v := range Attributes(a.Packet) {
		if typ == TypeReplyMessage {
			text.Write(v)
		}
	}
	return text.String()
}

// Attributes returns all attributes in their order, those of known vendors each
// for itself. Values stay encrypted where they are.
func (a Answer) Attributes() []mfa.Attribute {
	var list []mfa.Attribute
	for typ, v := range Attributes(a.Packet) {
		if typ != TypeVendorSpecific || len(v) < 4 {
			list = append(list, Untag(mfa.Attribute{Type: typ, Value: v}))
			continue
		}
		vendor, _ := VendorOf(v)
		for typ, v := range VendorAttributes(v, vendor) {
			list = append(list, mfa.Attribute{Vendor: vendor, Type: typ, Value: v})
		}
	}
	return list
}

// Untag takes the tag out of a value that may have one (RFC 2868 §3.1).
func Untag(a mfa.Attribute) mfa.Attribute {
	def := StandardDictionary().types[AttributeType{Vendor: a.Vendor, Type: a.Type}]
	if def == nil || !def.tag || len(a.Value) == 0 || a.Value[0] > 31 {
		return a
	}
	if a.Value[0] != 0 || !(def.Format == "integer") {
		a.Tag, a.Value = a.Value[0], a.Value[1:]
	}
	return a
}
