package password

import (
	"context"
	"errors"
	"testing"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/text"
)

// memberFake knows some users, and one domain.
type memberFake struct {
	domain string
	users  map[string]error // what a check of them ends with
	asked  int
}

func (m *memberFake) Lists(domain string) bool { return domain == m.domain }

func (m *memberFake) Abilities() mfa.Abilities { return mfa.Abilities{Finder: m} }

func (m *memberFake) Check(_ context.Context, user mfa.Name, _ mfa.Credential) (mfa.Identity, error) {
	m.asked++
	err, ok := m.users[text.SplitLogin(user.String()).Bare]
	switch {
	case !ok:
		return mfa.Identity{}, errUnknownUser
	case err != nil:
		return mfa.Identity{}, err
	}
	return mfa.Identity{Name: mfa.NameOf(user.String() + " of " + m.domain), Known: true}, nil
}

func (m *memberFake) Find(ctx context.Context, user mfa.Name) (mfa.Identity, error) {
	return m.Check(ctx, user, nil)
}

func (m *memberFake) HasGroup(context.Context, mfa.Group) (bool, error) { return false, nil }

func (m *memberFake) GroupNames(context.Context) ([]string, error) { return nil, nil }

func (m *memberFake) FindName(ctx context.Context, typed mfa.Name) (mfa.Name, bool, error) {
	id, err := m.Check(ctx, typed, nil)
	return id.Name, true, err
}

// FindNamed knows its users only by their names, without " of DOMAIN".
func (m *memberFake) FindNamed(ctx context.Context, name mfa.Name) (mfa.Name, bool, error) {
	return m.FindName(ctx, name)
}

// TestSequenceNamed: a canonical name is looked for in every member.
func TestSequenceNamed(t *testing.T) {
	down := errors.New("no server answers")
	a := &memberFake{domain: "a", users: map[string]error{"first": nil, "lost": down}}
	b := &memberFake{domain: "b", users: map[string]error{"second": nil, "lost": nil}}
	for name, want := range map[string]string{"first@x": "first@x of a", "second@a": "second@a of b", "nobody": "", "lost": ""} {
		got, _, err := Sequence{a, b}.FindNamed(t.Context(), mfa.NameOf(name))
		if got.String() != want || (err == nil) != (want != "") || errors.Is(err, mfa.ErrRejected) != (name == "nobody") {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestSequence(t *testing.T) {
	down := errors.New("no server answers")
	for _, c := range []struct {
		user  string
		want  string // the name; empty: an error
		err   error
		asked [2]int
	}{
		{"first", "first of a", nil, [2]int{1, 0}},
		{"both", "both of a", nil, [2]int{1, 0}},
		{"second", "second of b", nil, [2]int{1, 1}},
		{"both@b", "both@b of b", nil, [2]int{0, 1}},
		{`b\both`, `b\both of b`, nil, [2]int{0, 1}},
		{"second@a", "", mfa.ErrRejected, [2]int{1, 0}},
		{"both@c", "", mfa.ErrRejected, [2]int{0, 0}},
		{"nobody", "", mfa.ErrRejected, [2]int{1, 1}},
		{"wrong", "", mfa.ErrRejected, [2]int{1, 0}}, // the namesake in b is not asked
		{"lost", "", down, [2]int{1, 0}},
	} {
		a := &memberFake{domain: "a", users: map[string]error{"first": nil, "both": nil, "wrong": ErrWrongPassword, "lost": down}}
		b := &memberFake{domain: "b", users: map[string]error{"second": nil, "both": nil, "wrong": nil, "lost": nil}}
		sequence := Sequence{a, b}
		for name, ask := range map[string]func() (mfa.Identity, error){
			"Check": func() (mfa.Identity, error) {
				return sequence.Check(t.Context(), mfa.NameOf(c.user), mfa.Password("x"))
			},
			"Find": func() (mfa.Identity, error) { return sequence.Find(t.Context(), mfa.NameOf(c.user)) },
			"FindName": func() (id mfa.Identity, err error) {
				id.Name, _, err = Sequence{a, b}.FindName(t.Context(), mfa.NameOf(c.user))
				return id, err
			},
		} {
			a.asked, b.asked = 0, 0
			id, err := ask()
			if id.Name.String() != c.want || !errors.Is(err, c.err) || [2]int{a.asked, b.asked} != c.asked {
				t.Errorf("%s %q: got %q, %v, asked %d and %d", name, c.user, id.Name, err, a.asked, b.asked)
			}
		}
	}
}
