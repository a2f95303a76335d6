package method

import (
	"errors"
	"unicode/utf8"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// mschap is MS-CHAPv2 (RFC 2548 §2.3, RFC 2759).
type mschap struct{ plain }

// Credential refuses what anybody can send: no part of an MS-CHAPv2 response is made
// with the shared secret, so that an unsigned request with one may come from anywhere.
// A client with require_message_authenticator: no has said that it may.
func (mschap) Credential(c Client, r *wire.Request, _ *wire.Secret) (mfa.Credential, *Warning) {
	if !r.Signed && c.LearnsToSign {
		return errMSCHAPUnsigned, &warnUnsigned
	}
	cred, ok := wire.ParseMSCHAPv2(r.MSChallenge, r.MS2Response)
	if !ok {
		return errMSCHAPForm, nil
	}
	if !utf8.Valid(r.User) { // the name that the engine sees is
		cred.Octets = string(r.User)
	}
	return cred, nil
}

var warnUnsigned = Warning{Kind: "mschap", Text: "MS-CHAPv2 in an unsigned request is rejected"}

// Accept appends the proof that the server knows the password, and the keys.
func (mschap) Accept(w *wire.Writer, cred mfa.Credential, d mfa.Decision) {
	own, ok := cred.(mfa.MSCHAPv2)
	if !ok || d.Identity == nil || d.Identity.MSCHAP == nil {
		// The client would rightly refuse an Accept without proof of the password.
		w.Err = errors.New("accept of an MS-CHAPv2 login without its keys")
		return
	}
	w.MSCHAPAccept(own, d.Identity.MSCHAP)
}

// Reject appends an MS-CHAP-Error, where there was a response that it is about.
func (mschap) Reject(w *wire.Writer, cred mfa.Credential, d mfa.Decision) {
	if own, ok := cred.(mfa.MSCHAPv2); ok {
		w.MSCHAPError(own.Ident, errorCode(d.Err), d.Message)
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
