package radius

import (
	"bytes"
	"net/netip"
	"unicode"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// pap is a password, or the answer to a challenge, as User-Password (RFC 2865 §5.2).
type pap struct{ plain }

// credential decrypts the password. One that is not text never reaches a primary: it is
// what a wrong shared secret makes of a password, and the user's failed tries in
// the directory must not count it. Only a signature tells that the secret is right,
// and that octets which are not UTF-8 are another encoding.
func (pap) credential(x *exchange, r *wire.Request) mfa.Credential {
	if r.State != nil && len(r.Password) == 0 {
		// So, against RFC 2865 §5.2, radcli sends a field that was left empty: "OK". At
		// a first attempt anybody could have it counted as a wrong password.
		return mfa.Password("")
	}
	var room [wire.MaxPassword]byte
	plain, ok := wire.DecryptPassword(room[:0], r.Password, r.Auth(), x.secret)
	if !ok {
		return errPasswordForm
	}
	if utf8.Valid(plain) {
		return mfa.Password(plain)
	}
	if r.State != nil && bytes.ContainsFunc(plain, unicode.IsControl) {
		// What pam_radius sends where the user cancels: with this secret the challenge
		// before it was read, and nobody has typed it.
		return errAnswerText
	}
	hint := "probably a wrong shared secret; where it is right, the client sends another encoding than UTF-8, which is read only in signed requests"
	if r.Signed {
		var room [wire.MaxPassword * utf8.UTFMax]byte
		if text, ok := wire.AppendText(room[:0], plain); ok {
			return mfa.Password(text)
		}
		hint = "the shared secret is right, but the password is neither UTF-8 nor Windows-1252"
	}
	s := x.server
	if s.refusals.Allow(logKey{x.client.Name, "password", netip.Addr{}}, x.req.Received) {
		s.log.Warn("a password is not UTF-8", zap.String("client", x.client.Name),
			zap.Stringer("source", x.peer.Source.Addr()), zap.String("hint", hint))
	}
	return errPasswordText
}
