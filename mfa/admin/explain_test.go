package admin

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/login"
)

// silent is a primary that says nothing of a user without a password.
type silent struct{}

func (silent) Abilities() mfa.Abilities { return mfa.Abilities{} }

func (silent) Check(context.Context, mfa.Name, mfa.Credential) (mfa.Identity, error) {
	return mfa.Identity{}, errors.New("asked for a password")
}

// roll is a primary whose users are all members of staff.
type roll struct {
	silent
	names []string
	err   error
}

func (p roll) Abilities() mfa.Abilities { return mfa.Abilities{Finder: p} }

func (p roll) Find(_ context.Context, user mfa.Name) (mfa.Identity, error) {
	for _, name := range p.names {
		if mfa.NameOf(name).Is(user) {
			return mfa.Identity{Name: mfa.NameOf(name), Known: true, Groups: []mfa.Group{mfa.GroupOf("staff")}}, p.err
		}
	}
	return mfa.Identity{}, fmt.Errorf("no such user: %w", mfa.ErrRejected)
}

func TestExplain(t *testing.T) {
	d := newDesk(t)
	d.fill(t)
	if err := d.Block(t.Context(), root, bob, ""); err != nil {
		t.Fatal(err)
	}
	engine := &login.Engine{Pending: &login.Pending{}, Limits: &login.Limits{}}
	staff := roll{names: []string{"Anna", "bob"}}
	for _, tt := range []struct {
		name   string
		client mfa.Client
		typed  string
		plan   mfa.Plan // of PAP
		reason mfa.Reason
		why    string
	}{
		{"a token, and no push here", mfa.Client{Prompts: true, Primary: staff}, "anna", mfa.PlanOTP, "", ""},
		{"an exemption", mfa.Client{Prompts: true, Primary: staff, ExemptGroups: mfa.GroupsOf("staff")}, "anna", mfa.PlanNone, mfa.ReasonExemptGroup, "staff"},
		{"not of the groups", mfa.Client{Primary: staff, AllowGroups: mfa.GroupsOf("board", "audit")}, "anna", mfa.PlanDeny, mfa.ReasonNotAllowed, "board, audit"},
		{"blocked", mfa.Client{Prompts: true, Primary: staff}, "bob", mfa.PlanDeny, mfa.ReasonUserBlocked, ""},
	} {
		tt.client.Abilities = tt.client.Primary.Abilities()
		e, err := d.Explain(t.Context(), SignIn{Client: &tt.client, Typed: mfa.NameOf(tt.typed)}, engine, locked{})
		if err != nil || e.Refused != "" || !e.Identity.Name.Is(mfa.NameOf(tt.typed)) || !e.CodesLocked || len(e.Logins) != 2 {
			t.Errorf("%s: got %+v, %v; want two ways to sign in", tt.name, e, err)
			continue
		}
		l := e.Logins[0]
		if l.Credential != "PAP" || l.Plan != tt.plan || tt.reason != "" && l.Reason != tt.reason || l.Because != tt.why {
			t.Errorf("%s: got %+v; want PAP, %v, %s because of %q", tt.name, l, tt.plan, tt.reason, tt.why)
		}
	}
}

func TestNotExplained(t *testing.T) {
	d := newDesk(t)
	engine := &login.Engine{Pending: &login.Pending{}, Limits: &login.Limits{}}
	down := errors.New("no server answers")
	for _, tt := range []struct {
		name    string
		client  mfa.Client
		refused mfa.Reason
		err     error
	}{
		{"unknown", mfa.Client{Primary: roll{}}, mfa.ReasonWrongPassword, nil},
		{"unknown, without a password", mfa.Client{Primary: roll{}, NoPassword: true}, mfa.ReasonUnknownUser, nil},
		{"cannot be asked", mfa.Client{Primary: silent{}}, "", ErrNoLookup},
		{"down", mfa.Client{Primary: roll{names: []string{"anna"}, err: down}}, "", down},
	} {
		tt.client.Abilities = tt.client.Primary.Abilities()
		e, err := d.Explain(t.Context(), SignIn{Client: &tt.client, Typed: anna}, engine, locked{until: time.Now()})
		if !errors.Is(err, tt.err) || err == nil && (e.Refused != tt.refused || len(e.Logins) > 0) {
			t.Errorf("%s: got %+v, %v; want %q, %v", tt.name, e, err, tt.refused, tt.err)
		}
	}
}
