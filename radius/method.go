package radius

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// method is how a request proves who sends it: which credential its attributes
// make, and what an answer carries of it. The engine sees only the credential.
type method interface {
	// credential is what r proves, or why that cannot be examined.
	credential(x *exchange, r *wire.Request) mfa.Credential
	// accept, challenge and reject append what is the method's own in an answer. What
	// sets w.Err is sent as an Access-Reject.
	accept(x *exchange, w *wire.Writer, d mfa.Decision)
	challenge(x *exchange, w *wire.Writer, d mfa.Decision)
	reject(x *exchange, w *wire.Writer, d mfa.Decision)
	// showsText reports whether an answer may have a Reply-Message.
	showsText() bool
}

// methodOf returns the method whose attributes the request has. That it has no
// others, and those once, is looked at apart: see unfit.
func methodOf(r *wire.Request) method {
	switch {
	case r.EAP:
		return eap{r.EAPID}
	case r.Password != nil:
		return pap{}
	case r.MS2Response != nil:
		return mschap{}
	}
	return gateway{}
}

// The credentials that are handed over without being examined. They are never
// written, and one value each saves an allocation.
var (
	errNoUser         mfa.Credential = mfa.Unsupported{What: "no User-Name"}
	errUserText       mfa.Credential = mfa.Unsupported{What: "User-Name is not UTF-8"}
	errCallCheck      mfa.Credential = mfa.Unsupported{What: "Call-Check"}
	errAuthorizeOnly  mfa.Credential = mfa.Unsupported{What: "Authorize-Only"}
	errSeveral        mfa.Credential = mfa.Unsupported{What: "more than one credential"}
	errProxyState     mfa.Credential = mfa.Unsupported{What: "too much Proxy-State"}
	errStateForm      mfa.Credential = mfa.Unsupported{What: "malformed State"}
	errPasswordForm   mfa.Credential = mfa.Unsupported{What: "malformed User-Password"}
	errPasswordText   mfa.Credential = mfa.Unsupported{What: "password is not UTF-8"}
	errMSCHAPUnsigned mfa.Credential = mfa.Unsupported{What: "MS-CHAPv2 in an unsigned request"}
	errAnswerText     mfa.Credential = mfa.Unsupported{What: "the answer to a challenge is no text", NoText: true}
	errMSCHAPForm     mfa.Credential = mfa.Unsupported{What: "malformed MS-CHAPv2"}
	errNone           mfa.Credential = mfa.Unsupported{What: "no credential"}
	errTwoMachines    mfa.Credential = mfa.Unsupported{What: "no credential, and two of MS-Machine-Name"}
	errNotGateway     mfa.Credential = mfa.Unsupported{What: "no credential, and MS-Network-Access-Server-Type is not that of an RD Gateway"}
)

// credential is what the request proves, or why that cannot be examined. What
// does not fit RFC 2865 §4.1 and §5.44 is unsupported, so that it is rejected and
// stands in the trail.
func (x *exchange) credential(r *wire.Request) mfa.Credential {
	x.method = methodOf(r)
	if refused := x.unfit(r); refused != nil {
		return refused
	}
	return x.method.credential(x, r)
}

// unfit says why no method examines the request; nil: one does.
func (x *exchange) unfit(r *wire.Request) mfa.Credential {
	switch {
	case r.Repeated != "":
		return mfa.Unsupported{What: "two of " + r.Repeated}
	case len(r.User) == 0:
		return errNoUser
	case !utf8.ValidString(x.req.User.Sent()):
		x.req.User = mfa.NameOf(strings.ToValidUTF8(x.req.User.Sent(), "\uFFFD"))
		return errUserText
	case len(x.proxy) > wire.MaxProxyState:
		return errProxyState // an Access-Accept might not have room for it
	case r.State != nil && len(r.State) == 0:
		// RFC 2865 §5.24. To the engine it would be none, and the passcode beside it
		// the password of a first attempt.
		return errStateForm
	case r.Service == wire.ServiceCallCheck:
		return errCallCheck
	case r.Service == wire.ServiceAuthorizeOnly:
		return errAuthorizeOnly
	case r.Credentials > 1:
		return errSeveral
	case r.OtherCredential != "" && !r.EAP:
		return mfa.Unsupported{What: r.OtherCredential}
	}
	return nil
}

// plain is what the answers of a method have that adds nothing of its own.
type plain struct{}

func (plain) accept(*exchange, *wire.Writer, mfa.Decision) {}

// challenge appends what a challenge may hold (RFC 2865 §5.44).
func (plain) challenge(_ *exchange, w *wire.Writer, d mfa.Decision) {
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

func (plain) reject(*exchange, *wire.Writer, mfa.Decision) {}

func (plain) showsText() bool { return true }

// eap refuses an EAP conversation so that the device hears of it.
type eap struct{ id byte }

// eapFailure is the code of an EAP-Failure (RFC 3748 §4.2).
const eapFailure = 4

func (eap) credential(_ *exchange, r *wire.Request) mfa.Credential {
	return mfa.Unsupported{What: r.OtherCredential}
}

func (eap) accept(_ *exchange, w *wire.Writer, _ mfa.Decision) {
	w.Err = errors.New("accept of an EAP conversation that was not held")
}

func (eap) challenge(x *exchange, w *wire.Writer, d mfa.Decision) { plain{}.challenge(x, w, d) }

// reject appends an EAP-Failure (RFC 3579 §2.6.3). A NAS that hears nothing of EAP
// leaves the device waiting.
func (e eap) reject(_ *exchange, w *wire.Writer, _ mfa.Decision) {
	w.Attribute(wire.TypeEAPMessage, []byte{eapFailure, e.id, 0, 4})
}

// showsText: RFC 3579 §2.6.5.
func (eap) showsText() bool { return false }
