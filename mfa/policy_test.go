package mfa

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
)

// everyone is a feature that is on for all.
var everyone = Feature{Enabled: true, Include: GroupsOf(AllUsers)}

// site is a client, and the policy of all clients.
type site struct {
	Client
	Policy
}

func TestDecide(t *testing.T) {
	push := func(c *site) { c.Pusher = pusher{} }
	number := func(c *site) {
		c.Pusher, c.NumberMatching, c.NumberInPrompt, c.ShowsMessage = pusher{}, everyone, true, true
	}
	code := func(c *site) {
		c.Pusher, c.NumberMatching, c.NumberFromDevice, c.ShowsCodes = pusher{}, everyone, true, true
	}
	override := func(c *site) { c.Pusher, c.NumberMatching, c.Override = pusher{}, everyone, true }
	both := User{Devices: 1, Codes: 1}
	tests := []struct {
		name   string
		client func(*site)
		user   User
		groups []string
		facts  func(*Facts)
		plan   Plan
		reason Reason
		line   int
	}{
		{name: "blocked", client: push, user: User{Devices: 1, Blocked: true}, plan: PlanDeny, reason: ReasonUserBlocked, line: 1},
		{name: "blocked wins over an exempt client", client: func(c *site) { c.ExemptClient = true }, user: User{Blocked: true}, plan: PlanDeny, reason: ReasonUserBlocked, line: 1},
		{name: "disabled", client: push, user: both, facts: func(f *Facts) { f.Identity.Disabled = true }, plan: PlanDeny, reason: ReasonUserBlocked, line: 1},
		{name: "not in an allowed group", client: func(c *site) { push(c); c.AllowGroups = GroupsOf("staff") }, user: both, groups: []string{"guests"}, plan: PlanDeny, reason: ReasonNotAllowed, line: 1},
		{name: "not allowed wins over an exempt group", client: func(c *site) { c.AllowGroups, c.ExemptGroups = GroupsOf("staff"), GroupsOf("guests") }, groups: []string{"guests"}, plan: PlanDeny, reason: ReasonNotAllowed, line: 1},
		{name: "in an allowed group, spelled otherwise", client: func(c *site) { push(c); c.AllowGroups = GroupsOf("Staff") }, user: User{Devices: 1}, groups: []string{"STAFF"}, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "exempt client", client: func(c *site) { c.ExemptClient = true }, plan: PlanNone, reason: ReasonExemptClient, line: 2},
		{name: "exempt group", client: func(c *site) { push(c); c.ExemptGroups = GroupsOf("robots") }, user: both, groups: []string{"robots"}, plan: PlanNone, reason: ReasonExemptGroup, line: 2},
		{name: "another group is exempt", client: func(c *site) { push(c); c.ExemptGroups = GroupsOf("robots") }, user: User{Devices: 1}, groups: []string{"users"}, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "exempt address", client: func(c *site) { push(c); c.ExemptAddresses = prefixes("10.0.0.0/8") }, user: both, facts: from("10.1.2.3"), plan: PlanNone, reason: ReasonExemptAddress, line: 2},
		{name: "exempt address, written as IPv6", client: func(c *site) { c.ExemptAddresses = prefixes("10.0.0.0/8") }, facts: from("::ffff:10.1.2.3"), plan: PlanNone, reason: ReasonExemptAddress, line: 2},
		{name: "another address is exempt", client: func(c *site) { push(c); c.ExemptAddresses = prefixes("10.0.0.0/8", "2001:db8::/32") }, user: User{Devices: 1}, facts: from("192.0.2.1"), plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "every address is exempt, this one is not known", client: func(c *site) { push(c); c.ExemptAddresses = prefixes("0.0.0.0/0", "::/0") }, user: User{Devices: 1}, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "required group and exempt client", client: func(c *site) { push(c); c.ExemptClient, c.RequireGroups = true, GroupsOf("Admins") }, user: User{Devices: 1}, groups: []string{"admins"}, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "required group and exempt group", client: func(c *site) { push(c); c.ExemptGroups, c.RequireGroups = GroupsOf("robots"), GroupsOf("admins") }, user: User{Devices: 1}, groups: []string{"robots", "admins"}, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "required group and exempt address", client: func(c *site) {
			push(c)
			c.ExemptAddresses, c.RequireGroups = prefixes("10.0.0.0/8"), GroupsOf("admins")
		}, user: User{Devices: 1}, groups: []string{"admins"}, facts: from("10.1.2.3"), plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "another group is required", client: func(c *site) { c.ExemptClient, c.RequireGroups = true, GroupsOf("admins") }, groups: []string{"staff"}, plan: PlanNone, reason: ReasonExemptClient, line: 2},
		{name: "required of everyone", client: func(c *site) { push(c); c.ExemptClient, c.RequireGroups = true, GroupsOf(AllUsers) }, user: User{Devices: 1}, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "required address and exempt group", client: func(c *site) {
			push(c)
			c.ExemptGroups, c.RequireAddresses = GroupsOf("robots"), prefixes("192.0.2.0/24")
		}, user: User{Devices: 1}, groups: []string{"robots"}, facts: from("192.0.2.1"), plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "required addresses, from elsewhere", client: func(c *site) { c.ExemptGroups, c.RequireAddresses = GroupsOf("robots"), prefixes("192.0.2.0/24") }, groups: []string{"robots"}, facts: from("10.1.2.3"), plan: PlanNone, reason: ReasonExemptGroup, line: 2},
		{name: "required addresses, from an unknown address", client: func(c *site) {
			push(c)
			c.ExemptGroups, c.RequireAddresses = GroupsOf("robots"), prefixes("192.0.2.0/24")
		}, user: User{Devices: 1}, groups: []string{"robots"}, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "required, and nothing registered", client: func(c *site) { c.RequireGroups = GroupsOf("admins") }, groups: []string{"admins"}, plan: PlanDeny, reason: ReasonNotRegistered, line: 3},
		{name: "bypass", client: push, user: both, groups: []string{"Staff"}, facts: bypass("staff", ""), plan: PlanNone, reason: ReasonBypass, line: 2},
		{name: "bypass, and nothing registered", client: func(c *site) { c.RequireUserMatch = true }, groups: []string{"staff"}, facts: bypass("staff", "vpn"), plan: PlanNone, reason: ReasonBypass, line: 2},
		{name: "bypass of another group", client: push, user: User{Devices: 1}, groups: []string{"staff"}, facts: bypass("admins", ""), plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "bypass at another client", client: push, user: User{Devices: 1}, groups: []string{"staff"}, facts: bypass("staff", "gateway"), plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "bypass of everyone is none", client: push, user: User{Devices: 1}, groups: []string{"staff"}, facts: bypass(AllUsers, ""), plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "bypass of the user", client: push, user: both, facts: bypassUser("Alice", ""), plan: PlanNone, reason: ReasonBypass, line: 2},
		{name: "bypass of the user at another client", client: push, user: User{Devices: 1}, facts: bypassUser("alice", "gateway"), plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "bypass of another user", client: push, user: User{Devices: 1}, facts: bypassUser("alicia", ""), plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "bypass of a user whom no primary knows", client: push, facts: func(f *Facts) { bypassUser("alice", "")(f); f.Identity.Known = false }, plan: PlanDeny, reason: ReasonUnsureName, line: 1},
		{name: "blocked wins over a bypass of the user", user: User{Blocked: true}, facts: bypassUser("alice", ""), plan: PlanDeny, reason: ReasonUserBlocked, line: 1},
		{name: "bypass wins over require", client: func(c *site) { push(c); c.RequireGroups = GroupsOf("staff") }, user: both, groups: []string{"staff"}, facts: bypass("staff", ""), plan: PlanNone, reason: ReasonBypass, line: 2},
		{name: "blocked wins over bypass", user: User{Blocked: true}, groups: []string{"staff"}, facts: bypass("staff", ""), plan: PlanDeny, reason: ReasonUserBlocked, line: 1},
		{name: "disabled wins over bypass", groups: []string{"staff"}, facts: func(f *Facts) { bypass("staff", "")(f); f.Identity.Disabled = true }, plan: PlanDeny, reason: ReasonUserBlocked, line: 1},
		{name: "not allowed wins over bypass", client: func(c *site) { c.AllowGroups = GroupsOf("other") }, groups: []string{"staff"}, facts: bypass("staff", ""), plan: PlanDeny, reason: ReasonNotAllowed, line: 1},
		{name: "an exemption is not a use of a bypass", client: func(c *site) { c.ExemptClient = true }, groups: []string{"staff"}, facts: bypass("staff", ""), plan: PlanNone, reason: ReasonExemptClient, line: 2},
		{name: "remembered", client: push, user: User{Devices: 1}, facts: remembers, plan: PlanNone, reason: ReasonRemembered, line: 2},
		{name: "remembered, where a code is due", client: override, user: both, facts: remembers, plan: PlanNone, reason: ReasonRemembered, line: 2},
		{name: "required wins over remembered", client: func(c *site) { push(c); c.RequireGroups = GroupsOf("admins") }, user: User{Devices: 1}, groups: []string{"admins"}, facts: remembers, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "blocked wins over remembered", client: push, user: User{Devices: 1, Blocked: true}, facts: remembers, plan: PlanDeny, reason: ReasonUserBlocked, line: 1},
		{name: "not allowed wins over remembered", client: func(c *site) { push(c); c.AllowGroups = GroupsOf("staff") }, user: both, facts: remembers, plan: PlanDeny, reason: ReasonNotAllowed, line: 1},
		{name: "not registered, match required", client: func(c *site) { c.RequireUserMatch = true }, plan: PlanDeny, reason: ReasonNotRegistered, line: 3},
		{name: "not registered, unknown", facts: func(f *Facts) { f.Identity.Known = false }, plan: PlanDeny, reason: ReasonUnsureName, line: 1},
		{name: "not sure, and the client is exempt", client: func(c *site) { c.ExemptClient = true }, facts: func(f *Facts) { f.Identity.Known = false }, plan: PlanDeny, reason: ReasonUnsureName, line: 1},
		{name: "not sure, and a match is required", client: func(c *site) { c.ExemptClient, c.RequireUserMatch = true, true }, facts: func(f *Facts) { f.Identity.Known = false }, plan: PlanDeny, reason: ReasonNotRegistered, line: 1},
		{name: "not sure but registered, and the client is exempt", client: func(c *site) { c.ExemptClient = true }, user: User{Codes: 1}, facts: func(f *Facts) { f.Identity.Known = false }, plan: PlanOTP, reason: ReasonDefaultOTP, line: 6},
		{name: "not registered, no match required", plan: PlanNone, reason: ReasonNotRegisteredAllowed, line: 4},
		{name: "an expired pass counts as registered", user: User{HasPass: true}, plan: PlanDeny, reason: ReasonNoUsableMethod, line: 11},
		{name: "a pass", user: User{HasPass: true, Pass: true}, plan: PlanOTP, reason: ReasonTAP, line: 5},
		{name: "a pass goes before push", client: push, user: User{Devices: 1, HasPass: true, Pass: true}, plan: PlanOTP, reason: ReasonTAP, line: 5},
		{name: "a pass that MS-CHAPv2 cannot carry", client: push, user: User{Devices: 1, Pass: true}, facts: mschap, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "only a pass, and MS-CHAPv2", client: push, user: User{Pass: true}, facts: mschap, plan: PlanDeny, reason: ReasonNoUsableMethod, line: 11},
		{name: "only a code", client: push, user: User{Codes: 1}, plan: PlanOTP, reason: ReasonDefaultOTP, line: 6},
		{name: "a code as default", client: push, user: User{Devices: 1, Codes: 1, Default: MethodOTP}, plan: PlanOTP, reason: ReasonDefaultOTP, line: 6},
		{name: "a code as default by MS-CHAPv2", client: push, user: User{Devices: 1, Codes: 1, Default: MethodOTP}, facts: mschap, plan: PlanDeny, reason: ReasonOTPUnsupported, line: 6},
		{name: "the default method was removed", client: push, user: User{Devices: 1, Default: MethodOTP}, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "push as default, and no device", client: push, user: User{Codes: 1, Default: MethodPush}, plan: PlanOTP, reason: ReasonDefaultOTP, line: 6},
		{name: "override", client: override, user: both, plan: PlanOTP, reason: ReasonOverrideOTP, line: 7},
		{name: "override and MS-CHAPv2", client: override, user: both, facts: mschap, plan: PlanDeny, reason: ReasonOTPUnsupported, line: 7},
		{name: "override, the user has no code", client: override, user: User{Devices: 1}, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "override, number matching is off", client: func(c *site) { override(c); c.NumberMatching.Enabled = false }, user: both, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "override, the user is excluded from number matching", client: func(c *site) { override(c); c.NumberMatching.Exclude = GroupsOf("old") }, user: both, groups: []string{"Old"}, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "override, the user is not included", client: func(c *site) { override(c); c.NumberMatching.Include = GroupsOf("pilot") }, user: both, groups: []string{"staff"}, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "override, the user is included", client: func(c *site) { override(c); c.NumberMatching.Include = GroupsOf("pilot") }, user: both, groups: []string{"pilot"}, plan: PlanOTP, reason: ReasonOverrideOTP, line: 7},
		{name: "override goes before not me", client: override, user: User{Devices: 1, Codes: 1, PushBlocked: []string{"edge"}}, plan: PlanOTP, reason: ReasonOverrideOTP, line: 7},
		{name: "not me, with a code", client: push, user: User{Devices: 1, Codes: 1, PushBlocked: []string{"x", "edge"}}, plan: PlanOTP, reason: ReasonPushBlocked, line: 8},
		{name: "not me, with a code by MS-CHAPv2", client: push, user: User{Devices: 1, Codes: 1, PushBlocked: []string{"edge"}}, facts: mschap, plan: PlanDeny, reason: ReasonOTPUnsupported, line: 8},
		{name: "not me, without a code", client: push, user: User{Devices: 1, PushBlocked: []string{"edge"}}, plan: PlanDeny, reason: ReasonPushBlocked, line: 8},
		{name: "not me at another client", client: push, user: User{Devices: 1, PushBlocked: []string{"other"}}, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "fatigue, with a code", client: push, user: both, facts: func(f *Facts) { f.PushLimited = true }, plan: PlanOTP, reason: ReasonPushLimited, line: 8},
		{name: "fatigue, without a code", client: push, user: User{Devices: 1}, facts: func(f *Facts) { f.PushLimited = true }, plan: PlanDeny, reason: ReasonPushLimited, line: 8},
		{name: "fatigue, and a number can be shown", client: func(c *site) { number(c); c.TypesNumbers, c.NumberInPrompt = true, false }, user: User{Devices: 1}, facts: func(f *Facts) { f.PushLimited = true }, plan: PlanNumber, reason: ReasonPushLimited, line: 8},
		{name: "fatigue, a code goes before a number", client: func(c *site) { number(c); c.TypesNumbers = true }, user: both, facts: func(f *Facts) { f.PushLimited = true }, plan: PlanOTP, reason: ReasonPushLimited, line: 8},
		{name: "fatigue, and MS-CHAPv2 shows no number", client: func(c *site) { number(c); c.TypesNumbers = true }, user: User{Devices: 1}, facts: func(f *Facts) { f.PushLimited = true; mschap(f) }, plan: PlanDeny, reason: ReasonPushLimited, line: 8},
		{name: "fatigue, and the number is chosen or not checked", client: number, user: User{Devices: 1}, facts: func(f *Facts) { f.PushLimited = true }, plan: PlanDeny, reason: ReasonPushLimited, line: 8},
		{name: "fatigue, and the number is chosen, with a code", client: number, user: both, facts: func(f *Facts) { f.PushLimited = true }, plan: PlanOTP, reason: ReasonPushLimited, line: 8},
		{name: "fatigue, and the number is chosen, and the device shows a code", client: func(c *site) { number(c); c.ShowsCodes, c.ShowsMessage = true, false }, user: User{Devices: 1}, facts: func(f *Facts) { f.PushLimited = true }, plan: PlanCode, reason: ReasonPushLimited, line: 8},
		{name: "fatigue, and no message is shown", client: func(c *site) { number(c); c.TypesNumbers, c.ShowsMessage = true, false }, user: User{Devices: 1}, facts: func(f *Facts) { f.PushLimited = true }, plan: PlanDeny, reason: ReasonPushLimited, line: 8},
		{name: "beyond the limit no prompt is sent, number or not", client: func(c *site) { number(c); c.TypesNumbers = true }, user: User{Devices: 1}, facts: func(f *Facts) { f.PromptLimited = true }, plan: PlanDeny, reason: ReasonPushLimited, line: 8},
		{name: "too many prompts, with a code", client: push, user: both, facts: func(f *Facts) { f.PromptLimited = true }, plan: PlanOTP, reason: ReasonPushLimited, line: 8},
		{name: "not me is not helped by a number", client: func(c *site) { number(c); c.TypesNumbers = true }, user: User{Devices: 1, PushBlocked: []string{"edge"}}, plan: PlanDeny, reason: ReasonPushBlocked, line: 8},
		{name: "number", client: number, user: both, plan: PlanNumber, reason: ReasonNumberMatch, line: 9},
		{name: "number by MS-CHAPv2", client: number, user: both, facts: mschap, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "number where no message is shown", client: func(c *site) { number(c); c.ShowsMessage = false }, user: both, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "number where there is no prompt", client: func(c *site) { number(c); c.Prompts = false }, user: both, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "number_in_prompt is off", client: func(c *site) { number(c); c.NumberInPrompt = false }, user: both, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "number matching is off", client: func(c *site) { number(c); c.NumberMatching.Enabled = false }, user: both, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "code", client: code, user: User{Devices: 1}, plan: PlanCode, reason: ReasonCodeMatch, line: 9},
		{name: "code, the user has a code method", client: code, user: both, plan: PlanCode, reason: ReasonCodeMatch, line: 9},
		{name: "code, override", client: func(c *site) { code(c); c.Override = true }, user: both, plan: PlanOTP, reason: ReasonOverrideOTP, line: 7},
		{name: "code by MS-CHAPv2", client: code, user: both, facts: mschap, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "code where the message is shown", client: func(c *site) { code(c); c.ShowsMessage = true }, user: both, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "both, where the message is shown", client: func(c *site) { number(c); c.NumberFromDevice, c.ShowsCodes = true, true }, user: both, plan: PlanNumber, reason: ReasonNumberMatch, line: 9},
		{name: "both, where it is not", client: func(c *site) { code(c); c.NumberInPrompt = true }, user: both, plan: PlanCode, reason: ReasonCodeMatch, line: 9},
		{name: "code where there is no prompt", client: func(c *site) { code(c); c.Prompts = false }, user: both, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "number_from_device is off", client: func(c *site) { code(c); c.NumberFromDevice = false }, user: both, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "code, number matching is off", client: func(c *site) { code(c); c.NumberMatching.Enabled = false }, user: both, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "code, the user is excluded from number matching", client: func(c *site) { code(c); c.NumberMatching.Exclude = GroupsOf("old") }, user: both, groups: []string{"old"}, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "fatigue, and the prompt takes a code", client: func(c *site) { code(c); c.NumberFromDevice = false }, user: User{Devices: 1}, facts: func(f *Facts) { f.PushLimited = true }, plan: PlanCode, reason: ReasonPushLimited, line: 8},
		{name: "fatigue, and the devices show no code", client: func(c *site) { code(c); c.ShowsCodes = false }, user: User{Devices: 1}, facts: func(f *Facts) { f.PushLimited = true }, plan: PlanDeny, reason: ReasonPushLimited, line: 8},
		{name: "number required, and shown", client: func(c *site) { number(c); c.RequireMatching = true }, user: User{Devices: 1}, plan: PlanNumber, reason: ReasonNumberMatch, line: 9},
		{name: "number required, by MS-CHAPv2", client: func(c *site) { number(c); c.RequireMatching = true }, user: User{Devices: 1}, facts: mschap, plan: PlanDeny, reason: ReasonMatchingRequired, line: 9},
		{name: "number required, by MS-CHAPv2, with a code", client: func(c *site) { number(c); c.RequireMatching = true }, user: both, facts: mschap, plan: PlanDeny, reason: ReasonOTPUnsupported, line: 9},
		{name: "number required, and the key for the prompt is off", client: func(c *site) { number(c); c.RequireMatching, c.NumberInPrompt, c.TypesNumbers = true, false, true }, user: User{Devices: 1}, plan: PlanNumber, reason: ReasonMatchingRequired, line: 9},
		{name: "number required, of who is excluded", client: func(c *site) {
			number(c)
			c.RequireMatching, c.TypesNumbers, c.NumberMatching.Exclude = true, true, GroupsOf("old")
		}, groups: []string{"old"}, user: User{Devices: 1}, plan: PlanNumber, reason: ReasonMatchingRequired, line: 9},
		{name: "number required, and the device shows a code", client: func(c *site) { code(c); c.RequireMatching, c.NumberFromDevice = true, false }, user: User{Devices: 1}, plan: PlanCode, reason: ReasonMatchingRequired, line: 9},
		{name: "number required, and the client shows nothing", client: func(c *site) { push(c); c.Prompts, c.RequireMatching = false, true }, user: User{Devices: 1}, plan: PlanDeny, reason: ReasonMatchingRequired, line: 9},
		{name: "number required, and the prompt can ask for a passcode", client: func(c *site) { push(c); c.RequireMatching = true }, user: both, plan: PlanOTP, reason: ReasonMatchingRequired, line: 9},
		{name: "MS-CHAPv2 is not taken", client: func(c *site) { push(c); c.NoMSCHAP, c.ExemptClient = true, true }, user: User{Devices: 1}, facts: mschap, plan: PlanDeny, reason: ReasonUnsupported, line: 1},
		{name: "PAP is, then", client: func(c *site) { push(c); c.NoMSCHAP = true }, user: User{Devices: 1}, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "PAP is not taken", client: func(c *site) { push(c); c.NoPAP = true }, user: User{Devices: 1}, plan: PlanDeny, reason: ReasonUnsupported, line: 1},
		{name: "a request without a credential is neither", client: func(c *site) { push(c); c.NoPAP, c.NoMSCHAP = true, true }, user: User{Devices: 1}, facts: func(f *Facts) { f.Protocol = ProtocolNone }, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "push", client: push, user: User{Devices: 2}, plan: PlanPush, reason: ReasonApproveDeny, line: 10},
		{name: "a code came with the password", client: push, user: both, facts: appended, plan: PlanOTP, reason: ReasonAppendedCode, line: 9},
		{name: "a code came with the password, and a number would be shown", client: number, user: both, facts: appended, plan: PlanOTP, reason: ReasonAppendedCode, line: 9},
		{name: "a code came with the password, after too many prompts", client: push, user: both, facts: func(f *Facts) { appended(f); f.PushLimited = true }, plan: PlanOTP, reason: ReasonPushLimited, line: 8},
		{name: "a code came with the password of who needs none", client: func(c *site) { push(c); c.ExemptClient = true }, user: both, facts: appended, plan: PlanNone, reason: ReasonExemptClient, line: 2},
		{name: "a code came with the password, and the client has no provider", user: User{Devices: 1, Codes: 1}, facts: appended, plan: PlanDeny, reason: ReasonNoUsableMethod, line: 11},
		{name: "push, and the client has no provider", user: User{Devices: 1}, plan: PlanDeny, reason: ReasonNoUsableMethod, line: 11},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &site{Client: Client{Name: "vpn", Group: "edge", Prompts: true}}
			if tt.client != nil {
				tt.client(c)
			}
			f := &Facts{Identity: &Identity{Name: NameOf("alice"), Known: true, Groups: GroupsOf(tt.groups...)}, User: tt.user, Protocol: ProtocolPAP}
			if tt.facts != nil {
				tt.facts(f)
			}
			f.Dialog = c.Dialog(f.Protocol)
			f.CarriesCode = f.Dialog.Codes
			f.NumberMatching = c.NumberMatching.Applies(f.Identity.Groups)
			plan, reason, line := Decide(&c.Client, f)
			if plan != tt.plan || reason != tt.reason || line.N != tt.line {
				t.Errorf("got %s %s line %d, want %s %s line %d", plan, reason, line.N, tt.plan, tt.reason, tt.line)
			}
		})
	}
}

func mschap(f *Facts) { f.Protocol = ProtocolMSCHAPv2 }

func from(address string) func(*Facts) {
	return func(f *Facts) { f.Address = netip.MustParseAddr(address) }
}

func bypass(group, client string) func(*Facts) {
	return func(f *Facts) {
		f.Bypasses = []Bypass{{Group: GroupOf("nobody")}, {Group: GroupOf(group), Client: client}}
	}
}

func bypassUser(user, client string) func(*Facts) {
	return func(f *Facts) { f.Bypasses = []Bypass{{User: NameOf("nobody")}, {User: NameOf(user), Client: client}} }
}

func prefixes(list ...string) (ps []netip.Prefix) {
	for _, p := range list {
		ps = append(ps, netip.MustParsePrefix(p))
	}
	return ps
}

func appended(f *Facts) { f.AppendedCode = true }

func remembers(f *Facts) { f.Remembered = true }

func TestDefaultMethod(t *testing.T) {
	tests := []struct {
		user User
		want Method
	}{
		{User{}, ""},
		{User{Pass: true, HasPass: true}, ""},
		{User{Pass: true, Default: MethodOTP}, ""},
		{User{Codes: 1}, MethodOTP},
		{User{Devices: 1}, MethodPush},
		{User{Devices: 1, Codes: 1}, MethodPush},
		{User{Devices: 1, Codes: 1, Default: MethodOTP}, MethodOTP},
		{User{Devices: 1, Codes: 1, Default: MethodPush}, MethodPush},
		{User{Devices: 1, Default: MethodOTP}, MethodPush},
		{User{Codes: 1, Default: MethodPush}, MethodOTP},
		{User{Devices: 1, Codes: 1, Default: "carrier-pigeon"}, MethodPush},
	}
	for _, tt := range tests {
		if got := tt.user.DefaultMethod(); got != tt.want {
			t.Errorf("%+v: got %q, want %q", tt.user, got, tt.want)
		}
	}
}

// TestDecideAlways asserts of every combination of facts what must hold
// whatever the order of the lines.
func TestDecideAlways(t *testing.T) {
	const bits = 23
	sample := 1
	if testing.Short() {
		sample = 61
	}
	always := func(step int, change func(*site)) {
		for n := 0; n < 1<<bits; n += step * sample {
			c, f, repeated := combination(n)
			if repeated {
				continue
			}
			change(c)
			plan, reason, line := Decide(&c.Client, f)
			for _, problem := range wrongPlan(c, f, plan, reason) {
				t.Fatalf("combination %#x: %s (%s %s line %d)\nclient %+v\nfacts %+v", n, problem, plan, reason, line.N, c, f)
			}
			if again, r, _ := Decide(&c.Client, f); again != plan || r != reason {
				t.Fatalf("combination %#x: not pure", n)
			}
			firstFit(t, c, f, line)
		}
	}
	always(1, func(*site) {})
	// An odd step sees every combination of up to a dozen bits, and is fast.
	always(7, func(c *site) { c.RequireMatching = true })
	always(31, func(c *site) { c.NoPAP = true })
	always(31, func(c *site) { c.NoMSCHAP = true })
}

// Made once, for millions of combinations.
var alice, inG, exemptG, allowOther = NameOf("alice"), GroupsOf("g"), GroupsOf("G"), GroupsOf("other")

// combination takes each bit of n as one fact. Some depend on others: where bits are
// left over it repeats the combination without them.
func combination(n int) (c *site, f *Facts, repeated bool) {
	bit := func() bool { b := n&1 == 1; n >>= 1; return b }
	count := func() int {
		if bit() {
			return 1
		}
		return 0
	}
	c = &site{Client: Client{Name: "vpn", Group: "edge"}, Policy: Policy{NumberMatching: everyone}}
	f = &Facts{Identity: &Identity{Name: alice, Groups: inG}}
	u := &f.User
	u.Devices, u.Codes, u.Blocked, u.HasPass = count(), count(), bit(), bit()
	u.Pass = u.HasPass && bit()
	if bit() {
		u.Default = MethodOTP
	}
	if bit() {
		u.PushBlocked = []string{"edge"}
	}
	f.PushLimited, f.Identity.Known, f.Identity.Disabled = bit(), bit(), bit()
	if f.Protocol = ProtocolMSCHAPv2; bit() {
		f.Protocol = ProtocolPAP
	}
	pap := f.Protocol == ProtocolPAP
	c.Prompts, c.Override, c.NumberInPrompt, c.RequireUserMatch = bit(), bit(), bit(), bit()
	c.ShowsMessage, c.TypesNumbers, c.NumberFromDevice, c.ShowsCodes = c.Prompts && bit(), bit(), bit(), true
	if bit() {
		c.ExemptGroups = exemptG
	}
	if bit() {
		c.AllowGroups = allowOther
	}
	if bit() {
		c.Pusher = pusher{}
	}
	c.NumberMatching.Enabled = bit()
	f.NumberMatching = c.NumberMatching.Applies(inG)
	f.AppendedCode = pap && u.Codes > 0 && bit()
	f.Dialog = c.Dialog(f.Protocol)
	f.CarriesCode = pap && (c.Prompts || f.AppendedCode)
	return c, f, n != 0
}

func wrongPlan(c *site, f *Facts, plan Plan, reason Reason) (problems []string) {
	u, pap := &f.User, f.Protocol == ProtocolPAP
	rule := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Sprintf(format, args...))
		}
	}
	exempt := len(c.ExemptGroups) > 0
	registered := u.Devices > 0 || u.Codes > 0 || u.HasPass
	out := u.Blocked || f.Identity.Disabled || len(c.AllowGroups) > 0
	rule(!out || plan == PlanDeny, "who is out gets in")
	rule(c.Takes(f.Protocol) || plan == PlanDeny && reason == ReasonUnsupported, "a protocol that the client does not take")
	rule(plan != PlanPush || !c.RequireMatching, "a plain approve/deny where a number is required")
	rule(plan != PlanNone || exempt || !registered, "a registered user needs no factor")
	rule(plan != PlanNone || exempt || !c.RequireUserMatch && f.Identity.Known, "someone unknown needs no factor")
	rule(plan != PlanOTP || f.CarriesCode, "a code that the login cannot carry")
	rule(plan != PlanOTP || u.Codes > 0 || u.Pass, "a code that the user has not")
	rule(!plan.Prompts() || u.Devices > 0 && c.Pusher != nil, "a prompt that no device can show")
	rule(!plan.Prompts() || len(u.PushBlocked) == 0, "a prompt after \"not me\"")
	rule(!plan.Prompts() || plan == PlanCode || plan == PlanNumber && c.TypesNumbers || !f.PushLimited, "a prompt after too many that a blind tap may approve")
	rule(plan != PlanCode || pap && c.Prompts && !c.ShowsMessage && (c.NumberFromDevice && c.NumberMatching.Enabled || f.PushLimited || c.RequireMatching), "a code that cannot be typed")
	rule(plan != PlanNumber || pap && c.Prompts && c.ShowsMessage && (c.NumberInPrompt && c.NumberMatching.Enabled || f.PushLimited || c.RequireMatching), "a number that is not shown")
	rule(!plan.Prompts() || !f.AppendedCode, "a prompt beside a code that came with the password")
	rule(!plan.Prompts() || u.DefaultMethod() == MethodPush, "a prompt that is not the default")
	rule(!plan.Prompts() || !(c.Override && c.NumberMatching.Enabled && u.Codes > 0), "the override does not hold")
	rule(reason != ReasonOTPUnsupported || plan == PlanDeny && !f.CarriesCode, "otp_unsupported")
	rule(reason != "", "no reason")
	return problems
}

// firstFit checks that no line before the one that decided fits.
func firstFit(t *testing.T, c *site, f *Facts, decided Line) {
	t.Helper()
	for _, l := range PlanTable() {
		if l.If == decided.If {
			return
		}
		if _, _, fits := l.Try(&c.Client, f); fits {
			t.Fatalf("line %d %q fits before line %d", l.N, l.If, decided.N)
		}
	}
	t.Fatal("the line that decided is not in the table")
}

func TestPlanTable(t *testing.T) {
	last := 0
	for _, l := range PlanTable() {
		if l.N != last && l.N != last+1 {
			t.Errorf("line %d follows line %d", l.N, last)
		}
		if l.If == "" {
			t.Errorf("line %d has no condition to show", l.N)
		}
		last = l.N
	}
	if last != 11 {
		t.Errorf("the last line is %d, want 11", last)
	}
}

func TestFeatureApplies(t *testing.T) {
	tests := []struct {
		name   string
		f      Feature
		groups []string
		want   bool
	}{
		{"everyone", everyone, nil, true},
		{"off", Feature{Include: GroupsOf(AllUsers)}, nil, false},
		{"nobody included", Feature{Enabled: true}, []string{"a"}, false},
		{"included", Feature{Enabled: true, Include: GroupsOf("a", "b")}, []string{"B"}, true},
		{"not included", Feature{Enabled: true, Include: GroupsOf("a")}, []string{"b"}, false},
		{"exclude wins", Feature{Enabled: true, Include: GroupsOf(AllUsers, "a"), Exclude: GroupsOf("a")}, []string{"a"}, false},
		{"everyone excluded", Feature{Enabled: true, Include: GroupsOf(AllUsers), Exclude: GroupsOf(AllUsers)}, nil, false},
	}
	for _, tt := range tests {
		if got := tt.f.Applies(GroupsOf(tt.groups...)); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
}

// pusher is one that is never asked.
type pusher struct{}

func (pusher) Abilities() PushAbilities { return PushAbilities{} }

func (pusher) Push(context.Context, Prompt) (Approval, error) { panic("asked") }
