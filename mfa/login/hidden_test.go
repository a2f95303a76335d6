package login

import (
	"github.com/radmatch/radmatch/mfa"
	"slices"
	"testing"
)

// What policy hides reaches no provider.
func TestHiddenFromDevices(t *testing.T) {
	tests := []struct {
		name          string
		change        func(*mfa.Policy)
		groups        []string
		client, place bool // are told
	}{
		{name: "all is told", client: true, place: true},
		{name: "no client", change: func(p *mfa.Policy) { p.ShowApplicationName.Enabled = false }, place: true},
		{name: "no place", change: func(p *mfa.Policy) { p.ShowLocation.Enabled = false }, client: true},
		{name: "a group has no place", change: func(p *mfa.Policy) { p.ShowLocation.Exclude = mfa.GroupsOf("vip") }, groups: []string{"VIP"}, client: true},
		{name: "another group has", change: func(p *mfa.Policy) { p.ShowLocation.Exclude = mfa.GroupsOf("vip") }, groups: []string{"staff"}, client: true, place: true},
		{name: "one group is told the client", change: func(p *mfa.Policy) { p.ShowApplicationName.Include = mfa.GroupsOf("staff") }, groups: []string{"staff"}, client: true, place: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				if tt.change != nil {
					tt.change(&r.Policy)
				}
				r.primary.groups = tt.groups
				q := r.request("alice")
				a := r.send(q)
				r.send(r.request("alice"))
				g := r.prompted(1)
				for _, req := range append(slices.Clone(g.Requests), r.phone.amended[g.ID]...) {
					if (req.Client != "") != tt.client || (req.Source != "") != tt.client || (req.EndUser != "") != tt.place || !tt.place && req.Address.IsValid() {
						t.Errorf("the device is told %+v", req)
					}
				}
				if (g.Client != "") != tt.client || g.HideClient == tt.client || g.HidePlace == tt.place {
					t.Errorf("prompt: %+v", g.Prompt)
				}
				g.decides(nil)
				a.want(mfa.Accept, "")
				ev := r.journal.last(t)
				for _, req := range ev.Requests {
					if req.Client == "" || req.EndUser == "" {
						t.Errorf("the event lacks what the device is not told: %+v", req)
					}
				}
				if len(ev.Requests) != 2 || ev.Client != "vpn" || ev.EndUser == "" {
					t.Errorf("event: %+v", ev)
				}
			})
		})
	}
}
