package mfa

import "errors"

// Plan is what policy decides for one login. The zero value denies.
type Plan int

// The plans.
const (
	PlanDeny   Plan = iota
	PlanNone        // no second factor
	PlanPush        // approve or deny on a device
	PlanNumber      // a number in the prompt, typed on the device
	PlanOTP         // a passcode
)

var plans = [...]string{"deny", "none", "push", "number", "otp"}

func (p Plan) String() string { return plans[p] }

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
	ReasonExemptClient         Reason = "exempt_client"
	ReasonExemptGroup          Reason = "exempt_group"
	ReasonNotRegistered        Reason = "not_registered"
	ReasonNotRegisteredAllowed Reason = "not_registered_allowed"
	ReasonTAP                  Reason = "tap"
	ReasonDefaultOTP           Reason = "default_otp"
	ReasonOverrideOTP          Reason = "override_otp"
	ReasonPushBlocked          Reason = "push_blocked"
	ReasonPushLimited          Reason = "push_limited"
	ReasonNumberMatch          Reason = "number_match"
	ReasonApproveDeny          Reason = "approve_deny"
	ReasonNoUsableMethod       Reason = "no_usable_method"
	ReasonOTPUnsupported       Reason = "otp_unsupported"
)

// The reasons of what happens before and after the plan.
const (
	ReasonWrongPassword    Reason = "wrong_password"
	ReasonEmptyPassword    Reason = "empty_password"
	ReasonUnsupported      Reason = "unsupported_credential"
	ReasonPrimaryError     Reason = "primary_error"
	ReasonMFAError         Reason = "mfa_error"
	ReasonInternalError    Reason = "internal_error"
	ReasonWrongCode        Reason = "wrong_code"
	ReasonCodeUsed         Reason = "code_used"
	ReasonCodesLocked      Reason = "codes_locked"
	ReasonTooManyLogins    Reason = "too_many_logins"
	ReasonOverload         Reason = "overload"
	ReasonStateUnknown     Reason = "state_unknown" // forged, used, expired, or another user's or client's
	ReasonPushDenied       Reason = "push_denied"
	ReasonNotMe            Reason = "not_me"
	ReasonWrongNumber      Reason = "wrong_number"
	ReasonPushNoResponse   Reason = "push_no_response"
	ReasonPromptPending    Reason = "prompt_pending"
	ReasonRecentlyDenied   Reason = "recently_denied"
	ReasonChallengeExpired Reason = "challenge_expired" // nobody answered in challenge_ttl
	ReasonSuperseded       Reason = "superseded"        // the same seat signed in anew
	ReasonAbandoned        Reason = "abandoned"         // the NAS gave up and nobody decided
	ReasonShutdown         Reason = "shutdown"
)
