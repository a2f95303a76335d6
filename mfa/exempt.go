package mfa

import (
	"fmt"
	"net/netip"
	"time"
)

// MaxBypass is the longest time that a bypass can be made for.
const MaxBypass = 24 * time.Hour

// Bypass spares one user, or the members of one group, the second factor for a
// time: what an operator does when the second factor is out of order. It is
// explicit, so that it wins over `require`; it never skips the first factor, nor a
// block. It has either a Group or a User.
type Bypass struct {
	ID       int64
	Group    Group     // never AllUsers
	User     Name      // canonical
	Client   string    // where; empty: at every client
	Began    time.Time // by the wall clock
	Until    time.Time
	Reason   string // what the operator typed
	Operator string // operating-system user
}

// String describes it on one line, as events and logs have it.
func (b *Bypass) String() string {
	where := "every client"
	if b.Client != "" {
		where = "client " + b.Client
	}
	return fmt.Sprintf("%s at %s until %s: %s", b.Whom(), where, b.Until.UTC().Format(time.RFC3339), b.Reason)
}

// Whom names the user or the group.
func (b *Bypass) Whom() string {
	if !b.User.IsZero() {
		return fmt.Sprintf("user %q", b.User)
	}
	return fmt.Sprintf("group %q", b.Group)
}

// Bypasses knows the bypasses that are in force.
type Bypasses interface {
	// Bypasses answers from memory, may be called concurrently, and leaves out
	// what is over. The slice is read-only.
	Bypasses() []Bypass
}

// spares reports whether the bypass is for this login. A name that no primary has
// confirmed belongs to no user.
func (b *Bypass) spares(c *Client, f *Facts) bool {
	switch {
	case b.Client != "" && b.Client != c.Name:
		return false
	case !b.User.IsZero():
		return b.Group.IsZero() && f.Identity.Known && b.User.Is(f.Identity.Name)
	}
	return !b.Group.Everyone() && inGroup([]Group{b.Group}, f.Identity.Groups)
}

// BypassFor returns the bypass that spares a login the second factor, nil where none does.
func BypassFor(c *Client, f *Facts) *Bypass {
	for i := range f.Bypasses {
		if f.Bypasses[i].spares(c, f) {
			return &f.Bypasses[i]
		}
	}
	return nil
}

// exempt is the decision of a standing exemption: `require` wins over it, and it is
// for no user whose name is not sure, who could be blocked under another one.
func exempt(reason Reason, fits func(c *Client, f *Facts) bool) func(*Client, *Facts) (Plan, Reason, bool) {
	return func(c *Client, f *Facts) (Plan, Reason, bool) {
		return PlanNone, reason, f.Identity.Known && fits(c, f) && Required(c, f) == ""
	}
}

// Required says what of `require` demands a second factor of this login; empty:
// nothing. An address that is not known may be any: it must not be the way
// around a network whose users need a second factor.
func Required(c *Client, f *Facts) string {
	if g := MatchGroup(c.RequireGroups, f.Identity.Groups); !g.IsZero() {
		return "group " + g.String()
	}
	if len(c.RequireAddresses) == 0 {
		return ""
	}
	if !f.Address.IsValid() {
		return "the address is not known"
	}
	if p := MatchAddress(c.RequireAddresses, f.Address); p.IsValid() {
		return fmt.Sprintf("address in %s", p)
	}
	return ""
}

// MatchAddress returns the first prefix that holds the address, or the zero
// Prefix, which is not valid. No prefix holds an address that is not known.
func MatchAddress(list []netip.Prefix, a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	for _, p := range list {
		if p.Contains(a) {
			return p
		}
	}
	return netip.Prefix{}
}

// MatchGroup returns the first entry of list that is one of groups, or AllUsers,
// which is everyone; otherwise nothing.
func MatchGroup(list, groups []Group) Group {
	for _, l := range list {
		if l.Everyone() {
			return l
		}
		for _, g := range groups {
			if g.Is(l) && !l.IsZero() { // what is no name of a group hides none behind it
				return l
			}
		}
	}
	return Group{}
}

func inGroup(list, groups []Group) bool { return !MatchGroup(list, groups).IsZero() }

// GroupReply is what an Access-Accept carries for the members of a group.
type GroupReply struct {
	Group      Group
	Attributes []Attribute
}

// Reply returns the attributes of an Access-Accept: the user's own from the
// primary, then those of the groups in their order. The first one decides for
// a type (and tag): a device that gets two roles or two timeouts takes any.
func (c *Client) Reply(identity *Identity) []Attribute {
	reply, shared := identity.Attributes, true
	for i := range c.GroupReplies {
		g := &c.GroupReplies[i]
		if !inGroup([]Group{g.Group}, identity.Groups) {
			continue
		}
		before := reply
		for _, a := range g.Attributes {
			if hasType(before, a) {
				continue
			}
			if shared { // the primary's own slice, which is read-only
				reply, shared = append(make([]Attribute, 0, len(reply)+len(g.Attributes)), reply...), false
			}
			reply = append(reply, a)
		}
	}
	return reply
}

func hasType(list []Attribute, a Attribute) bool {
	for _, b := range list {
		if b.Vendor == a.Vendor && b.Type == a.Type && b.Tag == a.Tag {
			return true
		}
	}
	return false
}
