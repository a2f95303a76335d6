package device

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MaxSkew is how far the time of a signed request may be from the server's.
const MaxSkew = time.Minute

// scheme is the authentication scheme (RFC 9110 §11.1) of devices.
const scheme = "Radmatch"

const (
	nonceSize = 16
	maxHeader = 512 // bytes of a well-formed Authorization header, with room
)

// RequestAuth is how a device signs each of its HTTP requests.
type RequestAuth struct {
	Version   int
	Device    string
	Time      int64  // seconds since 1970
	Nonce     string // 16 random bytes, new for each request
	Signature []byte
}

// input binds the signature to the request. target is path and query as they
// follow the public URL: what is before may be a proxy's.
func (a RequestAuth) input(method, target string, body []byte) []byte {
	hash := sha256.Sum256(body)
	return signingInput("radmatch request", strconv.Itoa(a.Version), a.Device, strconv.FormatInt(a.Time, 10), a.Nonce,
		method, target, Encode(hash[:]))
}

// SignRequest returns the Authorization header of a request that is sent at t.
func SignRequest(key *ecdsa.PrivateKey, version int, device string, t time.Time, method, target string, body []byte) (string, error) {
	var nonce [nonceSize]byte
	_, _ = rand.Read(nonce[:]) // never fails: crypto/rand ends the program instead
	a := RequestAuth{Version: version, Device: device, Time: t.Unix(), Nonce: Encode(nonce[:])}
	var err error
	if a.Signature, err = Sign(key, a.input(method, target, body)); err != nil {
		return "", err
	}
	return a.String(), nil
}

// String is the value of the Authorization header.
func (a RequestAuth) String() string {
	return fmt.Sprintf("%s version=%d, device=%s, time=%d, nonce=%s, signature=%s",
		scheme, a.Version, a.Device, a.Time, a.Nonce, Encode(a.Signature))
}

// ParseRequestAuth reads an Authorization header. Each parameter must be there
// exactly once, and no other. It verifies nothing.
func ParseRequestAuth(header string) (RequestAuth, error) {
	var a RequestAuth
	name, params, _ := strings.Cut(header, " ")
	if len(header) > maxHeader || !strings.EqualFold(name, scheme) {
		return a, fmt.Errorf("%w: Authorization header must have the scheme %s", ErrMalformed, scheme)
	}
	values := map[string]string{}
	for p := range strings.SplitSeq(params, ",") {
		key, value, _ := strings.Cut(strings.Trim(p, " "), "=")
		if _, twice := values[key]; twice {
			return a, fmt.Errorf("%w: Authorization parameter twice", ErrMalformed)
		}
		values[key] = value
	}
	if len(values) != 5 {
		return a, fmt.Errorf("%w: Authorization parameters must be version, device, time, nonce, signature", ErrMalformed)
	}
	var err error
	if a.Version, err = strconv.Atoi(values["version"]); err != nil {
		return a, fmt.Errorf("%w: Authorization version", ErrMalformed)
	}
	if a.Time, err = strconv.ParseInt(values["time"], 10, 64); err != nil {
		return a, fmt.Errorf("%w: Authorization time", ErrMalformed)
	}
	if a.Device = values["device"]; a.Device == "" || len(a.Device) > MaxID {
		return a, fmt.Errorf("%w: Authorization device", ErrMalformed)
	}
	if nonce, err := Decode(values["nonce"]); err != nil || len(nonce) != nonceSize {
		return a, fmt.Errorf("%w: Authorization nonce", ErrMalformed)
	}
	a.Nonce = values["nonce"]
	if a.Signature, err = Decode(values["signature"]); err != nil || len(a.Signature) != sigSize {
		return a, fmt.Errorf("%w: Authorization signature", ErrMalformed)
	}
	return a, nil
}

// Verify returns nil when the device whose key this is has signed this request.
// Freshness and replay are the caller's to check.
func (a RequestAuth) Verify(pkix []byte, method, target string, body []byte) error {
	return verify(pkix, a.input(method, target, body), a.Signature)
}

// Age returns how far the request's time is from t, always positive.
func (a RequestAuth) Age(t time.Time) time.Duration {
	const far = 1 << 40 // beyond this the difference would overflow
	if a.Time < -far || a.Time > far {
		return 1<<63 - 1
	}
	return t.Sub(time.Unix(a.Time, 0)).Abs()
}
