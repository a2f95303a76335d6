package admin

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/otp"
)

// book is a primary that knows names by heart.
type book struct {
	typed  map[string]string // to the canonical name
	unsure bool
	err    error
}

func (b book) FindName(_ context.Context, typed mfa.Name) (mfa.Name, bool, error) {
	name, ok := b.typed[typed.String()]
	switch {
	case b.err != nil:
		return mfa.Name{}, false, b.err
	case !ok:
		return mfa.Name{}, false, fmt.Errorf("no such user: %w", mfa.ErrRejected)
	}
	return mfa.NameOf(name), !b.unsure, nil
}

func (b book) FindNamed(_ context.Context, name mfa.Name) (mfa.Name, bool, error) {
	for _, canonical := range b.typed {
		if b.err == nil && name.Is(mfa.NameOf(canonical)) {
			return name, !b.unsure, nil
		}
	}
	return b.FindName(context.Background(), mfa.Name{})
}

func TestResolve(t *testing.T) {
	directory := book{typed: map[string]string{"anna": "anna", "anna@example.org": "anna", "bea": "bea@corp"}}
	other := book{typed: map[string]string{"anna": "anna@other", "bob": "bob", "carla": "carla"}}
	gateway := book{typed: map[string]string{"anna": "anna", "dora": "dora", "bob": "bob@gw"}, unsure: true}
	down := book{err: errors.New("no server answers")}
	for _, tt := range []struct {
		name      string
		primaries []NameFinder
		typed     string
		want      Resolved
		err       error
	}{
		{"its own name", []NameFinder{directory}, "anna", Resolved{Name: mfa.NameOf("anna")}, nil},
		{"another name", []NameFinder{directory}, "anna@example.org", Resolved{Name: mfa.NameOf("anna")}, nil},
		{"a name that no user signs in with", []NameFinder{directory}, "bea@corp", Resolved{Name: mfa.NameOf("bea@corp")}, nil},
		{"nobody", []NameFinder{directory}, "ana", Resolved{}, ErrUnknownName},
		{"nobody anywhere", []NameFinder{directory, other, gateway}, "ana", Resolved{}, ErrUnknownName},
		{"of the second", []NameFinder{directory, other}, "carla", Resolved{Name: mfa.NameOf("carla")}, nil},
		{"two users", []NameFinder{directory, other}, "anna", Resolved{}, ErrSeveralUsers},
		{"one user of two primaries", []NameFinder{directory, gateway}, "anna", Resolved{Name: mfa.NameOf("anna")}, nil},
		{"two users, one not sure", []NameFinder{gateway, other}, "bob", Resolved{}, ErrSeveralUsers},
		{"not sure", []NameFinder{directory, gateway}, "dora", Resolved{Name: mfa.NameOf("dora"), Unsure: "p1"}, nil},
		{"down", []NameFinder{down}, "anna", Resolved{}, ErrNoAnswer},
		{"unknown, and one is down", []NameFinder{directory, down}, "ana", Resolved{}, ErrNoAnswer},
		{"known, and one is down", []NameFinder{down, directory}, "anna", Resolved{Name: mfa.NameOf("anna"), Silent: "p0"}, nil},
		{"not sure, and one is down", []NameFinder{down, gateway}, "dora", Resolved{}, ErrNoAnswer},
	} {
		var r Resolver
		for i, f := range tt.primaries {
			r = append(r, Primary{Name: fmt.Sprint("p", i), Finder: f})
		}
		if got, err := r.Resolve(t.Context(), mfa.NameOf(tt.typed)); !reflect.DeepEqual(got, tt.want) || !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
			t.Errorf("%s: got %+v, %v; want %+v, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
}

// TestResolveAll: one name that a primary gives no answer for ends all, and says so.
func TestResolveAll(t *testing.T) {
	directory := book{typed: map[string]string{"anna": "anna", "anna@example.org": "anna"}}
	names := []mfa.Name{mfa.NameOf("anna@example.org"), mfa.NameOf("ana")}
	users, failed, err := Resolver{{Name: "p0", Finder: directory}}.resolveAll(t.Context(), names)
	if err != nil || failed[0] != nil || users[0].Name.String() != "anna" || !errors.Is(failed[1], ErrUnknownName) {
		t.Errorf("got %+v, %v, %v", users, failed, err)
	}
	_, _, err = Resolver{{Name: "p0", Err: errors.New("no server answers")}}.resolveAll(t.Context(), names)
	if !errors.Is(err, ErrNoAnswer) {
		t.Errorf("down: got %v; want %v", err, ErrNoAnswer)
	}
}

func TestResolveRows(t *testing.T) {
	directory := book{typed: map[string]string{"anna": "anna", "anna@example.org": "anna"}, unsure: true}
	row := func(line int, user string) otp.Row {
		return otp.Row{Line: line, Token: otp.NewTOTP(mfa.NameOf(user))}
	}
	all, err := Resolver{{Name: "p0", Finder: directory}}.ResolveRows(t.Context(), []otp.Row{row(2, "anna@example.org"), row(3, "ana"), row(4, "anna")})
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Good) != 2 || all.Good[0].Token.User.String() != "anna" || all.Good[1].Line != 4 {
		t.Errorf("got good rows %+v; want lines 2 and 4 of anna", all.Good)
	}
	if len(all.Bad) != 1 || all.Bad[0].Line != 3 || !strings.HasPrefix(all.Bad[0].Problem, `no primary knows "ana"`) {
		t.Errorf("got bad rows %+v; want line 3", all.Bad)
	}
	if len(all.Renamed) != 1 || all.Renamed[0].InFile.String() != "anna@example.org" || all.Unsure != "p0" {
		t.Errorf("got renamed %+v, unsure %q", all.Renamed, all.Unsure)
	}
	down := Resolver{{Name: "p0", Err: errors.New("no server answers")}}
	if all, err := down.ResolveRows(t.Context(), []otp.Row{row(2, "anna")}); all != nil || !errors.Is(err, ErrNoAnswer) {
		t.Errorf("down: got %+v, %v; want no rows", all, err)
	}
}

func TestKnow(t *testing.T) {
	directory := book{typed: map[string]string{"anna@example.org": "anna"}}
	names := []mfa.Name{mfa.NameOf("ANNA"), mfa.NameOf("anna@example.org")}
	for _, tt := range []struct {
		name string
		r    Resolver
		want [2]error
	}{
		{"as the primary calls them, not as they sign in", Resolver{{Name: "p0", Finder: directory}}, [2]error{nil, ErrUnknownName}},
		{"cannot tell", Resolver{{Name: "p0", Finder: book{typed: directory.typed, unsure: true}}}, [2]error{errUnsure, ErrUnknownName}},
		{"down", Resolver{{Name: "p0", Err: errors.New("no server answers")}}, [2]error{ErrNoAnswer, ErrNoAnswer}},
		{"no primary", nil, [2]error{ErrUnknownName, ErrUnknownName}},
	} {
		got := tt.r.Know(t.Context(), names)
		for i := range names {
			if !errors.Is(got[i], tt.want[i]) {
				t.Errorf("%s: %q: got %v; want %v", tt.name, names[i], got[i], tt.want[i])
			}
		}
	}
}
