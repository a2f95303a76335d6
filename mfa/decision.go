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
	Message string        // Reply-Message; from a fixed list
	State   string        // Challenge only
	Echo    bool          // Challenge only: Prompt attribute, RFC 2869 §5.10
	Delay   time.Duration // Reject only: not before this long after the request was received
	// Attributes and MSCHAP are for an Accept.
	Attributes []Attribute
	MSCHAP     *MSCHAPKeys
}
