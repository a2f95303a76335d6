package upstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/text"
)

// nameSpace makes the one name of a user out of what was typed. An upstream may
// know a user under several spellings and need not say which one it found; so a
// form that radmatch cannot tell from another one is refused, and a name that
// stays unsure counts as unknown to the primary.
type nameSpace struct {
	canonicalDomain string                 // behind the users of the home domain; empty: none
	home            []mfa.NameKey          // the domains that are the home domain
	others          map[mfa.NameKey]string // further ones, and their spelling
}

func newNameSpace(s *Settings) nameSpace {
	n := nameSpace{canonicalDomain: s.CanonicalDomain, others: map[mfa.NameKey]string{}}
	for _, d := range []string{s.DefaultDomain, s.CanonicalDomain} {
		if d != "" {
			n.home = append(n.home, mfa.NameOf(d).Key())
		}
	}
	for _, d := range s.Domains {
		if !slices.Contains(n.home, mfa.NameOf(d).Key()) {
			n.others[mfa.NameOf(d).Key()] = d
		}
	}
	return n
}

func checkDomain(d string) error {
	if d == "" || len(d) > 253 || strings.ContainsFunc(d, func(r rune) bool { return !unicode.IsGraphic(r) || strings.ContainsRune(`\@/ `, r) }) {
		return errors.New(`must be the name of a domain, such as EXAMPLE or example.org`)
	}
	return nil
}

// canonical returns the one name of the user who is called name. sure is false
// where the server may know the same user under another name too: what stands
// before the @ of a userPrincipalName need not be the sAMAccountName.
func (n *nameSpace) canonical(name string) (canonical mfa.Name, sure bool, err error) {
	login := text.SplitLogin(name)
	user, domain, upn := login.Bare, login.Domain, login.UPN
	// A slash: Windows also reads example.org/people/alice. A rune that is one of these signs
	// in the form, as ＠ is, must not make another domain's name of it.
	form := mfa.NameOf(user).Key().String()
	if form == "" || !utf8.ValidString(name) || strings.TrimSpace(user) != user || strings.ContainsAny(form, `\@/`) ||
		strings.ContainsFunc(user, unicode.IsControl) {
		return mfa.Name{}, false, errors.New("not a user name that can be told from others")
	}
	if user != name && !slices.Contains(n.home, mfa.NameOf(domain).Key()) {
		// An account may have a name in each of several domains.
		spelling, ok := n.others[mfa.NameOf(domain).Key()]
		if !ok {
			return mfa.Name{}, false, fmt.Errorf("domain %q is not one of this primary", text.ForLog(domain))
		}
		return mfa.NameOf(user + "@" + spelling), false, nil
	}
	if n.canonicalDomain != "" {
		return mfa.NameOf(user + "@" + n.canonicalDomain), isASCII(user) && !upn, nil
	}
	return mfa.NameOf(user), isASCII(user) && !upn, nil // Windows finds álice for alice
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// CanonicalName implements mfa.Namer. A name that is not of this primary stays as it is.
func (u *Primary) CanonicalName(user mfa.Name) mfa.Name {
	if name, _, err := u.names.canonical(user.Sent()); err == nil {
		return name
	}
	return user
}

// FindName returns what the rules of names make of what was typed. It is never
// sure: a server cannot be asked for a user without a password.
func (u *Primary) FindName(_ context.Context, typed mfa.Name) (name mfa.Name, sure bool, err error) {
	name, _, err = u.names.canonical(typed.Sent())
	if err == nil && u.Taken != nil && u.Taken(name) {
		err = errors.New("a user of another primary is called so")
	}
	if err != nil {
		return mfa.Name{}, false, fmt.Errorf("%w: %w", err, mfa.ErrRejected)
	}
	return name, false, nil
}

// FindNamed is FindName for a name that FindName or a server may have returned.
func (u *Primary) FindNamed(ctx context.Context, name mfa.Name) (mfa.Name, bool, error) {
	found, sure, err := u.FindName(ctx, name)
	if err == nil && !found.Is(name) {
		err = fmt.Errorf("users are called otherwise: %w", mfa.ErrRejected)
	}
	return found, sure, err
}

// Abilities implements mfa.PasswordChecker.
func (u *Primary) Abilities() mfa.Abilities {
	return mfa.Abilities{Continuer: u, Forwarder: u, Namer: u, Namespaces: u.namespaces()}
}

// namespaces returns what the names of users may end in, folded; empty for names
// without a domain.
func (u *Primary) namespaces() []string {
	spaces := []string{mfa.NameOf(u.names.canonicalDomain).Key().String()}
	for d := range u.names.others {
		spaces = append(spaces, d.String())
	}
	return spaces
}
