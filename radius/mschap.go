package radius

import (
	"errors"
	"net/netip"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// mschap is MS-CHAPv2 (RFC 2548 §2.3, RFC 2759).
type mschap struct{ plain }

func (m mschap) credential(x *exchange, r *wire.Request) mfa.Credential {
	if !r.Signed && x.client.RequireMA == RequireAuto {
		return m.unproven(x)
	}
	cred, ok := wire.ParseMSCHAPv2(r.MSChallenge, r.MS2Response)
	if !ok {
		return errMSCHAPForm
	}
	if !utf8.Valid(r.User) { // x.req.User is, of a signed request
		cred.Octets = string(r.User)
	}
	return cred
}

// unproven refuses what anybody can send: no part of an MS-CHAPv2 response is
// made with the shared secret, so that an unsigned request with one may come from
// anywhere. Who says no to signatures has said that it may.
func (mschap) unproven(x *exchange) mfa.Credential {
	s := x.server
	if s.refusals.Allow(logKey{x.client.Name, "mschap", netip.Addr{}}, x.req.Received) {
		s.log.Warn("MS-CHAPv2 in an unsigned request is rejected", zap.String("client", x.client.Name),
			zap.Stringer("source", x.peer.Source.Addr()), zap.String("hint", x.client.Profile.SigningHint()))
	}
	return errMSCHAPUnsigned
}

// accept appends the proof that the server knows the password, and the keys.
func (mschap) accept(x *exchange, w *wire.Writer, d mfa.Decision) {
	cred, ok := x.req.Cred.(mfa.MSCHAPv2)
	if !ok || d.MSCHAP == nil {
		// The client would rightly refuse an Accept without proof of the password.
		w.Err = errors.New("accept of an MS-CHAPv2 login without its keys")
		return
	}
	w.MSCHAPAccept(cred, d.MSCHAP)
}

// reject appends an MS-CHAP-Error, where there was a response that it is about.
func (mschap) reject(x *exchange, w *wire.Writer, d mfa.Decision) {
	if cred, ok := x.req.Cred.(mfa.MSCHAPv2); ok {
		w.MSCHAPError(cred.Ident, errorCode(d.Err), d.Message)
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
