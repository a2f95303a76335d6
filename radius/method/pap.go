package method

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// pap is a password, or the answer to a challenge, as User-Password (RFC 2865 §5.2).
type pap struct{ plain }

// Credential decrypts the password. One that is not text never reaches a primary: it is
// what a wrong shared secret makes of a password, and the user's failed tries in
// the directory must not count it. Only a signature tells that the secret is right,
// and that octets which are not UTF-8 are another encoding.
func (pap) Credential(_ Client, r *wire.Request, secret *wire.Secret) (mfa.Credential, *Warning) {
	if r.State != nil && len(r.Password) == 0 {
		// So, against RFC 2865 §5.2, radcli sends a field that was left empty: "OK". At
		// the first request anybody could have it counted as a wrong password.
		return mfa.Password(""), nil
	}
	var room [wire.MaxPassword]byte
	plain, ok := wire.DecryptPassword(room[:0], r.Password, r.Auth(), secret)
	if !ok {
		return errPasswordForm, nil
	}
	if utf8.Valid(plain) {
		return mfa.Password(plain), nil
	}
	if r.State != nil && bytes.ContainsFunc(plain, unicode.IsControl) {
		// What pam_radius sends where the user cancels: with this secret the challenge
		// before it was read, and it was not typed.
		return errAnswerText, nil
	}
	if !r.Signed {
		return errPasswordText, &warnSecret
	}
	var decoded [wire.MaxPassword * utf8.UTFMax]byte
	if text, ok := wire.AppendText(decoded[:0], plain); ok {
		return mfa.Password(text), nil
	}
	return errPasswordText, &warnEncoding
}

var (
	warnSecret = Warning{"password", "a password is not UTF-8",
		"probably a wrong shared secret; where it is right, the client sends another encoding than UTF-8, which is read only in signed requests"}
	warnEncoding = Warning{"password", "a password is not UTF-8",
		"the shared secret is right, but the password is neither UTF-8 nor Windows-1252"}
)
