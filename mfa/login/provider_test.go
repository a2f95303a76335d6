package login

import (
	"github.com/radmatch/radmatch/mfa"
	"testing"
)

// TestPushProvider: a prompt is planned only where the user has a device at the
// provider of the client; a device elsewhere still counts as registered.
func TestPushProvider(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		user     mfa.User
		provider string
		plan     mfa.Plan
		reason   mfa.Reason
	}{
		{"ours at ours", mfa.User{Devices: 1}, "", mfa.PlanPush, mfa.ReasonApproveDeny},
		{"chat at chat", mfa.User{Devices: 1, Elsewhere: []string{"chat"}}, "chat", mfa.PlanPush, mfa.ReasonApproveDeny},
		{"ours at chat", mfa.User{Devices: 1}, "chat", mfa.PlanDeny, mfa.ReasonNoUsableMethod},
		{"chat at ours", mfa.User{Devices: 1, Elsewhere: []string{"chat"}}, "", mfa.PlanDeny, mfa.ReasonNoUsableMethod},
		{"talk at chat", mfa.User{Devices: 1, Elsewhere: []string{"talk"}}, "chat", mfa.PlanDeny, mfa.ReasonNoUsableMethod},
		{"both at ours", mfa.User{Devices: 2, Elsewhere: []string{"chat"}}, "", mfa.PlanPush, mfa.ReasonApproveDeny},
		{"both at chat", mfa.User{Devices: 2, Elsewhere: []string{"chat"}}, "chat", mfa.PlanPush, mfa.ReasonApproveDeny},
		{"none", mfa.User{}, "chat", mfa.PlanNone, mfa.ReasonNotRegisteredAllowed}, // require_user_match: false
	} {
		plan, reason, _ := mfa.Decide(&mfa.Client{Pusher: (*anyPusher)(nil), PushProvider: c.provider}, &mfa.Facts{Identity: &mfa.Identity{Name: mfa.NameOf("anna"), Known: true}, User: c.user, Protocol: mfa.ProtocolMSCHAPv2})
		if plan != c.plan || reason != c.reason {
			t.Errorf("%s: got %v %s, want %v %s", c.name, plan, reason, c.plan, c.reason)
		}
	}
}

// anyPusher is never called.
type anyPusher struct{ mfa.Pusher }
