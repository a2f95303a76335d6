package radius

import (
	"cmp"
	"net/netip"
	"strings"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/method"
	"github.com/radmatch/radmatch/radius/wire"
)

// The credentials of requests that no method examines. They are never written, and one
// value each saves an allocation.
var (
	errNoUser        mfa.Credential = mfa.Unsupported{What: "no User-Name"}
	errUserText      mfa.Credential = mfa.Unsupported{What: "User-Name is not UTF-8"}
	errCallCheck     mfa.Credential = mfa.Unsupported{What: "Call-Check"}
	errAuthorizeOnly mfa.Credential = mfa.Unsupported{What: "Authorize-Only"}
	errSeveral       mfa.Credential = mfa.Unsupported{What: "more than one credential"}
	errProxyState    mfa.Credential = mfa.Unsupported{What: "too much Proxy-State"}
	errStateForm     mfa.Credential = mfa.Unsupported{What: "malformed State"}
)

// credential is what the request proves, or why that cannot be examined. A request
// that does not fit RFC 2865 §4.1 and §5.44 is unsupported, so that it is rejected and
// stands in the trail.
func (x *exchange) credential(r *wire.Request) mfa.Credential {
	x.method = method.Of(r)
	if refused := x.unfit(r); refused != nil {
		return refused
	}
	c := x.client
	rules := method.Client{NoPassword: c.Policy.NoPassword, AnyNASType: c.AnyNASType, LearnsToSign: c.RequireMA == RequireAuto}
	cred, warning := x.method.Credential(rules, r, x.secret)
	if warning != nil {
		x.warn(warning)
	}
	return cred
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
		// the password of a new login.
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

// warn logs what a method has found of the request, once an hour.
func (x *exchange) warn(w *method.Warning) {
	c, s := x.client, x.server
	if s.refusals.Allow(logKey{c.Name, w.Kind, netip.Addr{}}, x.req.Received) {
		s.log.Warn(w.Text, zap.String("client", c.Name), zap.Stringer("source", x.peer.Source.Addr()),
			zap.String("hint", cmp.Or(w.Hint, c.Profile.SigningHint())))
	}
}
