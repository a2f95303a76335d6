package wire

import (
	"crypto/md5"
	"crypto/rand"
	"encoding/binary"
	"fmt"

	layeh "layeh.com/radius"

	"github.com/radmatch/radmatch/mfa"
)

// MAOffset is where the value of the Message-Authenticator stands in every
// packet of ours: it is the first attribute, because a client that looks only
// there cannot be tricked by what an attacker appends (Blast-RADIUS).
const MAOffset = HeaderSize + 2

// The parts of the longest Access-Accept: header and Message-Authenticator, what
// proxies want back, what MS-CHAPv2 adds (mschapAccept), and the reply attributes.
const (
	MaxProxyState    = 1024
	mschapAcceptSize = 51 + 2*42 + 2*12
	maxReplySize     = MaxPacketSize - HeaderSize - (2 + md5.Size) - MaxProxyState - mschapAcceptSize
)

// CheckReply says what keeps the reply attributes of a user from being sent. It
// is for the load of a file: once a login is accepted, an answer that does not
// fit could only become an Access-Reject.
func CheckReply(attributes []mfa.Attribute) error {
	var auth [AuthSize]byte
	w := NewWriter(nil, layeh.CodeAccessAccept, 0, auth[:], NewSecret(nil))
	empty := len(w.B)
	for _, a := range attributes {
		w.Add(a)
	}
	if n := len(w.B) - empty; w.Err == nil && n > maxReplySize {
		return fmt.Errorf("must be at most %d octets in an answer; got %d", maxReplySize, n)
	}
	return w.Err
}

// Writer appends one packet. The first error sticks.
type Writer struct {
	B      []byte // what there is of the packet
	auth   []byte // Request Authenticator
	secret *Secret
	salt   uint16 // last one used
	Most   int    // octets that the packet may have
	Err    error
}

// NewWriter begins a packet in b with the header and an empty Message-Authenticator.
func NewWriter(b []byte, code layeh.Code, id byte, auth []byte, secret *Secret) Writer {
	b = append(b[:0], byte(code), id, 0, 0)
	b = append(b, auth...)
	b = append(b, TypeMessageAuthenticator, 2+md5.Size)
	b = append(b, make([]byte, md5.Size)...)
	return Writer{B: b, auth: auth, secret: secret, Most: MaxPacketSize}
}

// Seal completes the length and the Message-Authenticator, which is computed
// over the Request Authenticator in the header (RFC 3579 §3.2).
func (w *Writer) Seal() error {
	if err := w.Fits(0); err != nil {
		return err
	}
	binary.BigEndian.PutUint16(w.B[2:], uint16(len(w.B)))
	sum := w.secret.Sign(w.B, MAOffset)
	copy(w.B[MAOffset:], sum[:])
	return nil
}

// Fits says what keeps the packet, with so many octets more, from being sent.
func (w *Writer) Fits(more int) error {
	if w.Err == nil && len(w.B)+more > w.Most {
		w.Err = fmt.Errorf("answer is longer than the %d octets that the client reads", w.Most)
	}
	return w.Err
}

// SealAnswer is Seal, and then the Response Authenticator (RFC 2865 §3).
func (w *Writer) SealAnswer() ([]byte, error) {
	if err := w.Seal(); err != nil {
		return nil, err
	}
	sum := w.secret.Digest(w.B)
	copy(w.B[4:HeaderSize], sum[:])
	return w.B, nil
}

// Attribute appends a standard attribute.
func (w *Writer) Attribute(typ byte, value []byte) {
	if len(value) > MaxValue {
		w.fail(0, typ)
		return
	}
	w.B = AppendAttribute(w.B, typ, value)
}

// Text is Attribute for a text.
func (w *Writer) Text(typ byte, value string) {
	if len(value) > MaxValue {
		w.fail(0, typ)
		return
	}
	w.B = append(w.B, typ, byte(2+len(value)))
	w.B = append(w.B, value...)
}

// Vendor appends a vendor's attribute in a Vendor-Specific of its own:
// strongSwan looks for MPPE keys only at the front of one.
func (w *Writer) Vendor(vendor uint32, typ byte, value []byte) {
	if len(value) > MaxVendorValue {
		w.fail(vendor, typ)
		return
	}
	w.B = AppendVendorAttribute(w.B, vendor, typ, value)
}

func (w *Writer) fail(vendor uint32, typ byte) {
	if w.Err == nil {
		name, _ := FormatAttribute(mfa.Attribute{Vendor: vendor, Type: typ})
		w.Err = fmt.Errorf("the value of attribute %s is too long", name)
	}
}

// Add appends a reply attribute: with its tag, and encrypted if it must be.
func (w *Writer) Add(a mfa.Attribute) {
	var room [MaxValue]byte
	value := room[:0]
	// RFC 2868 §3.5: the tag of a Tunnel-Password is always there.
	if a.Tag != 0 || (a.Vendor == 0 && a.Type == TypeTunnelPassword) {
		value = append(value, a.Tag)
	}
	if a.Salted || IsSalted(a.Vendor, a.Type) {
		if len(a.Value) > MaxSaltedValue {
			w.fail(a.Vendor, a.Type)
			return
		}
		value = w.encrypt(value, a.Value)
	} else {
		value = append(value, a.Value...)
	}
	if a.Vendor == 0 {
		w.Attribute(a.Type, value)
	} else {
		w.Vendor(a.Vendor, a.Type, value)
	}
}

// IsSalted reports whether a reply attribute is encrypted with a salt, whatever a
// dictionary from a folder says. It says what the built-in ones do, without a look-up.
func IsSalted(vendor uint32, typ byte) bool {
	switch vendor {
	case 0:
		return typ == TypeTunnelPassword
	case VendorMicrosoft:
		return typ == MSMPPESendKey || typ == MSMPPERecvKey
	case VendorAruba:
		return typ == arubaMPSKPassphrase
	}
	return false
}

// encrypt appends salt and encrypted text (RFC 2868 §3.5, RFC 2548 §2.4.2). The
// salts of a packet start at random and differ from each other.
func (w *Writer) encrypt(dst, text []byte) []byte {
	if w.salt == 0 {
		var b [2]byte
		rand.Read(b[:])
		w.salt = binary.BigEndian.Uint16(b[:])
	}
	w.salt = (w.salt + 1) | 0x8000
	var plain [MaxValue + AuthSize]byte
	n := 1 + copy(plain[1:], text)
	plain[0] = byte(len(text))
	n = (n + md5.Size - 1) / md5.Size * md5.Size

	var seed [AuthSize + 2]byte
	copy(seed[:], w.auth)
	binary.BigEndian.PutUint16(seed[AuthSize:], w.salt)
	dst = append(dst, seed[AuthSize:]...)
	return cryptPassword(dst, plain[:n], seed[:], w.secret, true)
}
