package mfa

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

// TestExemptAlways asserts of every combination of exemptions and requirements
// what must hold whatever the order of the lines.
func TestExemptAlways(t *testing.T) {
	addresses := []netip.Addr{{}, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	bypasses := [][]Bypass{nil, {{Group: GroupOf("staff")}}, {{Group: GroupOf("staff"), Client: "vpn"}}, {{Group: GroupOf("staff"), Client: "other"}}, {{Group: GroupOf("guests")}}, {{Group: GroupOf(AllUsers)}}}
	for n := range 1 << 10 {
		for _, address := range addresses {
			for i, active := range bypasses {
				bit := func(i int) bool { return n>>i&1 == 1 }
				c := &Client{Name: "vpn", ExemptClient: bit(0), RequireUserMatch: bit(1)}
				f := &Facts{Identity: &Identity{Name: NameOf("alice"), Groups: GroupsOf("Staff"), Known: bit(2)}, Protocol: ProtocolMSCHAPv2, Address: address, Bypasses: active}
				if bit(3) {
					c.ExemptGroups = GroupsOf("staff")
				}
				if bit(4) {
					c.ExemptAddresses = prefixes("10.0.0.0/8", "2001:db8::/32")
				}
				if bit(5) {
					c.RequireGroups = GroupsOf("staff")
				}
				if bit(6) {
					c.RequireAddresses = prefixes("10.0.0.0/8")
				}
				if bit(7) {
					f.User.Devices, c.Pusher = 1, pusher{}
				}
				f.User.Blocked, f.Identity.Disabled = bit(8), bit(9)
				plan, reason, _ := Decide(c, f)
				what := func() string { return fmt.Sprintf("client %+v\nfacts %+v\ngot %s %s", c, f, plan, reason) }

				bypassed := i == 1 || i == 2
				required := bit(5) || bit(6) && (!address.IsValid() || address == addresses[1])
				exemptAddress := bit(4) && (address == addresses[1] || address == addresses[3])
				exempt := !required && (bit(0) || bit(3) || exemptAddress)
				lax := !required && !bit(7) && !bit(1) && bit(2)
				want := !bit(8) && !bit(9) && bit(2) && (exempt || bypassed || lax)
				if got := plan == PlanNone; got != want {
					t.Fatalf("without a second factor: %v, want %v\n%s", got, want, what())
				}
				if reason == ReasonBypass && (!bypassed || exempt) {
					t.Fatalf("the bypass is not what let them in\n%s", what())
				}
			}
		}
	}
}

func TestReply(t *testing.T) {
	attr := func(typ, tag byte, value string) Attribute {
		return Attribute{Type: typ, Tag: tag, Value: []byte(value)}
	}
	c := &Client{GroupReplies: []GroupReply{
		{GroupOf("Staff"), []Attribute{attr(11, 0, "staff"), attr(25, 0, "one"), attr(25, 0, "two")}},
		{GroupOf("vpn"), []Attribute{attr(11, 0, "vpn"), attr(64, 1, "tunnel 1"), attr(64, 2, "tunnel 2")}},
		{GroupOf(AllUsers), []Attribute{attr(27, 0, "all"), {Vendor: 9, Type: 11, Value: []byte("cisco")}}},
	}}
	for _, tt := range []struct {
		name   string
		own    []Attribute
		groups []string
		want   string
	}{
		{"no group", nil, nil, "27=all 11=cisco"},
		{"one", nil, []string{"staff"}, "11=staff 25=one 25=two 27=all 11=cisco"},
		{"the first of two groups decides for a type", nil, []string{"VPN", "STAFF"}, "11=staff 25=one 25=two 64=tunnel 1 64=tunnel 2 27=all 11=cisco"},
		{"the user's own wins", []Attribute{attr(25, 0, "own"), attr(64, 2, "own")}, []string{"staff", "vpn"}, "25=own 64=own 11=staff 64=tunnel 1 27=all 11=cisco"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			own := slices.Clip(tt.own)
			id := &Identity{Name: NameOf("alice"), Groups: GroupsOf(tt.groups...), Attributes: own[:len(own):len(own)]}
			got := ""
			for _, a := range c.Reply(id) {
				got += fmt.Sprintf(" %d=%s", a.Type, a.Value)
			}
			if got != " "+tt.want {
				t.Errorf("got%s, want %s", got, tt.want)
			}
			if len(id.Attributes) != len(tt.own) {
				t.Error("got the primary's own slice changed; want it untouched")
			}
		})
	}
}

// A primary shares one slice among all members of a group: an Accept of one user
// must not write into what another's is made of.
func TestReplyLeavesThePrimarysAlone(t *testing.T) {
	backing := make([]Attribute, 1, 8)
	backing[0] = Attribute{Type: 25, Value: []byte("own")}
	c := &Client{GroupReplies: []GroupReply{{Group: GroupOf(AllUsers), Attributes: []Attribute{{Type: 11, Value: []byte("x")}}}}}
	if got := c.Reply(&Identity{Attributes: backing}); len(got) != 2 {
		t.Fatalf("got %d attributes", len(got))
	}
	if again := backing[:2]; again[1].Type != 0 {
		t.Error("the room behind the primary's slice was written to")
	}
}
