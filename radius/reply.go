package radius

import (
	"crypto/md5"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	layeh "layeh.com/radius"

	"github.com/radmatch/radmatch/mfa"
)

// maOffset is where the value of the Message-Authenticator stands in every
// packet of ours: it is the first attribute, because a client that looks only
// there cannot be tricked by what an attacker appends (Blast-RADIUS).
const maOffset = headerSize + 2

// The parts of the longest Access-Accept: header and Message-Authenticator, what
// proxies want back, what MS-CHAPv2 adds (mschapAccept), and the reply attributes.
const (
	maxProxyState    = 1024
	mschapAcceptSize = 51 + 2*42 + 2*12
	maxReplySize     = maxPacketSize - headerSize - (2 + md5.Size) - maxProxyState - mschapAcceptSize
)

// CheckReply says what keeps the reply attributes of a user from being sent. It
// is for the load of a file: once a login is accepted, an answer that does not
// fit could only become an Access-Reject.
func CheckReply(attributes []mfa.Attribute) error {
	var auth [authSize]byte
	w := newWriter(nil, layeh.CodeAccessAccept, 0, auth[:], NewSecret(nil))
	empty := len(w.b)
	for _, a := range attributes {
		w.add(a)
	}
	if n := len(w.b) - empty; w.err == nil && n > maxReplySize {
		return fmt.Errorf("must be at most %d octets in an answer; got %d", maxReplySize, n)
	}
	return w.err
}

// writer appends one packet. The first error sticks.
type writer struct {
	b      []byte
	auth   []byte // Request Authenticator
	secret *Secret
	salt   uint16 // last one used
	most   int    // octets that the packet may have
	err    error
}

// newWriter begins a packet in b with the header and an empty Message-Authenticator.
func newWriter(b []byte, code layeh.Code, id byte, auth []byte, secret *Secret) writer {
	b = append(b[:0], byte(code), id, 0, 0)
	b = append(b, auth...)
	b = append(b, typeMessageAuthenticator, 2+md5.Size)
	b = append(b, make([]byte, md5.Size)...)
	return writer{b: b, auth: auth, secret: secret, most: maxPacketSize}
}

// seal completes the length and the Message-Authenticator, which is computed
// over the Request Authenticator in the header (RFC 3579 §3.2).
func (w *writer) seal() error {
	if err := w.fits(0); err != nil {
		return err
	}
	binary.BigEndian.PutUint16(w.b[2:], uint16(len(w.b)))
	sum := w.secret.sign(w.b, maOffset)
	copy(w.b[maOffset:], sum[:])
	return nil
}

// fits says what keeps the packet, with so many octets more, from being sent.
func (w *writer) fits(more int) error {
	if w.err == nil && len(w.b)+more > w.most {
		w.err = fmt.Errorf("answer is longer than the %d octets that the client reads", w.most)
	}
	return w.err
}

// sealAnswer is seal, and then the Response Authenticator (RFC 2865 §3).
func (w *writer) sealAnswer() ([]byte, error) {
	if err := w.seal(); err != nil {
		return nil, err
	}
	sum := w.secret.digest(w.b)
	copy(w.b[4:headerSize], sum[:])
	return w.b, nil
}

// attribute appends a standard attribute.
func (w *writer) attribute(typ byte, value []byte) {
	if len(value) > maxValue {
		w.fail(0, typ)
		return
	}
	w.b = appendAttribute(w.b, typ, value)
}

func (w *writer) text(typ byte, value string) {
	if len(value) > maxValue {
		w.fail(0, typ)
		return
	}
	w.b = append(w.b, typ, byte(2+len(value)))
	w.b = append(w.b, value...)
}

// vendor appends a vendor's attribute in a Vendor-Specific of its own:
// strongSwan looks for MPPE keys only at the front of one.
func (w *writer) vendor(vendor uint32, typ byte, value []byte) {
	if len(value) > maxVendorValue {
		w.fail(vendor, typ)
		return
	}
	w.b = appendVendorAttribute(w.b, vendor, typ, value)
}

func (w *writer) fail(vendor uint32, typ byte) {
	if w.err == nil {
		name, _ := FormatAttribute(mfa.Attribute{Vendor: vendor, Type: typ})
		w.err = fmt.Errorf("the value of attribute %s is too long", name)
	}
}

// add appends a reply attribute: with its tag, and encrypted if it must be.
func (w *writer) add(a mfa.Attribute) {
	var room [maxValue]byte
	value := room[:0]
	// RFC 2868 §3.5: the tag of a Tunnel-Password is always there.
	if a.Tag != 0 || (a.Vendor == 0 && a.Type == typeTunnelPassword) {
		value = append(value, a.Tag)
	}
	if a.Salted || isSalted(a.Vendor, a.Type) {
		if len(a.Value) > maxSaltedValue {
			w.fail(a.Vendor, a.Type)
			return
		}
		value = w.encrypt(value, a.Value)
	} else {
		value = append(value, a.Value...)
	}
	if a.Vendor == 0 {
		w.attribute(a.Type, value)
	} else {
		w.vendor(a.Vendor, a.Type, value)
	}
}

// isSalted reports whether a reply attribute is encrypted with a salt, whatever a
// dictionary from a folder says. It says what the built-in ones do, without a look-up.
func isSalted(vendor uint32, typ byte) bool {
	switch vendor {
	case 0:
		return typ == typeTunnelPassword
	case vendorMicrosoft:
		return typ == msMPPESendKey || typ == msMPPERecvKey
	case vendorAruba:
		return typ == arubaMPSKPassphrase
	}
	return false
}

// encrypt appends salt and encrypted text (RFC 2868 §3.5, RFC 2548 §2.4.2). The
// salts of a packet start at random and differ from each other.
func (w *writer) encrypt(dst, text []byte) []byte {
	if w.salt == 0 {
		var b [2]byte
		rand.Read(b[:])
		w.salt = binary.BigEndian.Uint16(b[:])
	}
	w.salt = (w.salt + 1) | 0x8000
	var plain [maxValue + authSize]byte
	n := 1 + copy(plain[1:], text)
	plain[0] = byte(len(text))
	n = (n + md5.Size - 1) / md5.Size * md5.Size

	var seed [authSize + 2]byte
	copy(seed[:], w.auth)
	binary.BigEndian.PutUint16(seed[authSize:], w.salt)
	dst = append(dst, seed[authSize:]...)
	return cryptPassword(dst, plain[:n], seed[:], w.secret, true)
}

// message appends a text as Reply-Message, split between runes where it is longer
// than an attribute (RFC 2865 §5.18), and cut to what the client p shows and to
// room octets.
func (w *writer) message(p *Profile, text string, room int) {
	for text != "" {
		part := cutText(text, min(maxValue, room-2))
		if part == "" {
			return
		}
		w.text(typeReplyMessage, part)
		text, room = text[len(part):], room-2-len(part)
		if p.OneMessage {
			return
		}
	}
}

// cutText is the start of text that fits in most octets, cut between runes.
func cutText(text string, most int) string {
	if len(text) <= most {
		return text
	}
	most = max(most, 0)
	for cut := most; cut > most-utf8.UTFMax && cut >= 0; cut-- {
		if utf8.RuneStart(text[cut]) {
			return text[:cut]
		}
	}
	return text[:most] // not UTF-8
}

// answer encodes the decision for x into b. An answer that cannot be encoded
// becomes an Access-Reject, never silence, and d is changed to say so.
func (x *exchange) answer(b []byte, d *mfa.Decision) []byte {
	code := layeh.CodeAccessReject
	switch d.Outcome {
	case mfa.Accept:
		code = layeh.CodeAccessAccept
	case mfa.Challenge:
		code = layeh.CodeAccessChallenge
	}
	w := newWriter(b, code, x.id, x.auth[:], x.secret)
	w.most = x.client.Profile.maxAnswer()
	switch d.Outcome {
	case mfa.Accept:
		x.writeAccept(&w, d)
	case mfa.Challenge:
		x.writeChallenge(&w, d)
	default:
		x.writeReject(&w, d)
	}
	// Last, so that a text is cut rather than an attribute missed.
	if !x.eap { // RFC 3579 §2.6.5
		w.message(x.client.Profile, d.Message, w.most-len(w.b)-len(x.proxy))
	}
	w.b = append(w.b, x.proxy...)
	p, err := w.sealAnswer()
	if err == nil {
		return p
	}
	*d = mfa.Decision{LoginID: d.LoginID, Reason: mfa.ReasonInternalError, Err: errors.Join(d.Err, err)}
	w = newWriter(b, layeh.CodeAccessReject, x.id, x.auth[:], x.secret)
	x.writeReject(&w, d)
	w.b = append(w.b, x.proxy...)
	if p, err = w.sealAnswer(); err != nil {
		return nil // cannot be: a signed request with this Proxy-State was not longer
	}
	return p
}

// Fits implements mfa.Fitter. Most answers carry nothing.
func (x *exchange) Fits(attributes []mfa.Attribute, keys *mfa.MSCHAPKeys) error {
	_, mschap := x.req.Cred.(mfa.MSCHAPv2)
	if len(attributes) == 0 && !mschap && len(x.proxy) == 0 {
		return nil
	}
	buf := x.server.buffer()
	defer x.server.free(buf)
	w := newWriter(buf[:0], layeh.CodeAccessAccept, x.id, x.auth[:], x.secret)
	w.most = x.client.Profile.maxAnswer()
	x.writeAccept(&w, &mfa.Decision{Attributes: attributes, MSCHAP: keys})
	return w.fits(len(x.proxy))
}

// Fits says what keeps reply attributes from being sent to a client that is asked
// by PAP and behind no proxy.
func (p *Profile) Fits(attributes []mfa.Attribute) error {
	var auth [authSize]byte
	w := newWriter(nil, layeh.CodeAccessAccept, 0, auth[:], NewSecret(nil))
	w.most = p.maxAnswer()
	for _, a := range attributes {
		w.add(a)
	}
	return w.fits(0)
}

func (x *exchange) writeAccept(w *writer, d *mfa.Decision) {
	for _, a := range d.Attributes {
		w.add(a)
	}
	if cred, ok := x.req.Cred.(mfa.MSCHAPv2); ok {
		if d.MSCHAP == nil {
			// The client would rightly refuse an Accept without proof of the password.
			w.err = errors.New("accept of an MS-CHAPv2 login without its keys")
			return
		}
		w.mschapAccept(cred, d.MSCHAP)
	}
	x.writeClass(w, d)
}

// writeClass appends the Class that joins the session to its login, behind those
// of the user: devices that read a group out of Class take the first one. Nobody
// stays out because it does not fit.
func (x *exchange) writeClass(w *writer, d *mfa.Decision) {
	a := x.server.Accounting
	if a == nil || d.LoginID == "" {
		return
	}
	class := classOf(a.ClassKey, x.client.Policy.Group, d.LoginID)
	if len(w.b)+2+len(class)+len(x.proxy) <= w.most {
		w.text(typeClass, class)
	}
}

// writeChallenge appends what a challenge may hold (RFC 2865 §5.44).
func (x *exchange) writeChallenge(w *writer, d *mfa.Decision) {
	if d.State == "" || strings.ContainsFunc(d.State, notPrintable) {
		// ocserv keeps it as a C string, and would send back a part of one with a NUL.
		w.err = errors.New("challenge without a printable state")
		return
	}
	w.text(typeState, d.State)
	echo := []byte{0, 0, 0, 0}
	if d.Echo {
		echo[3] = 1
	}
	w.attribute(typePrompt, echo)
}

func notPrintable(r rune) bool { return r < ' ' || r > '~' }

// eapFailure is the code of an EAP-Failure (RFC 3748 §4.2).
const eapFailure = 4

func (x *exchange) writeReject(w *writer, d *mfa.Decision) {
	if cred, ok := x.req.Cred.(mfa.MSCHAPv2); ok {
		w.mschapError(cred.Ident, errorCode(d.Err), d.Message)
	}
	if x.eap {
		// RFC 3579 §2.6.3. A NAS that hears nothing of EAP leaves the device waiting.
		w.attribute(typeEAPMessage, []byte{eapFailure, x.eapID, 0, 4})
	}
}
