package password

import (
	"errors"
	"strings"

	"github.com/radmatch/radmatch/mfa"
)

// LoginName is a User-Name as it was typed, taken apart.
type LoginName struct {
	Full   string // as typed
	Bare   string // without its domain
	Domain string // empty where it had none
	UPN    bool   // it was user@domain
}

// SplitLogin splits DOMAIN\user and user@domain. It does not know whether there
// is such a domain.
func SplitLogin(name string) LoginName {
	if domain, user, ok := strings.Cut(name, `\`); ok {
		return LoginName{Full: name, Bare: user, Domain: domain}
	}
	if i := strings.LastIndexByte(name, '@'); i >= 0 {
		return LoginName{Full: name, Bare: name[:i], Domain: name[i+1:], UPN: true}
	}
	return LoginName{Full: name, Bare: name}
}

// WithoutDomain is a canonical name without the canonical domain. It is empty
// where the name does not end in that.
func WithoutDomain(name, domain string) string {
	at := strings.LastIndexByte(name, '@')
	if at < 0 || !mfa.NameOf(name[at+1:]).Is(mfa.NameOf(domain)) {
		return ""
	}
	return name[:at]
}

// HasDomain reports whether the name says which directory it belongs to.
func HasDomain(name string) bool { return strings.ContainsAny(name, `\@`) }

// UnknownUser is the ErrRejected of a name that a primary does not have. A Sequence
// goes on after it: no password was looked at.
func UnknownUser(text string) error { return unknownUser{errors.New(text)} }

type unknownUser struct{ error }

func (unknownUser) Is(target error) bool { return target == mfa.ErrRejected }
