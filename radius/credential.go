package radius

import (
	"bytes"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

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
	case r.OtherCredential != "":
		return mfa.Unsupported{What: r.OtherCredential}
	case r.State != nil && r.Password != nil && len(r.Password) == 0:
		// So, against RFC 2865 §5.2, radcli sends a field that was left empty: "OK". At
		// a first attempt anybody could have it counted as a wrong password.
		return mfa.Password("")
	case r.Password != nil:
		return x.pap(r)
	case r.MS2Response != nil && r.MA == 0 && x.client.RequireMA == RequireAuto:
		return x.unprovenMSCHAP()
	case r.MS2Response != nil:
		cred, ok := wire.ParseMSCHAPv2(r.MSChallenge, r.MS2Response)
		if !ok {
			return errMSCHAPForm
		}
		if !utf8.Valid(r.User) { // x.req.User is, of a signed request
			cred.Octets = string(r.User)
		}
		return cred
	}
	return x.withoutCredential(r)
}

// unprovenMSCHAP refuses what anybody can send: no part of an MS-CHAPv2 response is
// made with the shared secret, so that an unsigned request with one may come from
// anywhere. Who says no to signatures has said that it may.
func (x *exchange) unprovenMSCHAP() mfa.Credential {
	s := x.server
	if s.refusals.allow(refusal{x.client.Name, "mschap", netip.Addr{}}, x.req.Received) {
		s.log.Warn("MS-CHAPv2 in an unsigned request is rejected", zap.String("client", x.client.Name),
			zap.Stringer("source", x.from.Addr()), zap.String("hint", x.client.Profile.SigningHint()))
	}
	return errMSCHAPUnsigned
}

// pap decrypts the password. One that is not text never reaches a primary: it is
// what a wrong shared secret makes of a password, and the user's failed tries in
// the directory must not count it. Only a signature tells that the secret is right,
// and that octets which are not UTF-8 are another encoding.
func (x *exchange) pap(r *wire.Request) mfa.Credential {
	var room [wire.MaxPassword]byte
	plain, ok := wire.DecryptPassword(room[:0], r.Password, r.Auth(), x.secret)
	if !ok {
		return errPasswordForm
	}
	if utf8.Valid(plain) {
		return mfa.Password(plain)
	}
	if r.State != nil && bytes.ContainsFunc(plain, unicode.IsControl) {
		// What pam_radius sends where the person cancels: with this secret the challenge
		// before it was read, and nobody has typed it.
		return errAnswerText
	}
	hint := "probably a wrong shared secret; where it is right, the client sends another encoding than UTF-8, which is read only in signed requests"
	if r.MA != 0 {
		var room [wire.MaxPassword * utf8.UTFMax]byte
		if text, ok := wire.AppendText(room[:0], plain); ok {
			return mfa.Password(text)
		}
		hint = "the shared secret is right, but the password is neither UTF-8 nor Windows-1252"
	}
	s := x.server
	if s.refusals.allow(refusal{x.client.Name, "password", netip.Addr{}}, x.req.Received) {
		s.log.Warn("a password is not UTF-8", zap.String("client", x.client.Name),
			zap.Stringer("source", x.from.Addr()), zap.String("hint", hint))
	}
	return errPasswordText
}
