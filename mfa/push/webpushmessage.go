package push

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// WebSubscription is where a browser takes messages (RFC 8030 §4), and the keys
// that they are encrypted with, so that the push service cannot read them (RFC
// 8291 §2). It is never changed.
type WebSubscription struct {
	Endpoint string // an https URL; whoever knows it can tell the device from others: not for logs
	Key      []byte // P-256 point, uncompressed
	Auth     []byte // 16 bytes
}

const (
	maxEndpoint = 1024 // bytes; those of the four large services have 150 to 600
	authSize    = 16   // RFC 8291 §3.2
)

// ParseWebSubscription reads the JSON of a browser's PushSubscription.toJSON().
// Its errors are ErrMalformed. Whether this server sends to that endpoint is for
// WebPush.Accepts to say.
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

// WebMessage is what the service worker of a device reads. It tells whom it
// reaches nothing but that something waits: all else the device asks the server.
type WebMessage struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// WebKindPrompt is the kind of a message that says that a prompt waits. Its ID is
// the prompt's.
const WebKindPrompt = "prompt"

// plainSize is what each message is padded to, so that its length tells nothing.
const plainSize = 256

// seal encrypts a message for sub: one record of aes128gcm (RFC 8188), keyed as
// RFC 8291 says.
func (m WebMessage) seal(sub *WebSubscription) ([]byte, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	sender, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails: crypto/rand ends the program instead
	return sealRecord(text, plainSize, sub, sender, salt)
}

const (
	saltSize   = 16
	recordSize = 4096 // what is announced: every receiver takes this much (RFC 8291 §4)
)

// sealRecord pads text to size and encrypts it. sender is a key for this message alone.
func sealRecord(text []byte, size int, sub *WebSubscription, sender *ecdh.PrivateKey, salt []byte) ([]byte, error) {
	if len(text) > size {
		return nil, errors.New("message is too long")
	}
	receiver, err := ecdh.P256().NewPublicKey(sub.Key)
	if err != nil {
		return nil, err
	}
	shared, err := sender.ECDH(receiver)
	if err != nil {
		return nil, err
	}
	// RFC 8291 §3.4: the subscription's secret, and both keys, go into the key.
	own := sender.PublicKey().Bytes()
	input, err := hkdf.Key(sha256.New, shared, sub.Auth, "WebPush: info\x00"+string(sub.Key)+string(own), sha256.Size)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, input, salt, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, err
	}
	nonce, err := hkdf.Key(sha256.New, input, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	// RFC 8188 §2: the last record ends in 2 and its padding.
	plain := make([]byte, size+1)
	copy(plain, text)
	plain[len(text)] = 2
	body := append([]byte{}, salt...)
	body = binary.BigEndian.AppendUint32(body, recordSize)
	body = append(body, byte(len(own)))
	body = append(body, own...)
	return aead.Seal(body, nonce, plain, nil), nil
}

// secondsLeft is the TTL of a message (RFC 8030 §5.2): how long the prompt waits
// yet, but no more than a minute. Never 0, which a phone that sleeps never gets.
func secondsLeft(expires, now time.Time) int {
	return max(1, min(maxTTL, int(expires.Sub(now)/time.Second)))
}

const maxTTL = 60
