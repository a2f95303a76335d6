package ldap

import (
	"context"
	"errors"
	"testing"
	"time"
)

// hiding is a directory that shows a user without tokenGroups, as AD does to who
// has no right to them.
type hiding struct{}

func (hiding) search(_ context.Context, q query) ([]entry, error) {
	return []entry{{dn: q.base}}, nil
}

// TestTokenGroupsHidden: groups that may not be read are not the same as none.
func TestTokenGroupsHidden(t *testing.T) {
	g := &groupFinder{mode: "token_groups", sids: newSIDNames()}
	g.sids.learn("x", group{"cn=group,dc=x", "group"}, time.Now())
	names, err := g.find(t.Context(), hiding{}, &entry{dn: "CN=alice,DC=example,DC=org"})
	if !errors.Is(err, errNoTokenGroups) || names != nil {
		t.Errorf("got %q, %v", names, err)
	}
}
