package password

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/radmatch/radmatch/mfa"
)

// loginName is what a person typed as User-Name.
type loginName struct {
	full   string // as typed
	bare   string // without its domain
	domain string // empty where it had none
	upn    bool   // it was user@domain
}

// splitLogin splits DOMAIN\user and user@domain. It does not know whether there
// is such a domain.
func splitLogin(name string) loginName {
	if domain, user, ok := strings.Cut(name, `\`); ok {
		return loginName{full: name, bare: user, domain: domain}
	}
	if i := strings.LastIndexByte(name, '@'); i >= 0 {
		return loginName{full: name, bare: name[:i], domain: name[i+1:], upn: true}
	}
	return loginName{full: name, bare: name}
}

// withoutDomain is a canonical name without the canonical domain. It is empty
// where the name does not end in that.
func withoutDomain(name, domain string) string {
	at := strings.LastIndexByte(name, '@')
	if at < 0 || !mfa.NameOf(name[at+1:]).Is(mfa.NameOf(domain)) {
		return ""
	}
	return name[:at]
}

// hasDomain reports whether the name says which directory it belongs to.
func hasDomain(name string) bool { return strings.ContainsAny(name, `\@`) }

var errDomain = fmt.Errorf("%w: of a domain that is not among its domains", errNoUser)

// parseLogin splits a name that may be one of this directory. Names with
// control characters or without a user are nobody's.
func (s *LDAPSettings) parseLogin(name string) (loginName, error) {
	if len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return loginName{}, errNoUser
	}
	n := splitLogin(name)
	switch {
	case mfa.NameOf(n.bare).IsZero() || strings.Contains(n.bare, `\`):
		return loginName{}, errNoUser
	case hasDomain(name) && !s.Lists(n.domain):
		return loginName{}, errDomain
	}
	return n, nil
}

// Lists reports whether names of this domain are users of this directory.
func (s *LDAPSettings) Lists(domain string) bool {
	same := func(d string) bool { return mfa.NameOf(d).Is(mfa.NameOf(domain)) }
	return domain != "" && (same(s.DefaultDomain) || slices.ContainsFunc(s.Domains, same))
}

// ldapLogin is how names are found in one flavor of directory.
type ldapLogin struct {
	attribute string // of the bare name
	upn       string // of user@domain as a whole; empty: the same
	alternate string // empty: none
	filter    string // only users match it; empty: whatever has the name
}

func (s *LDAPSettings) login(ad bool) ldapLogin {
	l := ldapLogin{attribute: "uid", alternate: s.AlternateLoginAttribute}
	if ad {
		l = ldapLogin{attribute: "sAMAccountName", upn: "userPrincipalName", alternate: s.AlternateLoginAttribute,
			filter: "(&(objectCategory=person)(objectClass=user))"}
	}
	l.attribute, l.filter = cmp.Or(s.LoginAttribute, l.attribute), cmp.Or(s.Filter, l.filter)
	return l
}

// match is one way that an entry can fit a name.
type match struct{ attribute, value string }

// matches are the ways in which a name can be meant. The first ones name the
// user as a whole and win: in AD, alice@example.org is whose userPrincipalName
// that is, and only else the alice of the domain.
func (l ldapLogin) matches(n loginName) [][]match {
	whole := []match{}
	if n.upn {
		whole = append(whole, match{cmp.Or(l.upn, l.attribute), n.full})
	}
	if l.alternate != "" && (n.upn || n.domain == "") {
		whole = append(whole, match{l.alternate, n.full})
	}
	return [][]match{whole, {{l.attribute, n.bare}}}
}

// search is the filter for all that the name can mean. It is as plain as it can
// be: an index of the directory may serve (uid=alice) alone, and (objectClass=*)
// beside it makes OpenLDAP look at every entry.
func (l ldapLogin) search(n loginName) string {
	var b strings.Builder
	matches := slices.Concat(l.matches(n)...)
	for _, m := range matches {
		fmt.Fprintf(&b, "(%s=%s)", m.attribute, escapeLDAP(m.value))
	}
	if len(matches) > 1 {
		return l.users("(|" + b.String() + ")")
	}
	return l.users(b.String())
}

// users is a filter for those users that match another one.
func (l ldapLogin) users(filter string) string {
	if l.filter == "" {
		return filter
	}
	return "(&" + l.filter + filter + ")"
}

var errAmbiguous = fmt.Errorf("several entries have this name: %w", mfa.ErrRejected)

// choose picks the one entry that is meant.
func (l ldapLogin) choose(n loginName, found []ldapEntry) (*ldapEntry, error) {
	if len(found) == 0 {
		return nil, errNoUser
	}
	if len(found) == 1 {
		return &found[0], nil
	}
	for _, m := range l.matches(n)[0] {
		var fit *ldapEntry
		for i := range found {
			if !slices.ContainsFunc(found[i].values(m.attribute), func(v string) bool { return mfa.NameOf(v).Is(mfa.NameOf(m.value)) }) {
				continue
			}
			if fit != nil {
				return nil, errAmbiguous
			}
			fit = &found[i]
		}
		if fit != nil {
			return fit, nil
		}
	}
	return nil, errAmbiguous
}

// nameAttribute is the attribute that a user is called by.
func (l ldapLogin) nameAttribute() string {
	if l.alternate != "" {
		return l.alternate
	}
	return l.attribute
}

// nameOf is what an entry's user is called, without canonical_domain: the one
// value of the attribute or, of several, the one in the DN.
func (l ldapLogin) nameOf(e *ldapEntry) (string, error) {
	attribute := l.nameAttribute()
	values := e.values(attribute)
	name := ""
	if len(values) == 1 {
		name = values[0]
	} else if rdn, value := ldapRDN(e.dn); rdn == strings.ToLower(attribute) {
		name = value
	}
	if mfa.NameOf(name).IsZero() || len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return "", fmt.Errorf("%q has %d values of %s, and must have one that can be a name", cutText(e.dn), len(values), attribute)
	}
	return name, nil
}

// errNoUser is a name that the directory does not have.
var errNoUser = unknownUser{errors.New("no such user in the directory")}

// unknownUser is an ErrRejected that a Sequence goes on after: no password was looked at.
type unknownUser struct{ error }

func (unknownUser) Is(target error) bool { return target == mfa.ErrRejected }

// cutText is a text of a server as the log may have it.
func cutText(text string) string {
	const most = 200
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
