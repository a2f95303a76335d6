package device

import (
	"context"
	"crypto/ecdh"
	"encoding/json"
	"fmt"
)

// WebSubscription is where a browser takes messages (RFC 8030 §4), and the keys
// that they are encrypted with, so that the push service cannot read them (RFC
// 8291 §2). It is never changed.
type WebSubscription struct {
	Endpoint string // an https URL; anyone who knows it can tell the device from others: not for logs
	Key      []byte // P-256 point, uncompressed
	Auth     []byte // 16 bytes
}

const (
	maxEndpoint = 1024 // bytes; those of the four large services have 150 to 600
	authSize    = 16   // RFC 8291 §3.2
)

// ParseWebSubscription reads the JSON of a browser's PushSubscription.toJSON().
// Its errors are ErrMalformed. Whether this server sends to that endpoint is for
// webpush.Sender.Accepts to say.
func ParseWebSubscription(text []byte) (*WebSubscription, error) {
	var s struct {
		Endpoint string `json:"endpoint"`
		Keys     struct {
			P256DH string `json:"p256dh"`
			Auth   string `json:"auth"`
		} `json:"keys"`
	}
	if json.Unmarshal(text, &s) != nil { // its error repeats the text
		return nil, fmt.Errorf("%w: subscription is not JSON", ErrMalformed)
	}
	if s.Endpoint == "" || len(s.Endpoint) > maxEndpoint {
		return nil, fmt.Errorf("%w: endpoint must have 1 to %d bytes", ErrMalformed, maxEndpoint)
	}
	key, err := Decode(s.Keys.P256DH)
	if err != nil {
		return nil, fmt.Errorf("%w: p256dh is not base64url", ErrMalformed)
	}
	if _, err := ecdh.P256().NewPublicKey(key); err != nil { // a point off the curve too
		return nil, fmt.Errorf("%w: p256dh is not a point of P-256", ErrMalformed)
	}
	auth, err := Decode(s.Keys.Auth)
	if err != nil || len(auth) != authSize {
		return nil, fmt.Errorf("%w: auth must be %d bytes in base64url", ErrMalformed, authSize)
	}
	return &WebSubscription{Endpoint: s.Endpoint, Key: key, Auth: auth}, nil
}

// WebSubscriptionStore keeps a device's subscription with the device: it goes
// with it. Its methods may be called concurrently.
type WebSubscriptionStore interface {
	// SetWebSubscription gives a device sub in place of what it has; nil: none.
	// ErrNoDevice for one that is unknown or removed.
	SetWebSubscription(ctx context.Context, device string, sub *WebSubscription) error
	// DropWebSubscription takes it away if it still has this endpoint.
	DropWebSubscription(ctx context.Context, device, endpoint string) error
}
