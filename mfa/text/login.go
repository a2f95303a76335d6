package text

import "strings"

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

// HasDomain reports whether the name says which directory it belongs to.
func HasDomain(name string) bool { return strings.ContainsAny(name, `\@`) }

// WithoutNTDomain is the name from which MS-CHAPv2 computes: without DOMAIN\
// (RFC 2759 §4), but with @domain.
func WithoutNTDomain(name string) string { return name[strings.LastIndexByte(name, '\\')+1:] }
