package password

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/text"
)

// NoneSettings are the keys of a primary of type `none`.
type NoneSettings struct {
	DefaultDomain   string   `yaml:"default_domain" default:"" doc:"The domain of names without one."`
	Domains         []string `yaml:"domains" default:"" doc:"The names of the one domain that DOMAIN\\user and user@domain may name; default_domain is one of them. Users of others are refused. With neither, names are taken as they come, and EXAMPLE\\alice is another user than alice."`
	CanonicalDomain string   `yaml:"canonical_domain" default:"" doc:"When set, methods, blocks and events know a user as NAME@canonical_domain, otherwise as NAME."`
}

// None checks no password and knows no user: it is for an RD Gateway, which has
// checked the password itself, and says only how names are read. It is
// immutable; its methods may be called concurrently. The zero None takes names as
// they come.
type None struct {
	// Taken reports whether a name belongs to a user of another primary: such a
	// user is refused, because methods belong to a name and this primary cannot
	// tell whether it is the same user. It may be set until the first call.
	Taken func(name mfa.Name) bool

	domains   []mfa.NameKey // empty: names are taken as they come
	canonical string
}

var (
	_ mfa.PasswordChecker = (*None)(nil)
	_ mfa.IdentityFinder  = (*None)(nil)
)

var (
	errNoneCredential = fmt.Errorf("a primary of type none checks no password: %w", mfa.ErrUnsupported)
	errNoneDomain     = fmt.Errorf("the domain is none of the primary's: %w", mfa.ErrRejected)
	errNoneTaken      = fmt.Errorf("a user of another primary is called so: %w", mfa.ErrRejected)
	errNoneName       = fmt.Errorf("not a user name: %w", mfa.ErrRejected)
)

// CheckSettings implements the rules that tags cannot say.
func (s *NoneSettings) CheckSettings(problem func(key, rule, got string)) {
	check := func(key, domain string) {
		if !isName(domain) || strings.ContainsAny(domain, `\@`) {
			problem(key, "must be the name of a domain, such as EXAMPLE or example.org", domain)
		}
	}
	for i, d := range s.Domains {
		check(fmt.Sprintf("domains[%d]", i), d)
	}
	if s.DefaultDomain != "" {
		check("default_domain", s.DefaultDomain)
	}
	if s.CanonicalDomain == "" {
		return
	}
	check("canonical_domain", s.CanonicalDomain)
	if s.DefaultDomain == "" && len(s.Domains) == 0 {
		problem("canonical_domain", "must stand beside default_domain or domains", s.CanonicalDomain)
	}
}

// NewNone returns the primary of settings that CheckSettings has nothing against.
func NewNone(s *NoneSettings) *None {
	n := &None{canonical: s.CanonicalDomain}
	if s.DefaultDomain != "" {
		n.domains = append(n.domains, mfa.NameOf(s.DefaultDomain).Key())
	}
	for _, d := range s.Domains {
		n.domains = append(n.domains, mfa.NameOf(d).Key())
	}
	return n
}

// Check implements mfa.PasswordChecker: it refuses every credential.
func (n *None) Check(ctx context.Context, _ mfa.Name, _ mfa.Credential) (mfa.Identity, error) {
	if err := ctx.Err(); err != nil {
		return mfa.Identity{}, err
	}
	return mfa.Identity{}, errNoneCredential
}

// Abilities implements mfa.PasswordChecker.
func (n *None) Abilities() mfa.Abilities {
	return mfa.Abilities{Finder: n, FromMemory: true, ChecksNothing: true, Namespaces: []string{n.namespace()}}
}

// namespace is what the names of its users end with, and none of a directory's
// do. Names that are taken as they come have one that is no domain.
func (n *None) namespace() string {
	if len(n.domains) == 0 {
		return `\`
	}
	return mfa.NameOf(n.canonical).Key().String()
}

// Find implements mfa.IdentityFinder. It cannot tell an unknown user from a
// known one, so no user that it returns is Known.
func (n *None) Find(_ context.Context, named mfa.Name) (mfa.Identity, error) {
	user := named.String()
	if !isName(user) {
		return mfa.Identity{}, errNoneName
	}
	name := user
	if len(n.domains) > 0 {
		l := text.SplitLogin(user)
		l.Bare = mfa.NameOf(l.Bare).String()
		switch {
		case l.Bare == "" || text.HasDomain(l.Bare):
			return mfa.Identity{}, errNoneName
		case text.HasDomain(user) && !slices.Contains(n.domains, mfa.NameOf(l.Domain).Key()):
			return mfa.Identity{}, errNoneDomain
		}
		if name = l.Bare; n.canonical != "" {
			name += "@" + n.canonical
		}
	}
	if n.Taken != nil && n.Taken(mfa.NameOf(name)) {
		return mfa.Identity{}, errNoneTaken
	}
	return mfa.Identity{Name: mfa.NameOf(name)}, nil
}

// FindName returns the name that the settings make of what was typed. It is never
// sure: whether there is such a user is not known here.
func (n *None) FindName(ctx context.Context, typed mfa.Name) (name mfa.Name, sure bool, err error) {
	id, err := n.Find(ctx, typed)
	return id.Name, false, err
}

// FindNamed is FindName for a name that FindName may have returned.
func (n *None) FindNamed(ctx context.Context, name mfa.Name) (mfa.Name, bool, error) {
	bare := name.String()
	if n.canonical != "" {
		bare = WithoutDomain(bare, n.canonical)
	}
	id, err := n.Find(ctx, mfa.NameOf(bare))
	if err == nil && !id.Name.Is(name) {
		err = errNoneName
	}
	return id.Name, false, err
}

// isName reports whether s is text that may name a user or a domain: no
// directory has vetted it. Spaces around it would make two users look alike.
func isName(s string) bool {
	return s != "" && len(s) <= MaxName && utf8.ValidString(s) && strings.TrimSpace(s) == s &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) })
}
