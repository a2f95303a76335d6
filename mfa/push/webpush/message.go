package webpush

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
	"time"

	"github.com/radmatch/radmatch/mfa/device"
)

// Message is what the service worker of a device reads. It tells whom it
// reaches nothing but that something waits: the device asks the server for everything else.
type Message struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// KindPrompt is the kind of a message that says that a prompt waits. Its ID is
// the prompt's.
const KindPrompt = "prompt"

// plainSize is what each message is padded to, so that its length tells nothing.
const plainSize = 256

// seal encrypts a message for sub: one record of aes128gcm (RFC 8188), keyed as
// RFC 8291 says.
func (m Message) seal(sub *device.WebSubscription) ([]byte, error) {
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

// sealRecord pads text to size and encrypts it. sender is a key only for this message.
func sealRecord(text []byte, size int, sub *device.WebSubscription, sender *ecdh.PrivateKey, salt []byte) ([]byte, error) {
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
