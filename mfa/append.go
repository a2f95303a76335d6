package mfa

import (
	"context"
	"encoding/base64"
	"errors"
	"iter"
	"strings"
	"unicode/utf8"
)

// AppendStyle is how people bring a passcode with the password.
type AppendStyle string

// The styles of the key append. The zero value is off.
const (
	AppendOff       AppendStyle = "off"
	AppendSuffix    AppendStyle = "suffix"    // password123456
	AppendDelimiter AppendStyle = "delimiter" // password,123456
)

// appendedPush in the place of a passcode says that the person brings none. It
// never changes the plan.
const appendedPush = "push"

// staticPrefix begins what OpenVPN makes of a password and the answer to its
// static challenge: SCRV1:base64(password):base64(answer).
const staticPrefix = "SCRV1:"

var errStaticForm = errors.New("malformed SCRV1")

// part splits what came as a password into the password, which alone may reach
// the primary, and the passcode, which never does; code is empty where none came.
//
// The one split is made before the primary is asked and is never tried anew, so
// that one attempt is one bind and counts once in a directory's lockout. What
// decides it is whether the tail has the form of one of the user's codes: the
// password of somebody without one is touched only where it ends in the delimiter
// and "push".
func (e *Engine) part(ctx context.Context, r *Request) (cred Credential, code string, err error) {
	typed, ok := r.Cred.(Password)
	if !ok {
		return r.Cred, "", nil
	}
	if r.Client.StaticChallenge && strings.HasPrefix(string(typed), staticPrefix) {
		password, answer, err := parseStatic(string(typed))
		if err != nil {
			return Unsupported{What: err.Error()}, "", nil // its passcode must not reach the primary
		}
		if strings.EqualFold(answer, appendedPush) {
			answer = ""
		}
		return Password(password), answer, nil
	}
	var user *Name // whose codes these may be, once known
	for password, tail := range r.Client.splits(string(typed)) {
		if strings.EqualFold(tail, appendedPush) {
			return Password(password), "", nil
		}
		if user == nil {
			name, err := codeOwner(ctx, r)
			if err != nil {
				return nil, "", err
			}
			user = &name
		}
		if e.Codes.HasForm(*user, tail) {
			return Password(password), tail, nil
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

// AppendsCode reports whether people can bring a passcode with the password.
func (c *Client) AppendsCode() bool {
	return c.StaticChallenge || c.Append == AppendSuffix || c.Append == AppendDelimiter
}

// splits yields the ways to split typed in this client's style, the likeliest
// first. The longer code goes first: a password that ends in two digits is rarer
// than a person with an eight-digit token.
func (c *Client) splits(typed string) iter.Seq2[string, string] {
	return func(yield func(password, tail string) bool) {
		if c.Append != AppendDelimiter && c.Append != AppendSuffix {
			return
		}
		if i := strings.LastIndex(typed, c.AppendDelimiter); i >= 0 {
			tail := typed[i+len(c.AppendDelimiter):]
			if c.Append == AppendDelimiter || strings.EqualFold(tail, appendedPush) {
				yield(typed[:i], tail)
				return
			}
		}
		if c.Append != AppendSuffix {
			return
		}
		for _, n := range []int{8, 6} {
			if digits := trailingDigits(typed, n); digits && !yield(typed[:len(typed)-n], typed[len(typed)-n:]) {
				return
			}
		}
	}
}

// trailingDigits reports whether s ends in n ASCII digits.
func trailingDigits(s string, n int) bool {
	return len(s) >= n && strings.Trim(s[len(s)-n:], "0123456789") == ""
}

// codeOwner is the name under which the codes of the request's user are
// registered, as far as it is known before the password is checked. A wrong
// guess lets nobody in: the code is examined as the code of whom the primary names.
func codeOwner(ctx context.Context, r *Request) (Name, error) {
	if namer, ok := r.Client.Primary.(Namer); ok {
		return namer.CanonicalName(r.User), nil
	}
	finder, ok := r.Client.Primary.(IdentityFinder)
	if !ok {
		return r.User, nil
	}
	identity, err := finder.Find(ctx, r.User)
	switch {
	case err == nil:
		return identity.Name, nil
	case errors.Is(err, ErrRejected), errors.Is(err, ErrUnsupported):
		return r.User, nil // Check will say no
	}
	return Name{}, err
}

// examineAppended examines the code that came with the password as if it
// answered a challenge.
func (e *Engine) examineAppended(ctx context.Context, w *wait, p packet, code string) {
	w.placeless = true
	if !e.openDialog(ctx, w, p) {
		return
	}
	if c := e.Pending.answered(w, p, code); c != nil {
		e.examine(ctx, c, code)
		return
	}
	e.hold(ctx, w, p) // it has just ended: the same seat signed in anew
}
