package webpush

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa/device"
)

// VAPID is how this server says to push services who it is (RFC 8292). Browsers
// bind a subscription to its public key, so that nobody else can send to it; with
// another key, every device would have to subscribe again.
type VAPID struct {
	key     *ecdsa.PrivateKey
	public  string
	contact string
}

// tokenLife is how long a token is valid: a service that logs it, or leaks it,
// gives away an hour. RFC 8292 §2 allows a day.
const tokenLife = time.Hour

// NewVAPID takes the server's P-256 key, and an address at which a push service
// can reach its operator, mailto: or https:, or none.
func NewVAPID(key *ecdsa.PrivateKey, contact string) (*VAPID, error) {
	if key == nil || key.Curve != elliptic.P256() {
		return nil, errors.New("VAPID key: must be ECDSA over P-256")
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("VAPID key: %w", err)
	}
	return &VAPID{key: key, public: device.Encode(point), contact: contact}, nil
}

// PublicKey is the applicationServerKey of browsers: the uncompressed point.
func (v *VAPID) PublicKey() string { return v.public }

// authorization is the header of a request to endpoint at now (RFC 8292 §3). The
// token is good only at that push service.
func (v *VAPID) authorization(endpoint *url.URL, now time.Time) (string, error) {
	claims := struct {
		Audience string `json:"aud"`
		Expires  int64  `json:"exp"`
		Contact  string `json:"sub,omitempty"`
	}{origin(endpoint), now.Add(tokenLife).Unix(), v.contact}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	token := device.Encode([]byte(`{"typ":"JWT","alg":"ES256"}`)) + "." + device.Encode(body)
	sig, err := device.Sign(v.key, []byte(token)) // RFC 7518 §3.4: r and s side by side
	if err != nil {
		return "", err
	}
	return "vapid t=" + token + "." + device.Encode(sig) + ", k=" + v.public, nil
}

// origin is the ASCII serialization of RFC 6454 §6.2: the default port is left out.
func origin(u *url.URL) string {
	return "https://" + strings.TrimSuffix(strings.ToLower(u.Host), ":443")
}
