package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password/ldap/conn"
	"github.com/radmatch/radmatch/mfa/text"
)

// userEntry is a user that was found.
type userEntry struct {
	entry *conn.Entry
	name  mfa.Name // canonical
}

// find searches a user by what was typed.
func (p *Primary) find(ctx context.Context, name text.LoginName) (userEntry, error) {
	return p.findWith(ctx, func(ctx context.Context, c *conn.Conn, d *directory) (userEntry, error) {
		return p.findBy(ctx, c, d, name)
	})
}

// findWith is a search for one user, who must not be called like one of another primary.
func (p *Primary) findWith(ctx context.Context, find func(context.Context, *conn.Conn, *directory) (userEntry, error)) (user userEntry, err error) {
	err = p.search(ctx, func(ctx context.Context, c *conn.Conn, d *directory) error {
		user, err = find(ctx, c, d)
		return err
	})
	switch {
	case err != nil:
		return userEntry{}, err
	case p.Taken != nil && p.Taken(user.name):
		return userEntry{}, fmt.Errorf("user %q of the directory has the name of a user of another primary", user.name)
	}
	return user, nil
}

func (p *Primary) findBy(ctx context.Context, c *conn.Conn, d *directory, name text.LoginName) (userEntry, error) {
	login := &d.login
	q := conn.Query{Base: p.settings.BaseDN, Filter: login.search(name), Attributes: d.attributes, Most: 4}
	found, err := c.Search(ctx, q)
	if err != nil {
		return userEntry{}, searchFailed(err)
	}
	entry, err := login.choose(name, found)
	if err != nil {
		return userEntry{}, err
	}
	own, err := login.nameOf(entry)
	if err != nil {
		return userEntry{}, err
	}
	// The search has shown that nobody else is called so, if it asked for that.
	asked := slices.ContainsFunc(slices.Concat(login.matches(name)...), func(m match) bool {
		return strings.EqualFold(m.attribute, login.nameAttribute()) && mfa.NameOf(m.value).Is(mfa.NameOf(own))
	})
	plain := mfa.NameOf(own).Key().String()
	if !asked || len(found) > 1 || d.mayHoldApart(own, plain) {
		if err := p.aloneAs(ctx, c, d, entry, own, plain); err != nil {
			return userEntry{}, err
		}
	}
	return p.named(entry, own), nil
}

// mayHoldApart reports whether the directory may take own and its form for two
// names. Letters of ASCII it takes for equal in both cases, once it has done so.
func (d *directory) mayHoldApart(own, plain string) bool {
	return own != plain && !(d.foldsCase.Load() && lowerASCII(own) == plain)
}

func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// aloneAs fails where more entries than this one are called so. By its form, a name
// must be found too: the directory then takes the spellings that have this form for
// equal, and no two of its entries can become one user.
func (p *Primary) aloneAs(ctx context.Context, c *conn.Conn, d *directory, entry *conn.Entry, own, plain string) error {
	q := conn.Query{Base: p.settings.BaseDN, Filter: "(" + d.login.nameAttribute() + "=" + conn.Escape(plain) + ")", Attributes: d.attributes, Most: 2}
	found, err := c.Search(ctx, q)
	switch {
	case err != nil:
		return searchFailed(err)
	case len(found) == 0:
		return fmt.Errorf("the directory calls %q %q, but does not find it as %q: it holds apart what is one name here", conn.CutText(entry.DN), own, plain)
	case len(found) > 1 || found[0].DN != entry.DN:
		return fmt.Errorf("%q is called %q, as others are: %w", conn.CutText(entry.DN), own, errAmbiguous)
	}
	if own != plain && lowerASCII(own) == plain {
		d.foldsCase.Store(true)
	}
	return nil
}

// findNamed searches the user whom the directory calls own, without canonical_domain.
func (p *Primary) findNamed(ctx context.Context, c *conn.Conn, d *directory, own string) (userEntry, error) {
	login := &d.login
	filter := "(" + login.nameAttribute() + "=" + conn.Escape(own) + ")"
	found, err := c.Search(ctx, conn.Query{Base: p.settings.BaseDN, Filter: login.users(filter), Attributes: d.attributes, Most: 2})
	switch {
	case err != nil:
		return userEntry{}, searchFailed(err)
	case len(found) == 0:
		return userEntry{}, errNoUser
	case len(found) > 1:
		return userEntry{}, errAmbiguous
	}
	called, err := login.nameOf(&found[0])
	if err == nil && !mfa.NameOf(called).Is(mfa.NameOf(own)) { // one of several values, and not the one that names the user
		err = errNoUser
	}
	if plain := mfa.NameOf(called).Key().String(); err == nil && d.mayHoldApart(called, plain) {
		err = p.aloneAs(ctx, c, d, &found[0], called, plain)
	}
	return p.named(&found[0], called), err
}

// named is a user of this directory, with the canonical name.
func (p *Primary) named(e *conn.Entry, own string) userEntry { return userEntry{e, p.called(own)} }

// called is the canonical name of a user whom the directory calls own.
func (p *Primary) called(own string) mfa.Name {
	name := mfa.NameOf(own).Printable()
	if p.settings.CanonicalDomain == "" {
		return name
	}
	return mfa.NameOf(name.String() + "@" + p.settings.CanonicalDomain)
}

// searchFailed is what the result of a search for a user means.
func searchFailed(err error) error {
	if result := (*conn.ResultError)(nil); errors.As(err, &result) && result.Code == conn.CodeSizeLimit {
		return errAmbiguous
	}
	return fmt.Errorf("search: %w", err)
}
