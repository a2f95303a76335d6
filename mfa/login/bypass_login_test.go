package login

import (
	"github.com/radmatch/radmatch/mfa"
	"net/netip"
	"testing"
)

// activeBypasses are in force for the whole of a test.
type activeBypasses []mfa.Bypass

func (b activeBypasses) Bypasses() []mfa.Bypass { return b }

// The engine hands the plan what the request and the store say, and what it then
// carries are the attributes of the groups too, also after a challenge.
func TestExemptLogins(t *testing.T) {
	table(t, map[string]func(*testing.T, *rig){
		"an exempt address": func(t *testing.T, r *rig) {
			r.client.ExemptAddresses = prefixList("198.51.100.0/24")
			q := r.request("alice")
			q.Address = netip.MustParseAddr("198.51.100.7")
			r.send(q).want(mfa.Accept, mfa.ReasonExemptAddress)
			r.prompted(0)
		},
		"the end-user field is no address": func(t *testing.T, r *rig) {
			r.client.ExemptAddresses = prefixList("0.0.0.0/0")
			a := r.send(r.request("alice")) // its EndUser looks like one, its Address is not known
			a.wantWaits()
			r.prompted(1).decides(nil)
			a.want(mfa.Accept, mfa.ReasonApproveDeny)
		},
		"a bypass": func(t *testing.T, r *rig) {
			r.primary.groups = []string{"staff"}
			r.Engine.Bypasses = activeBypasses{{Group: mfa.GroupOf("staff")}}
			r.send(r.request("alice")).want(mfa.Accept, mfa.ReasonBypass)
			wrong := r.request("alice")
			wrong.Cred = mfa.Password("wrong")
			r.send(wrong).want(mfa.Reject, mfa.ReasonWrongPassword)
			r.users.set("alice", func(u *mfa.User) { u.Blocked = true })
			r.send(r.request("alice")).want(mfa.Reject, mfa.ReasonUserBlocked)
		},
		"a bypass is no primary": func(t *testing.T, r *rig) {
			r.primary.groups = []string{"staff"}
			r.Engine.Bypasses = activeBypasses{{Group: mfa.GroupOf("staff")}}
			q := r.request("alice")
			q.Cred = mfa.Unsupported{What: "CHAP"}
			r.send(q).want(mfa.Reject, mfa.ReasonUnsupported)
		},
		"attributes of a group after a challenge": func(t *testing.T, r *rig) {
			r.primary.groups = []string{"staff"}
			r.client.GroupReplies = []mfa.GroupReply{{Group: mfa.GroupOf("staff"), Attributes: []mfa.Attribute{{Type: 11, Value: []byte("staff")}, {Type: 25, Value: []byte("staff")}}}}
			d := r.sendAnswer(r.send(r.request("bob")), "123456").want(mfa.Accept, "")
			if len(d.Identity.Attributes) != 2 || string(d.Identity.Attributes[0].Value) != "of bob" || string(d.Identity.Attributes[1].Value) != "staff" {
				t.Errorf("got %v", d.Identity.Attributes)
			}
		},
	})
}

func prefixList(list ...string) (ps []netip.Prefix) {
	for _, s := range list {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}
