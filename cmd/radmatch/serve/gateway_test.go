package serve

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/cmd/radmatch/providers"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/radius/wire"
)

// blind is a primary that cannot look a user up, as an upstream RADIUS server.
type blind struct{}

func (blind) Abilities() mfa.Abilities { return mfa.Abilities{} }

func (blind) Check(context.Context, mfa.Name, mfa.Credential) (mfa.Identity, error) {
	return mfa.Identity{Name: mfa.NameOf("alice"), Known: true}, nil
}

// TestGatewayPrimary: what a client with the profile rdgateway may have as its
// primary, and what only such a client may have.
func TestGatewayPrimary(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.yaml")
	if err := os.WriteFile(file, []byte("users: [{name: alice, password: '{NT}"+ntRightHorse+"'}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	users, err := password.OpenFile(file, wire.StandardDictionary().ParseAttribute, password.NewGate())
	if err != nil {
		t.Fatal(err)
	}
	all := providers.Primaries{"users": users, "upstream": blind{}}
	none := password.NewNone(&password.NoneSettings{DefaultDomain: "EXAMPLE"})
	none.Taken = all.Taken
	all["gateway"] = none
	tests := []struct {
		primary    string
		noPassword bool
		want       string // in the error; empty: none
	}{
		{"users", true, ""},
		{"gateway", true, ""},
		{"", true, ""},
		{"upstream", true, `must be able to look a user up without a password; "upstream" cannot`},
		{"nosuch", true, `there is none named "nosuch"`},
		{"users", false, ""},
		{"upstream", false, ""},
		{"gateway", false, `must check passwords: "gateway" is of type none`},
		{"", false, `there is none named ""`},
	}
	for _, tt := range tests {
		c := &mfa.Client{NoPassword: tt.noPassword}
		err := setPrimary(c, tt.primary, all)
		if tt.want == "" && (err != nil || c.Primary == nil || tt.noPassword && c.Finder == nil) ||
			tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%q, no password %t: got %v, want %q", tt.primary, tt.noPassword, err, tt.want)
		}
	}

	gateway := all["gateway"].Abilities().Finder
	if id, err := gateway.Find(t.Context(), mfa.NameOf(`EXAMPLE\Alice`)); err == nil {
		t.Errorf("a user of the file is found as %+v; want an error", id)
	}
	if id, err := gateway.Find(t.Context(), mfa.NameOf(`EXAMPLE\bob`)); err != nil || id.Name.String() != "bob" {
		t.Errorf("got %+v, %v", id, err)
	}

	// Without a primary every name is taken as it comes, unless someone has it.
	c := &mfa.Client{NoPassword: true}
	if err := setPrimary(c, "", all); err != nil {
		t.Fatal(err)
	}
	if id, err := c.Finder.Find(t.Context(), mfa.NameOf(`EXAMPLE\alice`)); err != nil || id.Name.String() != `EXAMPLE\alice` || id.Known {
		t.Errorf("got %+v, %v", id, err)
	}
	if id, err := c.Finder.Find(t.Context(), mfa.NameOf("ALICE")); err == nil {
		t.Errorf("a user of the file is found as %+v; want an error", id)
	}
	if _, err := c.Primary.Check(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse")); err == nil {
		t.Error("a password was accepted: got no error; want one")
	}
}
