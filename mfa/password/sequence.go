package password

import (
	"context"
	"errors"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/text"
)

// SequenceSettings are the keys of a primary of type `sequence`.
type SequenceSettings struct {
	Primaries []string `yaml:"primaries" example:"ad" doc:"Names of primaries of type ldap or file that stand above, in the order in which a name without a domain is looked for. The first that has the user decides; user@domain and DOMAIN\\user go to the one that lists the domain, and to no other."`
}

// Member is a primary that a Sequence can hold.
type Member interface {
	mfa.PasswordChecker
	mfa.IdentityFinder
	// FindName and FindNamed are those of a Sequence.
	FindName(ctx context.Context, typed mfa.Name) (name mfa.Name, sure bool, err error)
	FindNamed(ctx context.Context, name mfa.Name) (_ mfa.Name, sure bool, err error)
	// HasGroup and GroupNames are those of a Sequence.
	HasGroup(ctx context.Context, g mfa.Group) (bool, error)
	GroupNames(ctx context.Context) ([]string, error)
	// Lists reports whether it takes names of this domain for its users.
	Lists(domain string) bool
}

// Sequence is several primaries in order, as for the forests of an organisation. It
// is immutable and may be used concurrently as its members may.
//
// Only a name that a member does not have goes on to the next. A wrong password
// ends it, or the namesake in the next directory could sign in for the user;
// so does a member that gives no answer, because it is not known then whose the
// name is.
type Sequence []Member

var (
	_ mfa.PasswordChecker = Sequence(nil)
	_ mfa.IdentityFinder  = Sequence(nil)
	_ Member              = (*File)(nil)
)

// Check implements mfa.PasswordChecker.
func (s Sequence) Check(ctx context.Context, user mfa.Name, cred mfa.Credential) (mfa.Identity, error) {
	return s.first(user, func(m Member) (mfa.Identity, error) { return m.Check(ctx, user, cred) })
}

// Abilities implements mfa.PasswordChecker.
func (s Sequence) Abilities() mfa.Abilities { return mfa.Abilities{Finder: s} }

// Find implements mfa.IdentityFinder.
func (s Sequence) Find(ctx context.Context, user mfa.Name) (mfa.Identity, error) {
	return s.first(user, func(m Member) (mfa.Identity, error) { return m.Find(ctx, user) })
}

// FindName returns what the user is called who signs in as typed, as the first
// member does that has the user.
func (s Sequence) FindName(ctx context.Context, typed mfa.Name) (name mfa.Name, sure bool, err error) {
	_, err = s.first(typed, func(m Member) (mfa.Identity, error) {
		name, sure, err = m.FindName(ctx, typed)
		return mfa.Identity{}, err
	})
	return name, sure, err
}

// FindNamed returns the name of the user who is called so by some member.
func (s Sequence) FindNamed(ctx context.Context, name mfa.Name) (mfa.Name, bool, error) {
	for _, m := range s {
		found, sure, err := m.FindNamed(ctx, name)
		if !errors.Is(err, mfa.ErrRejected) {
			return found, sure, err
		}
	}
	return mfa.Name{}, false, errUnknownUser
}

func (s Sequence) first(user mfa.Name, ask func(Member) (mfa.Identity, error)) (mfa.Identity, error) {
	err := errUnknownUser
	for _, m := range s {
		if name := user.String(); text.HasDomain(name) && !m.Lists(text.SplitLogin(name).Domain) {
			continue
		}
		var id mfa.Identity
		if id, err = ask(m); err == nil {
			return id, nil
		}
		if unknown := (unknownUser{}); !errors.As(err, &unknown) {
			return mfa.Identity{}, err
		}
	}
	return mfa.Identity{}, err
}
