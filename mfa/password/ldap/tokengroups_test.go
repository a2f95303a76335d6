package ldap

import (
	"context"
	"errors"
	"github.com/radmatch/radmatch/mfa/password/ldap/conn"
	"testing"
	"time"
)

// hiding is a directory that shows a user without tokenGroups, as AD does to who
// has no right to them.
type hiding struct{}

func (hiding) Search(_ context.Context, q conn.Query) ([]conn.Entry, error) {
	return []conn.Entry{{DN: q.Base}}, nil
}

// TestTokenGroupsHidden: groups that may not be read are not the same as none.
func TestTokenGroupsHidden(t *testing.T) {
	g := &groupFinder{mode: "token_groups", sids: newSIDNames()}
	g.sids.learn("x", group{"cn=group,dc=x", "group"}, time.Now())
	names, err := g.find(t.Context(), hiding{}, &conn.Entry{DN: "CN=alice,DC=example,DC=org"})
	if !errors.Is(err, errNoTokenGroups) || names != nil {
		t.Errorf("got %q, %v", names, err)
	}
}
