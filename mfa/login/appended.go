package login

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/radmatch/radmatch/mfa"
)

// staticPrefix begins what OpenVPN makes of a password and the answer to its
// static challenge: SCRV1:base64(password):base64(answer).
const staticPrefix = "SCRV1:"

var errStaticForm = errors.New("malformed SCRV1")

// part splits what came as a password into the password, which is all that may reach
// the primary, and the passcode, which never does; code is empty where none came.
//
// The one split is made before the primary is asked and is never tried anew, so
// that one login is one bind and counts once in a directory's lockout. What
// decides it is whether the tail has the form of one of the user's codes: the
// password of someone without one is touched only where it ends in the delimiter
// and "push".
func (e *Engine) part(ctx context.Context, r *mfa.Request) (cred mfa.Credential, code string, err error) {
	typed, ok := r.Cred.(mfa.Password)
	if !ok {
		return r.Cred, "", nil
	}
	if r.Client.StaticChallenge && strings.HasPrefix(string(typed), staticPrefix) {
		password, answer, err := parseStatic(string(typed))
		if err != nil {
			return mfa.Unsupported{What: err.Error()}, "", nil // its passcode must not reach the primary
		}
		if strings.EqualFold(answer, mfa.AppendedPush) {
			answer = ""
		}
		return mfa.Password(password), answer, nil
	}
	var user *mfa.Name // whose codes these may be, once known
	for password, tail := range r.Client.Splits(string(typed)) {
		if strings.EqualFold(tail, mfa.AppendedPush) {
			return mfa.Password(password), "", nil
		}
		if user == nil {
			name, err := codeOwner(ctx, r)
			if err != nil {
				return nil, "", err
			}
			user = &name
		}
		if e.Codes.HasForm(*user, tail) {
			return mfa.Password(password), tail, nil
		}
	}
	return typed, "", nil
}

// parseStatic reads the answer to OpenVPN's static challenge. Each octet must be
// as OpenVPN writes it.
func parseStatic(s string) (password, answer string, err error) {
	first, second, ok := strings.Cut(strings.TrimPrefix(s, staticPrefix), ":")
	if !ok {
		return "", "", errStaticForm
	}
	if password, ok = parseBase64(first); !ok {
		return "", "", errStaticForm
	}
	if answer, ok = parseBase64(second); !ok {
		return "", "", errStaticForm
	}
	return password, answer, nil
}

// parseBase64 reads text that is UTF-8 without NUL.
func parseBase64(s string) (string, bool) {
	b, err := base64.StdEncoding.DecodeString(s)
	// The decoder skips line ends and is lax about the last bits.
	if err != nil || base64.StdEncoding.EncodeToString(b) != s {
		return "", false
	}
	return string(b), utf8.Valid(b) && !strings.Contains(string(b), "\x00")
}

// codeOwner is the name under which the codes of the request's user are
// registered, as far as it is known before the password is checked. A wrong
// guess is not accepted: the code is examined as the code of whom the primary names.
func codeOwner(ctx context.Context, r *mfa.Request) (mfa.Name, error) {
	switch {
	case r.Client.Namer != nil:
		return r.Client.Namer.CanonicalName(r.User), nil
	case r.Client.Finder == nil:
		return r.User, nil
	}
	identity, err := r.Client.Finder.Find(ctx, r.User)
	switch {
	case err == nil:
		return identity.Name, nil
	case errors.Is(err, mfa.ErrRejected), errors.Is(err, mfa.ErrUnsupported):
		return r.User, nil // Check will say no
	}
	return mfa.Name{}, err
}
