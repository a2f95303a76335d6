package radius

import (
	"errors"
	"strings"

	layeh "layeh.com/radius"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/profile"
	"github.com/radmatch/radmatch/radius/wire"
)

// message appends to w a text as Reply-Message, split between runes where it is longer
// than an attribute (RFC 2865 §5.18), and cut to what the client p shows and to
// room octets.
func message(w *wire.Writer, p *profile.Profile, text string, room int) {
	for text != "" {
		part := wire.CutText(text, min(wire.MaxValue, room-2))
		if part == "" {
			return
		}
		w.Text(wire.TypeReplyMessage, part)
		text, room = text[len(part):], room-2-len(part)
		if p.OneMessage {
			return
		}
	}
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
	w := wire.NewWriter(b, code, x.id, x.auth[:], x.secret)
	w.Most = x.client.Profile.LongestAnswer()
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
		message(&w, x.client.Profile, d.Message, w.Most-len(w.B)-len(x.proxy))
	}
	w.B = append(w.B, x.proxy...)
	p, err := w.SealAnswer()
	if err == nil {
		return p
	}
	*d = mfa.Decision{LoginID: d.LoginID, Reason: mfa.ReasonInternalError, Err: errors.Join(d.Err, err)}
	w = wire.NewWriter(b, layeh.CodeAccessReject, x.id, x.auth[:], x.secret)
	x.writeReject(&w, d)
	w.B = append(w.B, x.proxy...)
	if p, err = w.SealAnswer(); err != nil {
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
	w := wire.NewWriter(buf[:0], layeh.CodeAccessAccept, x.id, x.auth[:], x.secret)
	w.Most = x.client.Profile.LongestAnswer()
	x.writeAccept(&w, &mfa.Decision{Attributes: attributes, MSCHAP: keys})
	return w.Fits(len(x.proxy))
}

func (x *exchange) writeAccept(w *wire.Writer, d *mfa.Decision) {
	for _, a := range d.Attributes {
		w.Add(a)
	}
	if cred, ok := x.req.Cred.(mfa.MSCHAPv2); ok {
		if d.MSCHAP == nil {
			// The client would rightly refuse an Accept without proof of the password.
			w.Err = errors.New("accept of an MS-CHAPv2 login without its keys")
			return
		}
		w.MSCHAPAccept(cred, d.MSCHAP)
	}
	x.writeClass(w, d)
}

// writeClass appends the Class that joins the session to its login, behind those
// of the user: devices that read a group out of Class take the first one. Nobody
// stays out because it does not fit.
func (x *exchange) writeClass(w *wire.Writer, d *mfa.Decision) {
	a := x.server.Accounting
	if a == nil || d.LoginID == "" {
		return
	}
	class := wire.ClassOf(a.ClassKey, x.client.Policy.Group, d.LoginID)
	if len(w.B)+2+len(class)+len(x.proxy) <= w.Most {
		w.Text(wire.TypeClass, class)
	}
}

// writeChallenge appends what a challenge may hold (RFC 2865 §5.44).
func (x *exchange) writeChallenge(w *wire.Writer, d *mfa.Decision) {
	if d.State == "" || strings.ContainsFunc(d.State, notPrintable) {
		// ocserv keeps it as a C string, and would send back a part of one with a NUL.
		w.Err = errors.New("challenge without a printable state")
		return
	}
	w.Text(wire.TypeState, d.State)
	echo := []byte{0, 0, 0, 0}
	if d.Echo {
		echo[3] = 1
	}
	w.Attribute(wire.TypePrompt, echo)
}

func notPrintable(r rune) bool { return r < ' ' || r > '~' }

// eapFailure is the code of an EAP-Failure (RFC 3748 §4.2).
const eapFailure = 4

func (x *exchange) writeReject(w *wire.Writer, d *mfa.Decision) {
	if cred, ok := x.req.Cred.(mfa.MSCHAPv2); ok {
		w.MSCHAPError(cred.Ident, errorCode(d.Err), d.Message)
	}
	if x.eap {
		// RFC 3579 §2.6.3. A NAS that hears nothing of EAP leaves the device waiting.
		w.Attribute(wire.TypeEAPMessage, []byte{eapFailure, x.eapID, 0, 4})
	}
}

// The error codes of RFC 2759 §6 that are sent.
const (
	errorRestrictedHours  = 646
	errorAccountDisabled  = 647
	errorPasswordExpired  = 648
	errorNoDialin         = 649
	errorAuthenticationNo = 691
)

// errorCode is what the peer is told about a rejection. It is the same for all of
// them, but where a directory has said why after a right password.
func errorCode(err error) int {
	var account *mfa.AccountError
	if !errors.As(err, &account) || !account.Proven {
		return errorAuthenticationNo
	}
	switch account.Reason {
	case mfa.ReasonLogonHours:
		return errorRestrictedHours
	case mfa.ReasonAccountDisabled, mfa.ReasonAccountExpired:
		return errorAccountDisabled
	case mfa.ReasonPasswordExpired, mfa.ReasonMustChange:
		return errorPasswordExpired
	case mfa.ReasonLogonWorkstation, mfa.ReasonAccountRestricted, mfa.ReasonNoDialIn:
		return errorNoDialin
	}
	return errorAuthenticationNo
}
