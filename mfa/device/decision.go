package device

import (
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Action is what the user decided.
type Action string

// The actions.
const (
	ActionApprove Action = "approve"
	ActionDeny    Action = "deny"
	ActionNotMe   Action = "not_me"
)

// Surface is where on the device the user decided. The device says so itself,
// and signs it.
type Surface string

// The surfaces. Only in the app can a number be typed or a code be read with care.
const (
	SurfaceApp          Surface = "app"
	SurfaceNotification Surface = "notification" // a button of it
	SurfaceWearable     Surface = "wearable"
)

// Outcome tells a device what its decision did.
type Outcome string

// The outcomes of a decision.
const (
	OutcomeApproved    Outcome = "approved"
	OutcomeDenied      Outcome = "denied"
	OutcomeReported    Outcome = "reported" // denied, and reported as someone else's sign-in
	OutcomeWrongNumber Outcome = "wrong_number"
)

// Decision is a signed answer of a device to a prompt.
type Decision struct {
	Version   int
	Device    string // id of the device
	Prompt    string // id of the prompt
	Action    Action
	Number    string  // what the user typed; only with ActionApprove
	Surface   Surface // where; of a version before VersionCode empty, which is the app
	Signature []byte
	Assertion []byte // of the device's passkey over Challenge, as JSON; empty: none
}

// input binds the decision to the device, the user and the prompt.
func (d Decision) input(user string) []byte {
	fields := []string{"radmatch decision", strconv.Itoa(d.Version), d.Device, user, d.Prompt, string(d.Action), d.Number}
	if d.Version >= VersionCode {
		fields = append(fields, string(d.Surface))
	}
	return signingInput(fields...)
}

// Sign signs the decision for a prompt of user, spelled as the prompt spells it.
func (d *Decision) Sign(key *ecdsa.PrivateKey, user string) (err error) {
	d.Signature, err = Sign(key, d.input(user))
	return err
}

// Verify returns nil when the device whose key this is has signed the decision for
// a prompt of user. ErrSignature if it has not.
func (d Decision) Verify(pkix []byte, user string) error {
	return verify(pkix, d.input(user), d.Signature)
}

// Check is what can be said of a decision without looking at the prompt.
func (d Decision) Check() error {
	if err := CheckVersion(d.Version); err != nil {
		return err
	}
	switch d.Action {
	case ActionApprove:
	case ActionDeny, ActionNotMe:
		if d.Number != "" {
			return fmt.Errorf("%w: a number goes only with approve", ErrMalformed)
		}
	default:
		return fmt.Errorf("%w: decision must be one of approve, deny, not_me", ErrMalformed)
	}
	if len(d.Number) > maxNumber || !digits(d.Number) {
		return fmt.Errorf("%w: number must be digits", ErrMalformed)
	}
	switch known := d.Surface == SurfaceApp || d.Surface == SurfaceNotification || d.Surface == SurfaceWearable; {
	case d.Version < VersionCode && d.Surface != "": // nothing would sign it
		return fmt.Errorf("%w: surface comes with version %d", ErrMalformed, VersionCode)
	case d.Version >= VersionCode && !known:
		return fmt.Errorf("%w: surface must be one of app, notification, wearable", ErrMalformed)
	}
	if d.Prompt == "" || len(d.Prompt) > MaxID || d.Device == "" || len(d.Device) > MaxID {
		return fmt.Errorf("%w: prompt or device", ErrMalformed)
	}
	return nil
}

func digits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// DecisionRequest is the body of POST /api/v1/prompts/{id}/decision.
type DecisionRequest struct {
	Decision  Action  `json:"decision"`
	Number    string  `json:"number,omitempty"`
	Surface   Surface `json:"surface,omitempty"`
	Signature string  `json:"signature"`
	// Assertion is WebAuthn's AuthenticationResponseJSON.
	Assertion json.RawMessage `json:"assertion,omitempty"`
}

// DecisionResponse is the answer to a DecisionRequest.
type DecisionResponse struct {
	Outcome Outcome `json:"outcome"`
	// Code is to be shown to the user, who types it where they sign in, until
	// CodeExpires. It is a secret: it goes to the device that approved, and nowhere
	// else. Empty: an approval is all that was asked for.
	Code        string    `json:"code,omitempty"`
	CodeExpires time.Time `json:"code_expires,omitzero"`
}
