package device

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strconv"
)

// Passkey is the WebAuthn credential that confirms the approvals of a device. It
// is not changed once it is made.
type Passkey struct {
	ID  []byte `json:"id"`
	Key []byte `json:"key"` // COSE (RFC 9052 §7)
	// Count is how many signatures the authenticator has counted; 0: it does not.
	Count uint32 `json:"count,omitempty"`
	// BackupEligible never changes; BackedUp says whether it is copied to other
	// machines now (WebAuthn §6.1.3).
	BackupEligible bool `json:"backup_eligible,omitempty"`
	BackedUp       bool `json:"backed_up,omitempty"`
}

// PasskeyVerifier examines what passkeys sign. It may be called concurrently.
type PasskeyVerifier interface {
	// VerifyPasskey returns nil when assertion, WebAuthn's
	// AuthenticationResponseJSON, is that of d.Passkey over challenge, with user
	// verification, and its count was never used. ErrBadPasskey if it is not; any
	// other error means that it could not be examined. All of them refuse.
	VerifyPasskey(ctx context.Context, d Device, challenge, assertion []byte) error
}

// The errors of passkeys.
var (
	// ErrPasskeyRequired: the approval needs a passkey and came without.
	ErrPasskeyRequired = errors.New("the passkey is missing")
	// ErrBadPasskey: what came as the passkey's is not right.
	ErrBadPasskey = errors.New("passkey does not verify")
	// ErrPasskeyExists: the device has a passkey, or the passkey has a device.
	ErrPasskeyExists = errors.New("passkey registered already")
)

// NeedsPasskey is what the owner of a device without a passkey is told where
// every device needs one.
const NeedsPasskey = "Approvals need a passkey here, and this device has none. Set one up, or approve with another device."

// Challenge is what the passkey signs for this decision: it depends on all that
// the device signs, so that no assertion fits another decision.
func (d Decision) Challenge(user string) []byte {
	digest := sha256.Sum256(d.input(user))
	return digest[:]
}

// RemovalRequest is the body of DELETE /api/v1/devices/{id}, which may be empty.
type RemovalRequest struct {
	// Assertion is WebAuthn's AuthenticationResponseJSON over RemovalChallenge, by
	// a device that has a passkey.
	Assertion json.RawMessage `json:"assertion,omitempty"`
}

// RemovalChallenge is what the passkey of a device signs to remove another one,
// or itself. A device is removed once, so that no assertion serves again.
func RemovalChallenge(version int, by, device string) []byte {
	digest := sha256.Sum256(signingInput("radmatch remove", strconv.Itoa(version), by, device))
	return digest[:]
}
