package mfa

import (
	"errors"
	"net/netip"
)

// Plan is what policy decides for one login. The zero value denies.
type Plan int

// The plans.
const (
	PlanDeny   Plan = iota
	PlanNone        // no second factor
	PlanPush        // approve or deny on a device
	PlanNumber      // a number in the prompt, typed on the device
	PlanOTP         // a passcode
	PlanCode        // approve or deny on a device, which then shows a code for the prompt
)

var plans = [...]string{"deny", "none", "push", "number", "otp", "code"}

func (p Plan) String() string { return plans[p] }

// Prompts reports whether the plan sends a prompt to the user's devices.
func (p Plan) Prompts() bool { return p == PlanPush || p == PlanNumber || p == PlanCode }

// MarshalText writes the plan's name.
func (p Plan) MarshalText() ([]byte, error) { return []byte(plans[p]), nil }

// UnmarshalText reads the plan's name.
func (p *Plan) UnmarshalText(b []byte) error {
	for i, s := range plans {
		if s == string(b) {
			*p = Plan(i)
			return nil
		}
	}
	return errors.New("unknown plan")
}

// Reason is a stable code that events, `explain` and the metrics carry.
type Reason string

// The reasons of the plan table, in its order.
const (
	ReasonUserBlocked          Reason = "user_blocked"
	ReasonNotAllowed           Reason = "not_allowed"
	ReasonUnsureName           Reason = "unsure_name"
	ReasonExemptClient         Reason = "exempt_client"
	ReasonExemptAddress        Reason = "exempt_address"
	ReasonExemptGroup          Reason = "exempt_group"
	ReasonBypass               Reason = "bypass"
	ReasonRemembered           Reason = "remembered"
	ReasonNotRegistered        Reason = "not_registered"
	ReasonNotRegisteredAllowed Reason = "not_registered_allowed"
	ReasonTAP                  Reason = "tap"
	ReasonDefaultOTP           Reason = "default_otp"
	ReasonOverrideOTP          Reason = "override_otp"
	ReasonPushBlocked          Reason = "push_blocked"
	ReasonPushLimited          Reason = "push_limited"
	ReasonAppendedCode         Reason = "appended_code"
	ReasonNumberMatch          Reason = "number_match"
	ReasonCodeMatch            Reason = "code_match"
	ReasonMatchingRequired     Reason = "number_matching_required"
	ReasonApproveDeny          Reason = "approve_deny"
	ReasonNoUsableMethod       Reason = "no_usable_method"
	ReasonOTPUnsupported       Reason = "otp_unsupported"
)

// The reasons of what happens before and after the plan.
const (
	ReasonWrongPassword Reason = "wrong_password"
	// ReasonTooManyAttempts: not examined, because too many wrong passwords came before it.
	ReasonTooManyAttempts  Reason = "too_many_attempts"
	ReasonUnknownUser      Reason = "unknown_user" // of a request without a password
	ReasonPasswordExpired  Reason = "password_expired"
	ReasonMustChange       Reason = "must_change_password"
	ReasonAccountDisabled  Reason = "account_disabled"
	ReasonAccountExpired   Reason = "account_expired"
	ReasonAccountLocked    Reason = "account_locked"
	ReasonLogonHours       Reason = "logon_hours"
	ReasonLogonWorkstation Reason = "logon_workstation"
	// ReasonAccountRestricted: the directory does not let this account sign in in
	// this way; MS-CHAPv2 of a member of Protected Users ends so.
	ReasonAccountRestricted Reason = "account_restricted"
	ReasonNoDialIn          Reason = "no_dial_in"
	ReasonEmptyPassword     Reason = "empty_password"
	ReasonUnsupported       Reason = "unsupported_credential"
	ReasonPrimaryChallenge  Reason = "primary_challenge" // it asks, and this client cannot show that, or too often
	ReasonPrimaryError      Reason = "primary_error"
	ReasonMFAError          Reason = "mfa_error"
	ReasonInternalError     Reason = "internal_error"
	ReasonReplyTooLong      Reason = "reply_too_long" // the reply attributes do not fit into an answer to this client
	ReasonReplyInvalid      Reason = "reply_invalid"  // the primary has a value that cannot be sent as the attribute that it should become
	ReasonWrongCode         Reason = "wrong_code"
	ReasonCodeUsed          Reason = "code_used"
	ReasonCodesLocked       Reason = "codes_locked"
	ReasonTooManyLogins     Reason = "too_many_logins"
	ReasonOverload          Reason = "overload"
	ReasonStateUnknown      Reason = "state_unknown" // forged, used, expired, or another user's or client's
	ReasonPushDenied        Reason = "push_denied"
	ReasonNotMe             Reason = "not_me"
	ReasonWrongNumber       Reason = "wrong_number"
	ReasonPushNoResponse    Reason = "push_no_response"
	ReasonNASTimeout        Reason = "nas_timeout" // the client waits no longer, and the prompt was taken back
	ReasonPromptPending     Reason = "prompt_pending"
	ReasonRecentlyDenied    Reason = "recently_denied"
	ReasonChallengeExpired  Reason = "challenge_expired" // nobody answered in challenge_ttl
	ReasonSuperseded        Reason = "superseded"        // the same origin signed in anew, or the NAS reused the identifier
	ReasonAbandoned         Reason = "abandoned"         // the NAS gave up before a decision
	ReasonCancelled         Reason = "cancelled"         // the user gave up
	ReasonShutdown          Reason = "shutdown"
)

// ReasonDeviceAdded is the reason of an administrative event: a user has a new
// device, which their other devices show.
const ReasonDeviceAdded Reason = "device_added"

// Facts is what the plan is decided from; Engine.Facts makes them. Decide is pure:
// the same facts give the same plan.
type Facts struct {
	Identity *Identity
	User     User
	Protocol Protocol // of the first factor
	Dialog   Dialog   // what the screen of this login can do
	// NumberMatching: by policy, for the groups of the user.
	NumberMatching bool
	// CarriesCode: this login can bring a passcode to us, in the dialog or with the password.
	CarriesCode bool
	// AppendedCode: what came with the password has the form of one of the user's codes.
	AppendedCode  bool
	PushLimited   bool // the fatigue limit is reached
	PromptLimited bool // as many prompts as one user may get were sent
	// Address is the end user's, as Request.Address: invalid where it is not known.
	Address    netip.Addr
	Bypasses   []Bypass // those in force now
	Remembered bool     // the user's devices have approved a login from this origin a while ago
}

// Line is one line of the plan table: the first that fits decides.
type Line struct {
	N      int    // its number in docs/plans.md
	If     string // its condition, for `explain`
	decide func(c *Client, f *Facts) (Plan, Reason, bool)
}

// Decide returns the plan of a login, the reason, and the line that decided.
func Decide(c *Client, f *Facts) (Plan, Reason, Line) {
	for _, l := range planTable {
		if plan, reason, fits := l.decide(c, f); fits {
			if plan == PlanOTP && !f.CarriesCode {
				return PlanDeny, ReasonOTPUnsupported, l
			}
			return plan, reason, l
		}
	}
	panic("mfa: internal error: the plan table has no last line")
}

// PlanTable returns the lines in their order.
func PlanTable() []Line { return planTable[:] }

// Try evaluates a single line, for `explain`.
func (l Line) Try(c *Client, f *Facts) (plan Plan, reason Reason, fits bool) { return l.decide(c, f) }

// planTable is written nowhere. Its lines are those of docs/plans.md.
var planTable = [...]Line{
	{1, "the client does not take this protocol", func(c *Client, f *Facts) (Plan, Reason, bool) {
		return PlanDeny, ReasonUnsupported, !c.Takes(f.Protocol)
	}},
	{1, "the user is blocked or disabled", func(_ *Client, f *Facts) (Plan, Reason, bool) {
		return PlanDeny, ReasonUserBlocked, f.User.Blocked || f.Identity.Disabled
	}},
	{1, "the user is not in a group that this client allows", func(c *Client, f *Facts) (Plan, Reason, bool) {
		return PlanDeny, ReasonNotAllowed, len(c.AllowGroups) > 0 && !inGroup(c.AllowGroups, f.Identity.Groups)
	}},
	{1, "no method is registered, and the primary cannot tell for sure whose name this is", func(c *Client, f *Facts) (Plan, Reason, bool) {
		reason := ReasonUnsureName
		if c.RequireUserMatch || Required(c, f) != "" {
			reason = ReasonNotRegistered
		}
		return PlanDeny, reason, !f.Identity.Known && !f.User.Registered()
	}},
	{2, "the client is exempt, and no second factor is required", exempt(ReasonExemptClient, func(c *Client, _ *Facts) bool {
		return c.ExemptClient
	})},
	{2, "the end user's address is exempt, and no second factor is required", exempt(ReasonExemptAddress, func(c *Client, f *Facts) bool {
		return MatchAddress(c.ExemptAddresses, f.Address).IsValid()
	})},
	{2, "a group of the user is exempt, and no second factor is required", exempt(ReasonExemptGroup, func(c *Client, f *Facts) bool {
		return inGroup(c.ExemptGroups, f.Identity.Groups)
	})},
	{2, "a bypass is in force for the user or a group of the user", func(c *Client, f *Facts) (Plan, Reason, bool) {
		b := BypassFor(c, f) // one for this user means this name, also one that is not sure
		return PlanNone, ReasonBypass, b != nil && (f.Identity.Known || !b.User.IsZero())
	}},
	{2, "an approval from the same origin is remembered, and no second factor is required", func(c *Client, f *Facts) (Plan, Reason, bool) {
		return PlanNone, ReasonRemembered, f.Remembered && Required(c, f) == ""
	}},
	{3, "no method is registered, and a match or a second factor is required", func(c *Client, f *Facts) (Plan, Reason, bool) {
		return PlanDeny, ReasonNotRegistered, !f.User.Registered() && (c.RequireUserMatch || Required(c, f) != "")
	}},
	{4, "no method is registered, and none is required", func(_ *Client, f *Facts) (Plan, Reason, bool) {
		return PlanNone, ReasonNotRegisteredAllowed, !f.User.Registered()
	}},
	{5, "a Temporary Access Pass is valid and the login can carry a passcode", func(_ *Client, f *Facts) (Plan, Reason, bool) {
		return PlanOTP, ReasonTAP, f.User.Pass && f.CarriesCode
	}},
	{6, "the default method is a passcode", func(_ *Client, f *Facts) (Plan, Reason, bool) {
		return PlanOTP, ReasonDefaultOTP, f.User.DefaultMethod() == MethodOTP
	}},
	{7, "number matching applies, the override is TRUE, and the user has a passcode", func(c *Client, f *Facts) (Plan, Reason, bool) {
		return PlanOTP, ReasonOverrideOTP, defaultPush(f) && f.NumberMatching && c.Override && f.User.Codes > 0
	}},
	{8, `"this was not me" stands for this user and client`, func(c *Client, f *Facts) (Plan, Reason, bool) {
		return f.User.otpElseDeny(), ReasonPushBlocked, defaultPush(f) && f.User.PushBlockedIn(c.Group)
	}},
	{8, "as many prompts as one user may get were sent", func(_ *Client, f *Facts) (Plan, Reason, bool) {
		return f.User.otpElseDeny(), ReasonPushLimited, defaultPush(f) && f.PromptLimited
	}},
	{8, "the fatigue limit is reached", func(c *Client, f *Facts) (Plan, Reason, bool) {
		plan := f.User.otpElseDeny()
		switch { // what nobody approves in their sleep
		case plan == PlanDeny && showsNumber(c, f):
			plan = PlanNumber
		case plan == PlanDeny && takesCode(c, f):
			plan = PlanCode
		}
		return plan, ReasonPushLimited, defaultPush(f) && f.PushLimited
	}},
	{9, "a passcode of the user came with the password", func(c *Client, f *Facts) (Plan, Reason, bool) {
		return PlanOTP, ReasonAppendedCode, canPush(c, f) && f.AppendedCode // as in every prompt, a code wins over the device
	}},
	{9, "number matching applies, and the client shows a number in its prompt", func(c *Client, f *Facts) (Plan, Reason, bool) {
		return PlanNumber, ReasonNumberMatch, canPush(c, f) && f.NumberMatching && f.Dialog.Number && c.NumberInPrompt
	}},
	{9, "number matching applies, and the client's prompt takes the code that the device shows", func(c *Client, f *Facts) (Plan, Reason, bool) {
		return PlanCode, ReasonCodeMatch, takesCode(c, f) && f.NumberMatching && c.NumberFromDevice
	}},
	{9, "number matching is required here", func(c *Client, f *Facts) (Plan, Reason, bool) {
		plan := f.User.otpElseDeny()
		switch {
		case showsNumber(c, f):
			plan = PlanNumber
		case takesCode(c, f):
			plan = PlanCode
		}
		return plan, ReasonMatchingRequired, canPush(c, f) && c.RequireMatching
	}},
	{10, "a device is registered at the push provider of this client", func(c *Client, f *Facts) (Plan, Reason, bool) {
		return PlanPush, ReasonApproveDeny, canPush(c, f)
	}},
	{11, "anything else", func(*Client, *Facts) (Plan, Reason, bool) {
		return PlanDeny, ReasonNoUsableMethod, true
	}},
}

func defaultPush(f *Facts) bool { return f.User.DefaultMethod() == MethodPush }

func canPush(c *Client, f *Facts) bool {
	return defaultPush(f) && c.Pusher != nil && f.User.devicesAt(c.PushProvider) > 0
}

// showsNumber reports whether this login can show a number that must be typed on
// the device.
func showsNumber(c *Client, f *Facts) bool {
	return canPush(c, f) && c.TypesNumbers && f.Dialog.Number
}

// takesCode reports whether this login can take the code that a device shows, and
// cannot show a number.
func takesCode(c *Client, f *Facts) bool {
	return canPush(c, f) && c.ShowsCodes && f.Dialog.Codes && !f.Dialog.Number
}
