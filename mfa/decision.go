package mfa

import (
	"errors"
	"time"
)

// Outcome is how a packet is answered. The zero value denies.
type Outcome int

// The outcomes.
const (
	Reject Outcome = iota
	Challenge
	Accept
	Discard // no answer at all
)

var outcomes = [...]string{"reject", "challenge", "accept", "discard"}

func (o Outcome) String() string { return outcomes[o] }

// Denial keeps what a failure leads to from ever being an accept.
func (o Outcome) Denial() Outcome {
	if o == Discard {
		return Discard
	}
	return Reject
}

// MarshalText writes the outcome's name.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(outcomes[o]), nil }

// UnmarshalText reads the outcome's name.
func (o *Outcome) UnmarshalText(b []byte) error {
	for i, s := range outcomes {
		if s == string(b) {
			*o = Outcome(i)
			return nil
		}
	}
	return errors.New("unknown outcome")
}

// Decision is the engine's answer to one Request. The zero value rejects.
type Decision struct {
	Outcome Outcome
	LoginID string
	Reason  Reason        // for the log, never for the user
	Err     error         // for the log, never for the user
	Message string        // Reply-Message; from a fixed list. Of a challenge it says what Ask asks for
	State   string        // Challenge only
	Ask     Ask           // Challenge only
	Delay   time.Duration // Reject only: not before this long after the request was received
	// Identity is whom an Accept lets in, with the attributes and keys of its answer; nil
	// otherwise. It is not written to.
	Identity *Identity
	Method   Method // that let in, Accept only; empty: the login needed no second factor
}

// Ask is what a challenge asks the user for: Decision.Message as data, for a screen
// that has words of its own.
type Ask struct {
	Kind    AskKind
	Number  string    // AskNumber only: two digits to be typed on the device
	Codes   bool      // a passcode of the user is an answer too
	Wrong   bool      // the answer before was a wrong code
	Echo    bool      // the answer may be shown while it is typed (Prompt, RFC 2869 §5.10)
	Expires time.Time // no answer counts from then on
}

// AskKind tells challenges apart by what the user is to do.
type AskKind string

// The kinds.
const (
	AskCode       AskKind = "code"         // type a passcode
	AskNumber     AskKind = "number"       // type Number on the device, then go on here
	AskApprove    AskKind = "approve"      // approve on the device, then go on here
	AskDeviceCode AskKind = "device_code"  // approve on the device, then type the code that it shows
	AskOther      AskKind = "other_prompt" // answer another request that is open on the device, then go on here
	AskQuestion   AskKind = "question"     // answer the primary's question, which is the Message
)
