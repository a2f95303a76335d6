package login

import (
	"errors"
	"fmt"
	"github.com/radmatch/radmatch/mfa"
	"testing"
)

// gateway is a client as an RD Gateway is: no password, no prompts.
func (r *rig) gateway(name, group string) *mfa.Client {
	c := r.newClient(name, group)
	c.NoPassword, c.Prompts, c.ShowsMessage, c.Finder = true, false, false, r.primary
	return c
}

// desktop is what alice's desktop client makes the gateway send.
func (r *rig) desktop(c *mfa.Client, user string) *mfa.Request {
	q := r.request(user)
	q.Client, q.Cred, q.EndUser = c, mfa.NoCredential{}, "PC-17"
	return q
}

func TestGateway(t *testing.T) {
	tests := map[string]func(t *testing.T, r *rig, c *mfa.Client){
		"approved": func(t *testing.T, r *rig, c *mfa.Client) {
			a := r.send(r.desktop(c, `CORP\Alice`))
			a.wantWaits()
			g := r.prompted(1)
			if q := g.Requests[0]; q.EndUser != "PC-17" || !q.Claimed {
				t.Errorf("the prompt shows %+v, want the machine as claimed", q)
			}
			g.decides(nil)
			d := a.want(mfa.Accept, mfa.ReasonApproveDeny)
			if len(d.Identity.Attributes) != 1 || string(d.Identity.Attributes[0].Value) != "of Alice" {
				t.Errorf("attributes %v", d.Identity.Attributes)
			}
			if r.primary.calls != 0 {
				t.Error("the primary was asked to check a password")
			}
		},
		"an address without a voucher is claimed": func(t *testing.T, r *rig, c *mfa.Client) {
			q := r.desktop(c, "alice")
			q.EndUser = "203.0.113.7"
			r.send(q)
			if g := r.prompted(1); !g.Requests[0].Claimed {
				t.Error("a machine that calls itself 203.0.113.7 is shown as that address")
			}
		},
		"asked again": func(t *testing.T, r *rig, c *mfa.Client) {
			var all []*answer
			for i := range 10 {
				q := r.desktop(c, "alice")
				q.Source = fmt.Sprintf("192.0.2.1:%d", 40000+i)
				all = append(all, r.send(q))
			}
			r.prompted(1).decides(nil)
			for _, a := range all {
				a.want(mfa.Accept, mfa.ReasonApproveDeny)
			}
		},
		"another machine does not join": func(t *testing.T, r *rig, c *mfa.Client) {
			r.send(r.desktop(c, "alice"))
			q := r.desktop(c, "alice")
			q.EndUser = "PC-18"
			r.send(q).want(mfa.Discard, mfa.ReasonPromptPending)
		},
		"no machine name does not join": func(t *testing.T, r *rig, c *mfa.Client) {
			q := r.desktop(c, "alice")
			q.EndUser = ""
			r.send(q)
			again := r.desktop(c, "alice")
			again.EndUser = ""
			r.send(again).want(mfa.Discard, mfa.ReasonPromptPending)
		},
		"the profile does not allow it": func(t *testing.T, r *rig, c *mfa.Client) {
			c.NoPassword = false
			r.send(r.desktop(c, "alice")).want(mfa.Reject, mfa.ReasonUnsupported)
		},
		"unsigned": func(t *testing.T, r *rig, c *mfa.Client) {
			q := r.desktop(c, "alice")
			q.Signed = false
			r.send(q).want(mfa.Reject, mfa.ReasonUnsupported)
		},
		"nothing finds users": func(t *testing.T, r *rig, c *mfa.Client) {
			c.Finder = nil
			r.send(r.desktop(c, "alice")).want(mfa.Reject, mfa.ReasonUnsupported)
		},
		"unknown user": func(t *testing.T, r *rig, c *mfa.Client) {
			c.RequireUserMatch, c.ExemptClient = false, true
			r.send(r.desktop(c, "nobody")).want(mfa.Reject, mfa.ReasonUnknownUser)
		},
		"not known to the primary, and a match is not required": func(t *testing.T, r *rig, c *mfa.Client) {
			c.RequireUserMatch = false
			r.send(r.desktop(c, "unsure")).want(mfa.Reject, mfa.ReasonUnsureName)
		},
		"known to the primary, and a match is not required": func(t *testing.T, r *rig, c *mfa.Client) {
			c.RequireUserMatch = false
			r.send(r.desktop(c, "dave")).want(mfa.Accept, mfa.ReasonNotRegisteredAllowed)
		},
		"not registered": func(t *testing.T, r *rig, c *mfa.Client) {
			r.send(r.desktop(c, "dave")).want(mfa.Reject, mfa.ReasonNotRegistered)
		},
		"disabled": func(t *testing.T, r *rig, c *mfa.Client) {
			r.users.set("gone", func(u *mfa.User) { u.Devices = 1 })
			r.send(r.desktop(c, "gone")).want(mfa.Reject, mfa.ReasonUserBlocked)
		},
		"a name of nothing": func(t *testing.T, r *rig, c *mfa.Client) {
			c.ExemptClient = true
			r.send(r.desktop(c, "")).want(mfa.Reject, mfa.ReasonInternalError)
		},
		"the directory is down": func(t *testing.T, r *rig, c *mfa.Client) {
			c.ExemptClient = true
			r.primary.fail = func() error { return errors.New("down") }
			r.send(r.desktop(c, "alice")).want(mfa.Discard, mfa.ReasonPrimaryError)
			c.OnPrimaryError = mfa.Accept
			r.send(r.desktop(c, "alice")).want(mfa.Reject, mfa.ReasonPrimaryError)
		},
		"the user has only a passcode": func(t *testing.T, r *rig, c *mfa.Client) {
			r.send(r.desktop(c, "bob")).want(mfa.Reject, mfa.ReasonOTPUnsupported)
			if ev := r.journal.last(t); ev.Text != "Challenge requested in Authentication Ext for User bob" {
				t.Errorf("event text: got %q; want \"Challenge requested in Authentication Ext for User bob\"", ev.Text)
			}
		},
		"the override is TRUE and the user has both": func(t *testing.T, r *rig, c *mfa.Client) {
			c.Override = true
			r.users.set("alice", func(u *mfa.User) { u.Codes = 1 })
			r.send(r.desktop(c, "alice")).want(mfa.Reject, mfa.ReasonOTPUnsupported)
			r.prompted(0)
			c.Override = false
			r.send(r.desktop(c, "alice")).wantWaits()
		},
		"a number cannot be shown": func(t *testing.T, r *rig, c *mfa.Client) {
			c.NumberInPrompt = true
			r.send(r.desktop(c, "alice")).wantWaits()
			if r.prompted(1).Number != "" {
				t.Error("the device asks for a number that nobody sees")
			}
		},
		"with a password": func(t *testing.T, r *rig, c *mfa.Client) {
			q := r.desktop(c, "alice")
			q.Cred = mfa.Password("wrong")
			r.send(q).want(mfa.Reject, mfa.ReasonWrongPassword)
			q = r.desktop(c, "alice")
			q.Cred = mfa.Password("right")
			r.send(q).wantWaits()
			if r.primary.calls != 2 {
				t.Errorf("the primary was asked %d times, want 2", r.primary.calls)
			}
		},
		"an answer to a challenge": func(t *testing.T, r *rig, c *mfa.Client) {
			q := r.desktop(c, "alice")
			q.State = "s"
			r.send(q).want(mfa.Reject, mfa.ReasonUnsupported)
		},
	}
	for name, f := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) { f(t, r, r.gateway("rdg", "rdg")) })
		})
	}
}
