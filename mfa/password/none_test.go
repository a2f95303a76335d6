package password

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password/passwordtest"
)

func newNone(canonical string, domains ...string) *None {
	return NewNone(&NoneSettings{CanonicalDomain: canonical, Domains: domains})
}

func TestNoneFind(t *testing.T) {
	site := newNone("example.org", "EXAMPLE", "example.org")
	bare := newNone("", "EXAMPLE", "example.org")
	one := NewNone(&NoneSettings{DefaultDomain: "EXAMPLE"})
	plain := newNone("")
	tests := []struct {
		primary *None
		user    string
		want    string // empty: ErrRejected
	}{
		{site, "alice", "alice@example.org"},
		{site, `EXAMPLE\alice`, "alice@example.org"},
		{site, `example\Alice`, "Alice@example.org"},
		{site, "alice@EXAMPLE.ORG", "alice@example.org"},
		{site, "alice@example", "alice@example.org"},
		{site, `OTHER\alice`, ""},
		{site, "alice@other.org", ""},
		{site, "alice@example.org.evil.org", ""},
		{site, "alice@evil.org@example.org", ""},
		{site, `EXAMPLE\alice@evil.org`, ""},
		{site, `EXAMPLE\OTHER\alice`, ""},
		{site, `EXAMPLE\`, ""},
		{site, `\alice`, ""},
		{site, "@example.org", ""},
		{site, "alice@", ""},
		{site, "", ""},
		{site, " alice", "alice@example.org"},
		{site, "alice ", "alice@example.org"},
		{site, "ali\x00ce", ""},
		{site, "ali\u202ece", ""},
		{site, "ali\xffce", ""},
		{site, strings.Repeat("a", MaxName+1), ""},
		{bare, `EXAMPLE\alice`, "alice"},
		{bare, "alice@example.org", "alice"},
		{bare, "alice", "alice"},
		{bare, `OTHER\alice`, ""},
		{one, `example\alice`, "alice"},
		{one, `OTHER\alice`, ""},
		{plain, `EXAMPLE\alice`, `EXAMPLE\alice`},
		{plain, "alice@example.org", "alice@example.org"},
		{plain, "alice", "alice"},
		{plain, "", ""},
		{plain, "ali\nce", ""},
		{&None{}, "alice", "alice"},
	}
	for _, tt := range tests {
		id, err := tt.primary.Find(t.Context(), mfa.NameOf(tt.user))
		if tt.want == "" && (!errors.Is(err, mfa.ErrRejected) || !reflect.DeepEqual(id, mfa.Identity{})) {
			t.Errorf("%q: got %+v, %v; want ErrRejected", tt.user, id, err)
		}
		if tt.want != "" && (err != nil || !reflect.DeepEqual(id, mfa.Identity{Name: mfa.NameOf(tt.want)})) {
			t.Errorf("%q: got %+v, %v; want only %q", tt.user, id, err, tt.want)
		}
	}
}

// Who is called like a user of another primary is no user here.
func TestNoneTaken(t *testing.T) {
	for _, n := range []*None{newNone("example.org", "EXAMPLE"), newNone(""), newNone("", "EXAMPLE")} {
		n.Taken = func(name mfa.Name) bool { return strings.HasPrefix(name.String(), "alice") }
		if id, err := n.Find(t.Context(), mfa.NameOf("alice")); !errors.Is(err, mfa.ErrRejected) || id.Name.String() != "" {
			t.Errorf("got %+v, %v", id, err)
		}
		if _, err := n.Find(t.Context(), mfa.NameOf("bob")); err != nil {
			t.Error(err)
		}
	}
}

func TestNoneNamespace(t *testing.T) {
	for _, tt := range []struct {
		primary *None
		want    string
	}{{newNone("Example.org", "EXAMPLE"), "example.org"}, {newNone("", "EXAMPLE"), ""}, {newNone(""), `\`}, {&None{}, `\`}} {
		if got := tt.primary.Abilities().Namespaces; len(got) != 1 || got[0] != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// No credential of any kind is ever right.
func TestNoneChecksNothing(t *testing.T) {
	for _, n := range []*None{newNone("example.org", "example.org"), {}} {
		for _, cred := range []mfa.Credential{mfa.Password("x"), mfa.Password(""), passwordtest.Response(t, "alice", "x"),
			mfa.NoCredential{}, mfa.Unsupported{What: "CHAP"}, nil} {
			id, err := n.Check(t.Context(), mfa.NameOf("alice"), cred)
			if !errors.Is(err, mfa.ErrUnsupported) || errors.Is(err, mfa.ErrRejected) || !reflect.DeepEqual(id, mfa.Identity{}) {
				t.Errorf("%T: got %+v, %v", cred, id, err)
			}
		}
	}
}

func TestNoneSettings(t *testing.T) {
	const domain = "must be the name of a domain, such as EXAMPLE or example.org"
	for _, tt := range []struct {
		settings NoneSettings
		want     string
	}{
		{settings: NoneSettings{}},
		{settings: NoneSettings{DefaultDomain: "EXAMPLE", Domains: []string{"EXAMPLE", "example.org"}, CanonicalDomain: "example.org"}},
		{NoneSettings{CanonicalDomain: "EXAMPLE"}, "canonical_domain: must stand beside default_domain or domains"},
		{NoneSettings{Domains: []string{"a", ""}}, "domains[1]: " + domain},
		{NoneSettings{Domains: []string{`EXAMPLE\x`}}, "domains[0]: " + domain},
		{NoneSettings{DefaultDomain: "@example.org"}, "default_domain: " + domain},
		{NoneSettings{DefaultDomain: "a", CanonicalDomain: "x\n"}, "canonical_domain: " + domain},
	} {
		var got []string
		tt.settings.CheckSettings(func(key, rule, _ string) { got = append(got, key+": "+rule) })
		if strings.Join(got, "; ") != tt.want {
			t.Errorf("%+v: got %q", tt.settings, got)
		}
	}
}
