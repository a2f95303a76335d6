package mfa

import "testing"

// TestPushProvider: a prompt is planned only where the user has a device at the
// provider of the client; a device elsewhere still counts as registered.
func TestPushProvider(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		user     User
		provider string
		plan     Plan
		reason   Reason
	}{
		{"ours at ours", User{Devices: 1}, "", PlanPush, ReasonApproveDeny},
		{"chat at chat", User{Devices: 1, Elsewhere: []string{"chat"}}, "chat", PlanPush, ReasonApproveDeny},
		{"ours at chat", User{Devices: 1}, "chat", PlanDeny, ReasonNoUsableMethod},
		{"chat at ours", User{Devices: 1, Elsewhere: []string{"chat"}}, "", PlanDeny, ReasonNoUsableMethod},
		{"talk at chat", User{Devices: 1, Elsewhere: []string{"talk"}}, "chat", PlanDeny, ReasonNoUsableMethod},
		{"both at ours", User{Devices: 2, Elsewhere: []string{"chat"}}, "", PlanPush, ReasonApproveDeny},
		{"both at chat", User{Devices: 2, Elsewhere: []string{"chat"}}, "chat", PlanPush, ReasonApproveDeny},
		{"none", User{}, "chat", PlanNone, ReasonNotRegisteredAllowed}, // require_user_match: false
	} {
		plan, reason, _ := Decide(&Client{Pusher: (*anyPusher)(nil), PushProvider: c.provider}, &Facts{Identity: &Identity{Name: NameOf("anna"), Known: true}, User: c.user})
		if plan != c.plan || reason != c.reason {
			t.Errorf("%s: got %v %s, want %v %s", c.name, plan, reason, c.plan, c.reason)
		}
	}
}

// anyPusher is never called.
type anyPusher struct{ Pusher }
