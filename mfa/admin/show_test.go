package admin

import (
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// locked are Limits by which everybody is locked.
type locked struct{ until time.Time }

func (l locked) CodesLocked(mfa.User, time.Time) (time.Time, bool) { return l.until, true }
func (locked) PushLimited(mfa.User, time.Time) bool                { return true }

func TestShow(t *testing.T) {
	d := newDesk(t)
	d.fill(t)
	accepted := mfa.Event{ID: "l2", Time: time.Now(), Kind: mfa.EventLogin, Origin: mfa.Origin{Client: "vpn", User: anna}, Reason: mfa.ReasonDefaultOTP, Outcome: mfa.Accept, Plan: mfa.PlanOTP}
	if err := d.st.Record(t.Context(), accepted); err != nil {
		t.Fatal(err)
	}
	if err := d.Block(t.Context(), root, anna, "has left"); err != nil {
		t.Fatal(err)
	}
	r, err := d.Show(t.Context(), mfa.NameOf("ANNA"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Devices) != 1 || len(r.Tokens) != 1 || r.Pass == nil || !r.Blocked || r.CodesLocked || r.PushLimited {
		t.Errorf("got %+v; want a device, a token, a pass and a block", r)
	}
	if r.Block == nil || r.Block.By != root.Name || r.Block.Reason != "has left" {
		t.Errorf("got block %+v; want that of %s", r.Block, root.Name)
	}
	if r.LastLogin == nil || r.LastLogin.ID != "l2" || r.LastRefusal == nil || r.LastRefusal.ID != "l1" {
		t.Errorf("got %+v and %+v; want l2 and l1", r.LastLogin, r.LastRefusal)
	}
	until := time.Now().Add(time.Hour)
	if r, err = d.Show(t.Context(), anna, locked{until}); err != nil || !r.CodesLocked || !r.LockedUntil.Equal(until) || !r.PushLimited {
		t.Errorf("got %+v, %v; want locked until %v", r, err, until)
	}
}

func TestReadTrail(t *testing.T) {
	block := mfa.Event{Kind: mfa.EventAdmin, Details: mfa.Details{Text: "user blocked: x", Operator: "root"}}
	bare := mfa.Event{Kind: mfa.EventAdmin, Details: mfa.Details{Text: "user blocked", Operator: "ida"}}
	report := mfa.Event{Kind: mfa.EventLogin, Outcome: mfa.Reject, Details: mfa.Details{BlocksUser: true}}
	for _, tt := range []struct {
		name    string
		blocked bool
		trail   []mfa.Event
		want    *Block
	}{
		{"nobody's", true, nil, nil},
		{"an operator's", true, []mfa.Event{block}, &Block{By: "root", Reason: "x"}},
		{"the last counts", true, []mfa.Event{block, bare}, &Block{By: "ida"}},
		{"the user's own", true, []mfa.Event{block, report}, &Block{By: "the user", Reason: "not_me"}},
		{"lifted", false, []mfa.Event{block, report}, nil},
	} {
		r := &UserReport{User: mfa.User{Blocked: tt.blocked}}
		r.readTrail(tt.trail)
		if (r.Block == nil) != (tt.want == nil) || r.Block != nil && *r.Block != *tt.want {
			t.Errorf("%s: got %+v; want %+v", tt.name, r.Block, tt.want)
		}
	}
}
