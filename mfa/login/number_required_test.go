package login

import (
	"github.com/radmatch/radmatch/mfa"
	"testing"
)

// Where a number is due or required, no protocol leads to a plain approve/deny.
func TestNoWayAroundTheNumber(t *testing.T) {
	table(t, map[string]func(*testing.T, *rig){
		"required": func(t *testing.T, r *rig) {
			r.client.NumberInPrompt, r.client.RequireMatching = true, true
			r.send(r.mschap("alice", 1)).want(mfa.Reject, mfa.ReasonMatchingRequired)
			r.prompted(0)
			r.send(r.request("alice")).want(mfa.Challenge, mfa.ReasonNumberMatch)
			if g := r.prompted(1); g.Number == "" {
				t.Error("got a plain prompt; want one with a number")
			}
		},
		"only PAP": func(t *testing.T, r *rig) {
			r.client.NumberInPrompt, r.client.NoMSCHAP = true, true
			r.send(r.mschap("alice", 1)).want(mfa.Reject, mfa.ReasonUnsupported)
			if r.primary.calls != 0 {
				t.Error("got the primary asked; want no question")
			}
			r.prompted(0)
		},
		"only MS-CHAPv2": func(t *testing.T, r *rig) {
			r.client.NoPAP = true
			r.send(r.request("alice")).want(mfa.Reject, mfa.ReasonUnsupported)
			if r.primary.calls != 0 {
				t.Error("got the primary asked; want no question")
			}
			r.send(r.mschap("alice", 1)).wantWaits()
		},
		"an answer to a challenge is no password": func(t *testing.T, r *rig) {
			a := r.send(r.request("bob"))
			r.client.NoPAP = true
			r.sendAnswer(a, "123456").want(mfa.Accept, "")
		},
	})
}
