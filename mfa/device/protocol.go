package device

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
	"errors"
	"fmt"
	"math/big"
	"time"
)

// The versions of the device protocol. A device states its version in every
// request and signs it.
const (
	VersionApprove = 1 // approve, deny, not_me
	VersionNumber  = 2 // and the number that the user typed
	VersionCode    = 3 // and shows the code of an approval, and says where the user decided

	MinVersion = VersionApprove
	MaxVersion = VersionCode
)

// The largest fields that are read from the network, in bytes.
const (
	MaxID     = 64
	maxNumber = 8
	maxName   = 64 // runes
	sigSize   = 64 // r and s of P-256, 32 bytes each, as in WebCrypto
)

// ErrSignature means that a signature is not that of the key.
var ErrSignature = errors.New("signature does not verify")

// ErrMalformed means that a message is not one of the protocol.
var ErrMalformed = errors.New("malformed")

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

// Sign signs as WebCrypto does: r and s side by side. The nonce is derived as in
// RFC 6979, so that the vectors of the documentation can be recomputed.
func Sign(key *ecdsa.PrivateKey, input []byte) ([]byte, error) {
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

// ErrorBody is the body of every answer that is not 2xx.
type ErrorBody struct {
	Code       string     `json:"error"` // stable
	Message    string     `json:"message"`
	Time       *time.Time `json:"time,omitempty"`        // of the server; with clock_skew
	MinVersion int        `json:"min_version,omitempty"` // what the server speaks; with version_unsupported
	MaxVersion int        `json:"max_version,omitempty"`
}
