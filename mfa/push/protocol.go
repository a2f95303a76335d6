package push

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// The versions of the device protocol. A device states its version in every
// request and signs it.
const (
	VersionApprove = 1 // approve, deny, not_me
	VersionNumber  = 2 // and the number that the person typed
	VersionCode    = 3 // and shows the code of an approval, and says where the person decided

	MinVersion = VersionApprove
	MaxVersion = VersionCode
)

// Action is what the person decided.
type Action string

// The actions.
const (
	ActionApprove Action = "approve"
	ActionDeny    Action = "deny"
	ActionNotMe   Action = "not_me"
)

// Surface is where on the device the person decided. The device says so itself,
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
	OutcomeReported    Outcome = "reported" // denied, and reported as somebody else's sign-in
	OutcomeWrongNumber Outcome = "wrong_number"
)

// The largest fields that are read from the network, in bytes.
const (
	maxID     = 64
	maxNumber = 8
	maxName   = 64 // runes
	sigSize   = 64 // r and s of P-256, 32 bytes each, as in WebCrypto
)

// ErrSignature means that a signature is not that of the key.
var ErrSignature = errors.New("signature does not verify")

// Encode writes bytes as the protocol does: base64url without padding (RFC 4648 §5).
func Encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// Decode reads what Encode writes, and nothing else.
func Decode(s string) ([]byte, error) { return base64.RawURLEncoding.Strict().DecodeString(s) }

// signingInput is what a signature covers: each field with its length before it
// (32 bits, big endian), so that no two lists of fields have the same bytes. The
// first field names the purpose: a signature for one purpose is none for another.
func signingInput(fields ...string) []byte {
	var b []byte
	for _, f := range fields {
		b = binary.BigEndian.AppendUint32(b, uint32(len(f)))
		b = append(b, f...)
	}
	return b
}

// NewKey returns a key for a device.
func NewKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// sign signs as WebCrypto does: r and s side by side. The nonce is derived as in
// RFC 6979, so that the vectors of the documentation can be recomputed.
func sign(key *ecdsa.PrivateKey, input []byte) ([]byte, error) {
	digest := sha256.Sum256(input)
	der, err := key.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &rs); err != nil {
		return nil, err
	}
	sig := make([]byte, sigSize)
	rs.R.FillBytes(sig[:sigSize/2])
	rs.S.FillBytes(sig[sigSize/2:])
	return sig, nil
}

// verify returns nil when sig is the signature over input by the key with this
// PKIX encoding. The error is ErrSignature where only the signature is wrong.
func verify(pkix, input, sig []byte) error {
	key, err := parseKey(pkix)
	if err != nil {
		return err
	}
	if len(sig) != sigSize {
		return ErrSignature
	}
	digest := sha256.Sum256(input)
	r := new(big.Int).SetBytes(sig[:sigSize/2])
	s := new(big.Int).SetBytes(sig[sigSize/2:])
	if !ecdsa.Verify(key, digest[:], r, s) {
		return ErrSignature
	}
	return nil
}

// parseKey reads a P-256 public key. A point off the curve is an error.
func parseKey(pkix []byte) (*ecdsa.PublicKey, error) {
	k, err := x509.ParsePKIXPublicKey(pkix)
	if err != nil {
		return nil, errors.New("key: not a PKIX public key")
	}
	key, ok := k.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("key: must be ECDSA over P-256")
	}
	return key, nil
}

// Decision is a signed answer of a device to a prompt.
type Decision struct {
	Version   int
	Device    string // id of the device
	Prompt    string // id of the prompt
	Action    Action
	Number    string  // what the person typed; only with ActionApprove
	Surface   Surface // where; of a version before VersionCode empty, which is the app
	Signature []byte
	Assertion []byte // of the device's passkey over Challenge, as JSON; empty: none
}

// input binds the decision to the device, the person and the prompt.
func (d Decision) input(user string) []byte {
	fields := []string{"radmatch decision", strconv.Itoa(d.Version), d.Device, user, d.Prompt, string(d.Action), d.Number}
	if d.Version >= VersionCode {
		fields = append(fields, string(d.Surface))
	}
	return signingInput(fields...)
}

// Sign signs the decision for a prompt of user, spelled as the prompt spells it.
func (d *Decision) Sign(key *ecdsa.PrivateKey, user string) (err error) {
	d.Signature, err = sign(key, d.input(user))
	return err
}

// check is what can be said of a decision without looking at the prompt.
func (d Decision) check() error {
	if err := CheckVersion(d.Version); err != nil {
		return err
	}
	switch d.Action {
	case ActionApprove:
	case ActionDeny, ActionNotMe:
		if d.Number != "" {
			return fmt.Errorf("%w: a number goes with approve alone", ErrMalformed)
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
	if d.Prompt == "" || len(d.Prompt) > maxID || d.Device == "" || len(d.Device) > maxID {
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

// VersionError means that a device speaks a version that this server does not.
type VersionError struct{ Version int }

func (e *VersionError) Error() string {
	return fmt.Sprintf("device protocol version %d is not supported; this server speaks %d to %d", e.Version, MinVersion, MaxVersion)
}

// CheckVersion returns a *VersionError for a version that is not spoken here.
func CheckVersion(v int) error {
	if v < MinVersion || v > MaxVersion {
		return &VersionError{Version: v}
	}
	return nil
}

// CheckName returns an ErrMalformed for what is no name of a device.
func CheckName(name string) error {
	if name == "" || Printable(name, maxName) != name || strings.TrimSpace(name) != name {
		return fmt.Errorf("%w: name must be 1 to %d printable characters", ErrMalformed, maxName)
	}
	return nil
}

// InvitationRequest is the body of POST /api/v1/invitation.
type InvitationRequest struct {
	Token string `json:"token"`
}

// InvitationView is the answer to it: only who has the token learns for whom it is.
type InvitationView struct {
	User    string    `json:"user"`
	Expires time.Time `json:"expires"`
	Time    time.Time `json:"time"` // of the server
}

// TokenHash is what is kept of a token. ErrInvitation for what cannot be one.
func TokenHash(token string) ([32]byte, error) {
	if token == "" || len(token) > maxID {
		return [32]byte{}, ErrInvitation
	}
	return sha256.Sum256([]byte(token)), nil
}

// EnrollRequest is the body of POST /api/v1/enroll.
type EnrollRequest struct {
	Version   int    `json:"version"`
	Token     string `json:"token"`
	Name      string `json:"name"`
	Key       string `json:"key"`       // PKIX
	Signature string `json:"signature"` // by that key: the device holds it
}

func (e EnrollRequest) input() []byte {
	return signingInput("radmatch enroll", strconv.Itoa(e.Version), e.Token, e.Name, e.Key)
}

// Device checks the request and its signature and returns the device that it
// asks for, with an id, and the hash of the invitation. User is left to the store.
func (e EnrollRequest) Device(now time.Time) (Device, [32]byte, error) {
	fail := func(err error) (Device, [32]byte, error) { return Device{}, [32]byte{}, err }
	if err := CheckVersion(e.Version); err != nil {
		return fail(err)
	}
	if err := CheckName(e.Name); err != nil {
		return fail(err)
	}
	hash, err := TokenHash(e.Token)
	if err != nil {
		return fail(err)
	}
	key, err := Decode(e.Key)
	if err != nil {
		return fail(fmt.Errorf("%w: key must be base64url", ErrMalformed))
	}
	sig, err := Decode(e.Signature)
	if err != nil {
		return fail(fmt.Errorf("%w: signature must be base64url", ErrMalformed))
	}
	pub, err := parseKey(key)
	if err != nil {
		return fail(fmt.Errorf("%w: %w", ErrMalformed, err))
	}
	if err := verify(key, e.input(), sig); err != nil {
		return fail(err)
	}
	if key, err = x509.MarshalPKIXPublicKey(pub); err != nil {
		return fail(err)
	}
	d := Device{ID: newDeviceID(), Name: e.Name, Key: key, Version: e.Version, Added: now, Seen: now}
	return d, hash, nil
}

// EnrollResponse is the answer to an EnrollRequest.
type EnrollResponse struct {
	Device     string    `json:"device"`
	User       string    `json:"user"`
	Name       string    `json:"name"`
	Version    int       `json:"version"`     // the one that both speak from here on
	MinVersion int       `json:"min_version"` // what this server speaks
	MaxVersion int       `json:"max_version"`
	Time       time.Time `json:"time"`
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
	// Code is to be shown to the person, who types it where they sign in, until
	// CodeExpires. It is a secret: it goes to the device that approved, and nowhere
	// else. Empty: an approval is all that was asked for.
	Code        string    `json:"code,omitempty"`
	CodeExpires time.Time `json:"code_expires,omitzero"`
}

// PromptList is the answer to GET /api/v1/prompts, and the data of a sync event.
type PromptList struct {
	Time    time.Time    `json:"time"` // of the server: how long a prompt is valid is Expires less this
	Prompts []PromptView `json:"prompts"`
}

// PromptView is a prompt as a device is shown it. It does not hold the number.
type PromptView struct {
	ID             string        `json:"id"`
	User           string        `json:"user"` // to be signed as it stands here
	Client         string        `json:"client,omitempty"`
	Started        time.Time     `json:"started"`
	Expires        time.Time     `json:"expires"`
	NumberRequired bool          `json:"number_required,omitempty"`
	ShowsCode      bool          `json:"shows_code,omitempty"`   // an approval is answered with a code
	HidesClient    bool          `json:"hides_client,omitempty"` // by policy: nothing names the client
	HidesPlace     bool          `json:"hides_place,omitempty"`  // by policy: nothing says where from
	Refused        string        `json:"refused,omitempty"`      // why this device cannot approve; it can deny
	RefusedCode    string        `json:"refused_code,omitempty"` // the same, stable, for a device with texts of its own
	Passkey        bool          `json:"passkey,omitempty"`      // an approval by this device needs its passkey
	Requests       []RequestView `json:"requests"`
	More           int           `json:"more,omitempty"` // requests that Requests leaves out
}

// RequestView is one request that waits for a prompt.
type RequestView struct {
	Time    time.Time `json:"time"`
	Client  string    `json:"client,omitempty"`
	EndUser string    `json:"end_user,omitempty"`
	Claimed bool      `json:"claimed,omitempty"` // EndUser is only what the person's machine calls itself
	Source  string    `json:"source,omitempty"`
	// Place is where Address is, for people; empty: not known, or not to be shown.
	Place   string     `json:"place,omitempty"`
	Address netip.Addr `json:"-"` // of the person, where it is genuine and its place may be shown
}

// Withdrawn is the data of a withdrawn event.
type Withdrawn struct {
	ID     string `json:"id"`
	Reason string `json:"reason"` // decided, ended
}

// Why a prompt was withdrawn.
const (
	WithdrawnDecided = "decided" // on a device, maybe another one
	WithdrawnEnded   = "ended"   // a passcode was typed, time ran out, the login was given up
)

// ErrorBody is the body of every answer that is not 2xx.
type ErrorBody struct {
	Code       string     `json:"error"` // stable
	Message    string     `json:"message"`
	Time       *time.Time `json:"time,omitempty"`        // of the server; with clock_skew
	MinVersion int        `json:"min_version,omitempty"` // what the server speaks; with version_unsupported
	MaxVersion int        `json:"max_version,omitempty"`
}

// What an old device and its owner are told.
const (
	tooOld        = "This device cannot match numbers. Update it, or approve with another device."
	tooOldForCode = "This device cannot show a code. Update it, or approve with another device."
)

const (
	maxText     = 128 // runes of a text from the network
	maxRequests = 20  // shown of one prompt
)

func view(p *mfa.Prompt, version int) PromptView {
	v := PromptView{
		ID: p.ID, User: p.User.String(), Client: Printable(p.Client, maxText),
		Started: p.Started.UTC(), Expires: p.Expires.UTC(), NumberRequired: p.Number != "", ShowsCode: p.Code != "",
		HidesClient: p.HideClient, HidesPlace: p.HidePlace,
	}
	switch {
	case v.NumberRequired && version < VersionNumber:
		v.Refused, v.RefusedCode = tooOld, "device_too_old"
	case v.ShowsCode && version < VersionCode:
		v.Refused, v.RefusedCode = tooOldForCode, "device_too_old"
	}
	shown := p.Requests
	if len(shown) > maxRequests {
		v.More = len(shown) - maxRequests
		shown = shown[:maxRequests]
	}
	v.Requests = make([]RequestView, len(shown))
	for i, r := range shown {
		v.Requests[i] = RequestView{
			Time: r.Time.UTC(), Client: Printable(r.Client, maxText),
			EndUser: Printable(r.EndUser, maxText), Claimed: r.Claimed, Source: Printable(r.Source, maxText),
		}
		if !p.HidePlace && !r.Claimed && r.EndUser != "" { // a place beside a name would vouch for it
			v.Requests[i].Address = r.Address
		}
	}
	return v
}
