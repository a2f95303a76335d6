package providers

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password"
	"github.com/radmatch/radmatch/radius/wire"
)

// noLookup is a primary that cannot look a user up, as an upstream RADIUS server.
type noLookup struct{}

func (noLookup) Abilities() mfa.Abilities { return mfa.Abilities{} }

func (noLookup) Check(context.Context, mfa.Name, mfa.Credential) (mfa.Identity, error) {
	return mfa.Identity{}, mfa.ErrRejected
}

// TestNoneSharesNoUser: the primary of a gateway may stand beside others.
func TestNoneSharesNoUser(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.yaml")
	if err := os.WriteFile(file, []byte("users: [{name: alice, password: '{NT}8846f7eaee8fb117ad06bdd830b7586c'}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	users, err := password.OpenFile(file, wire.StandardDictionary().ParseAttribute, password.NewGate())
	if err != nil {
		t.Fatal(err)
	}
	all := Primaries{"users": users, "upstream": noLookup{}}
	if all["gateway"], err = openNone(nil, Parts{above: all}, &password.NoneSettings{DefaultDomain: "EXAMPLE"}); err != nil {
		t.Fatal(err)
	}
	cfg := &config.Config{Primaries: []config.Provider{{Name: "users"}, {Name: "upstream"}, {Name: "gateway"}}}
	if err := checkSharedUsers(cfg, all); err != nil {
		t.Fatal(err)
	}
}
