package device

import (
	"crypto/x509"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa/text"
)

// CheckName returns an ErrMalformed for what is no name of a device.
func CheckName(name string) error {
	if name == "" || text.Printable(name, maxName) != name || strings.TrimSpace(name) != name {
		return fmt.Errorf("%w: name must be 1 to %d printable characters", ErrMalformed, maxName)
	}
	return nil
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
	d := Device{ID: newID(), Name: e.Name, Key: key, Version: e.Version, Added: now, Seen: now}
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
