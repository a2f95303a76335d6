package method

import (
	"errors"
	"strings"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// Method is how a request proves who sends it: which credential its attributes make, and
// what an answer carries of it. It may be used concurrently.
type Method interface {
	// Credential is what r proves, or why that cannot be examined. secret is the one that
	// the client uses. A warning, nil for none, is for the operator.
	Credential(c Client, r *wire.Request, secret *wire.Secret) (mfa.Credential, *Warning)
	// Accept, Challenge and Reject append what is the method's own in an answer to a
	// request with a credential. What sets w.Err is sent as an Access-Reject.
	Accept(w *wire.Writer, cred mfa.Credential, d mfa.Decision)
	Challenge(w *wire.Writer, cred mfa.Credential, d mfa.Decision)
	Reject(w *wire.Writer, cred mfa.Credential, d mfa.Decision)
	// ShowsText reports whether an answer may have a Reply-Message.
	ShowsText() bool
}

// Client is what a method must know of a client. Its zero value allows no request
// without a password.
type Client struct {
	NoPassword bool // a request needs no password, if it comes from an RD Gateway
	AnyNASType bool // and it need not say that it does
	// LearnsToSign says that a source address must sign only once it has done so
	// (require_message_authenticator: auto).
	LearnsToSign bool
}

// Warning is what an operator should know of a request that was refused. It is never
// written.
type Warning struct {
	Kind string // tells warnings apart that are logged once an hour each
	Text string
	Hint string // empty: how the client is made to sign
}

// Of returns the method whose attributes the request has. That it has no others, and
// those once, the server looks at.
func Of(r *wire.Request) Method {
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
	errPasswordForm   mfa.Credential = mfa.Unsupported{What: "malformed User-Password"}
	errPasswordText   mfa.Credential = mfa.Unsupported{What: "password is not UTF-8"}
	errMSCHAPUnsigned mfa.Credential = mfa.Unsupported{What: "MS-CHAPv2 in an unsigned request"}
	errAnswerText     mfa.Credential = mfa.Unsupported{What: "the answer to a challenge is no text", NoText: true}
	errMSCHAPForm     mfa.Credential = mfa.Unsupported{What: "malformed MS-CHAPv2"}
	errNone           mfa.Credential = mfa.Unsupported{What: "no credential"}
	errTwoMachines    mfa.Credential = mfa.Unsupported{What: "no credential, and two of MS-Machine-Name"}
	errNotGateway     mfa.Credential = mfa.Unsupported{What: "no credential, and MS-Network-Access-Server-Type is not that of an RD Gateway"}
)

// plain is what the answers of a method have that adds nothing of its own.
type plain struct{}

func (plain) Accept(*wire.Writer, mfa.Credential, mfa.Decision) {}

// Challenge appends what a challenge may hold (RFC 2865 §5.44).
func (plain) Challenge(w *wire.Writer, _ mfa.Credential, d mfa.Decision) {
	if d.State == "" || strings.ContainsFunc(d.State, notPrintable) {
		// ocserv keeps it as a C string, and would send back a part of one with a NUL.
		w.Err = errors.New("challenge without a printable state")
		return
	}
	w.Text(wire.TypeState, d.State)
	echo := []byte{0, 0, 0, 0}
	if d.Ask.Echo {
		echo[3] = 1
	}
	w.Attribute(wire.TypePrompt, echo)
}

func notPrintable(r rune) bool { return r < ' ' || r > '~' }

func (plain) Reject(*wire.Writer, mfa.Credential, mfa.Decision) {}

func (plain) ShowsText() bool { return true }

// eap refuses an EAP conversation so that the device hears of it.
type eap struct{ id byte }

// eapFailure is the code of an EAP-Failure (RFC 3748 §4.2).
const eapFailure = 4

func (eap) Credential(_ Client, r *wire.Request, _ *wire.Secret) (mfa.Credential, *Warning) {
	return mfa.Unsupported{What: r.OtherCredential}, nil
}

func (eap) Accept(w *wire.Writer, _ mfa.Credential, _ mfa.Decision) {
	w.Err = errors.New("accept of an EAP conversation that was not held")
}

func (eap) Challenge(w *wire.Writer, cred mfa.Credential, d mfa.Decision) {
	plain{}.Challenge(w, cred, d)
}

// Reject appends an EAP-Failure (RFC 3579 §2.6.3). A NAS that hears nothing of EAP
// leaves the device waiting.
func (e eap) Reject(w *wire.Writer, _ mfa.Credential, _ mfa.Decision) {
	w.Attribute(wire.TypeEAPMessage, []byte{eapFailure, e.id, 0, 4})
}

// ShowsText: RFC 3579 §2.6.5.
func (eap) ShowsText() bool { return false }
