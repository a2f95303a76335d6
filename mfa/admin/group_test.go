package admin

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/radmatch/radmatch/mfa"
)

// groups is a primary with these groups; down, it gives no answer.
type groups struct {
	names []string
	down  bool
}

func (p groups) HasGroup(_ context.Context, g mfa.Group) (bool, error) {
	if p.down {
		return false, errors.New("no server answers")
	}
	return slices.Contains(p.names, g.String()), nil
}

func (p groups) GroupNames(context.Context) ([]string, error) { return p.names, nil }

func TestCheckGroup(t *testing.T) {
	for _, tt := range []struct {
		name    string
		primary any
		group   string
		want    string // the error, empty for none
	}{
		{"known", groups{names: []string{"staff"}}, "staff", ""},
		{"unknown", groups{names: []string{"staff"}}, "stuff", `primary local knows no group "stuff"`},
		{"no name", groups{}, " ", `"" is no name of a group: it holds for no user`},
		{"everyone", groups{}, "all_users", ""},
		{"down", groups{down: true}, "stuff", ""},
		{"cannot be asked", struct{}{}, "stuff", ""},
	} {
		err := CheckGroup(t.Context(), "local", tt.primary, mfa.GroupOf(tt.group))
		switch {
		case (err == nil) != (tt.want == ""):
			t.Errorf("%s: got %v; want %q", tt.name, err, tt.want)
		case err != nil && err.Error() != tt.want:
			t.Errorf("%s: got %v; want %q", tt.name, err, tt.want)
		}
	}
	if err := CheckGroup(t.Context(), "local", groups{names: []string{"staff"}}, mfa.GroupOf("stuff")); !slices.Equal(err.Known, []string{"staff"}) {
		t.Errorf("got known %q; want staff", err.Known)
	}
}
