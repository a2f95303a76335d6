package ldap

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/mfa/password/ldap/conn"
	"github.com/radmatch/radmatch/mfa/text"
)

var errDomain = fmt.Errorf("%w: of a domain that is not among its domains", errNoUser)

// parseLogin splits a name that may be one of this directory. Names with
// control characters or without a user part belong to no user.
func (s *Settings) parseLogin(name string) (text.LoginName, error) {
	if len(name) > password.MaxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return text.LoginName{}, errNoUser
	}
	n := text.SplitLogin(name)
	switch {
	case mfa.NameOf(n.Bare).IsZero() || strings.Contains(n.Bare, `\`):
		return text.LoginName{}, errNoUser
	case text.HasDomain(name) && !s.Lists(n.Domain):
		return text.LoginName{}, errDomain
	}
	return n, nil
}

// Lists reports whether names of this domain are users of this directory.
func (s *Settings) Lists(domain string) bool {
	same := func(d string) bool { return mfa.NameOf(d).Is(mfa.NameOf(domain)) }
	return domain != "" && (same(s.DefaultDomain) || slices.ContainsFunc(s.Domains, same))
}

// lookup is how names are found in one flavor of directory.
type lookup struct {
	attribute string // of the bare name
	upn       string // of user@domain as a whole; empty: the same
	alternate string // empty: none
	filter    string // only users match it; empty: whatever has the name
}

func (s *Settings) login(ad bool) lookup {
	l := lookup{attribute: "uid", alternate: s.AlternateLoginAttribute}
	if ad {
		l = lookup{attribute: "sAMAccountName", upn: "userPrincipalName", alternate: s.AlternateLoginAttribute,
			filter: "(&(objectCategory=person)(objectClass=user))"}
	}
	l.attribute, l.filter = cmp.Or(s.LoginAttribute, l.attribute), cmp.Or(s.Filter, l.filter)
	return l
}

// match is one way that an entry can fit a name.
type match struct{ attribute, value string }

// matches are the ways in which a name can be meant. The first ones name the
// user as a whole and win: in AD, alice@example.org is whose userPrincipalName
// that is, and only otherwise the alice of the domain.
func (l lookup) matches(n text.LoginName) [][]match {
	whole := []match{}
	if n.UPN {
		whole = append(whole, match{cmp.Or(l.upn, l.attribute), n.Full})
	}
	if l.alternate != "" && (n.UPN || n.Domain == "") {
		whole = append(whole, match{l.alternate, n.Full})
	}
	return [][]match{whole, {{l.attribute, n.Bare}}}
}

// Search is the filter for all that the name can mean. It is as plain as it can
// be: an index of the directory may serve (uid=alice) by itself, and (objectClass=*)
// beside it makes OpenLDAP look at every entry.
func (l lookup) search(n text.LoginName) string {
	var b strings.Builder
	matches := slices.Concat(l.matches(n)...)
	for _, m := range matches {
		fmt.Fprintf(&b, "(%s=%s)", m.attribute, conn.Escape(m.value))
	}
	if len(matches) > 1 {
		return l.users("(|" + b.String() + ")")
	}
	return l.users(b.String())
}

// users is a filter for those users that match another one.
func (l lookup) users(filter string) string {
	if l.filter == "" {
		return filter
	}
	return "(&" + l.filter + filter + ")"
}

var errAmbiguous = fmt.Errorf("several entries have this name: %w", mfa.ErrRejected)

// choose picks the one entry that is meant.
func (l lookup) choose(n text.LoginName, found []conn.Entry) (*conn.Entry, error) {
	if len(found) == 0 {
		return nil, errNoUser
	}
	if len(found) == 1 {
		return &found[0], nil
	}
	for _, m := range l.matches(n)[0] {
		var fit *conn.Entry
		for i := range found {
			if !slices.ContainsFunc(found[i].Values(m.attribute), func(v string) bool { return mfa.NameOf(v).Is(mfa.NameOf(m.value)) }) {
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
func (l lookup) nameAttribute() string {
	if l.alternate != "" {
		return l.alternate
	}
	return l.attribute
}

// nameOf is what an entry's user is called, without canonical_domain: the one
// value of the attribute or, of several, the one in the DN.
func (l lookup) nameOf(e *conn.Entry) (string, error) {
	attribute := l.nameAttribute()
	values := e.Values(attribute)
	name := ""
	if len(values) == 1 {
		name = values[0]
	} else if rdn, value := conn.FirstRDN(e.DN); rdn == strings.ToLower(attribute) {
		name = value
	}
	if mfa.NameOf(name).IsZero() || len(name) > password.MaxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return "", fmt.Errorf("%q has %d values of %s, and must have one that can be a name", conn.CutText(e.DN), len(values), attribute)
	}
	return name, nil
}

// errNoUser is a name that the directory does not have.
var errNoUser = password.UnknownUser("no such user in the directory")
