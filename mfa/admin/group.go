package admin

import (
	"context"
	"fmt"
	"strconv"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/text"
)

// GroupKnower is a primary that can be asked for its groups. One that cannot, such as
// an upstream, tells the groups of a user at the login only.
type GroupKnower interface {
	HasGroup(ctx context.Context, g mfa.Group) (bool, error)
	GroupNames(ctx context.Context) ([]string, error)
}

// UnknownGroup means that a primary does not know a group: a name that is misspelt
// allows no user, or requires nothing.
type UnknownGroup struct {
	Primary string
	Group   mfa.Group
	Known   []string // what the primary knows; empty where it does not tell
}

func (e *UnknownGroup) Error() string {
	if e.Group.IsZero() {
		return strconv.Quote(e.Group.String()) + " is no name of a group: it holds for no user"
	}
	return fmt.Sprintf("primary %s knows no group %s", e.Primary, strconv.Quote(text.Printable(e.Group.String(), MaxReason)))
}

// CheckGroup returns an UnknownGroup for a group that the primary of this name does
// not know, and nil where it does, cannot be asked, or gives no answer.
func CheckGroup(ctx context.Context, name string, primary any, g mfa.Group) *UnknownGroup {
	if g.IsZero() {
		return &UnknownGroup{Primary: name, Group: g}
	}
	knower, ok := primary.(GroupKnower)
	if !ok || g.Everyone() {
		return nil
	}
	if has, err := knower.HasGroup(ctx, g); err != nil || has {
		return nil
	}
	e := &UnknownGroup{Primary: name, Group: g}
	if known, err := knower.GroupNames(ctx); err == nil {
		e.Known = known
	}
	return e
}
