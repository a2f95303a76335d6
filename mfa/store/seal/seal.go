package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// keySize makes it AES-256-GCM. Nonces are random: 96 bits bear 2^32 seals of
// one key, and a key seals one token a time.
const keySize = 32

const keyHeader = "# The keys that seal the tokens' secrets in the database. Back this file up apart from it.\n"

// proofText is sealed under the current key and kept in the database, so that a
// wrong key file stops the start and not the first login.
const proofText = "radmatch"

// ErrSeal means that a secret cannot be opened: another key, or someone
// changed it, or moved it to another token or user.
var ErrSeal = errors.New("sealed secret does not open")

// Ring holds keys by id. It is immutable.
type Ring struct {
	raw   map[byte][]byte
	aeads map[byte]cipher.AEAD
}

func NewRing(raw map[byte][]byte) (*Ring, error) {
	k := &Ring{raw: raw, aeads: make(map[byte]cipher.AEAD, len(raw))}
	for id, key := range raw {
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		if k.aeads[id], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, err
		}
	}
	return k, nil
}

func RandomKey() []byte {
	key := make([]byte, keySize)
	rand.Read(key)
	return key
}

// Seal returns the key's id, the nonce and the sealed secret.
func (k *Ring) Seal(id byte, secret, bound []byte) ([]byte, error) {
	aead := k.aeads[id]
	if aead == nil {
		return nil, fmt.Errorf("there is no sealing key %d", id)
	}
	return aead.Seal([]byte{id}, nil, secret, bound), nil
}

func (k *Ring) Open(sealed, bound []byte) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, ErrSeal
	}
	aead := k.aeads[sealed[0]]
	if aead == nil {
		return nil, fmt.Errorf("%w: there is no sealing key %d", ErrSeal, sealed[0])
	}
	secret, err := aead.Open(nil, nil, sealed[1:], bound)
	if err != nil {
		return nil, ErrSeal
	}
	return secret, nil
}

// Has reports whether there is a key id.
func (k *Ring) Has(id byte) bool { return k.raw[id] != nil }

// newer reports whether a key was made after another. Ids count up and begin anew behind 255,
// and no file has a hundred.
func newer(a, b byte) bool { return a != b && a-b < 128 }

// Newest is the id of the key that was made last.
func (k *Ring) Newest() byte {
	ids := slices.Sorted(maps.Keys(k.raw))
	newest := ids[0]
	for _, id := range ids {
		if newer(id, newest) {
			newest = id
		}
	}
	return newest
}

// Prepared is a key that was made after those in use, and seals nothing yet.
func (k *Ring) Prepared(used []byte) (id byte, ok bool) {
	id = k.Newest()
	return id, !slices.ContainsFunc(used, func(u byte) bool { return !newer(id, u) })
}

// Name tells a key from others that have its id elsewhere: the id, and what only this key
// could have made. It says nothing of the key.
func (k *Ring) Name(id byte) string {
	h := hmac.New(sha256.New, k.raw[id])
	h.Write([]byte("radmatch key"))
	return fmt.Sprintf("%d:%x", id, h.Sum(nil)[:4])
}

// Names are those of all keys.
func (k *Ring) Names() (names []string) {
	for _, id := range slices.Sorted(maps.Keys(k.raw)) {
		names = append(names, k.Name(id))
	}
	return names
}

// Prove seals a known text with key id, for check.
func (k *Ring) Prove(id byte) ([]byte, error) {
	return k.Seal(id, []byte(proofText), []byte("proof"))
}

// Check returns errSeal unless proof was made by one of these keys.
func (k *Ring) Check(proof []byte) error {
	text, err := k.Open(proof, []byte("proof"))
	if err == nil && string(text) != proofText {
		err = ErrSeal
	}
	return err
}

// Bound is the associated data of a token's secret: whose it is, by the key of
// the user, and which.
func Bound(user, id string) []byte {
	b := make([]byte, 0, len("token")+len(user)+len(id)+2)
	b = append(b, "token\x00"...)
	b = append(b, user...)
	b = append(b, 0)
	return append(b, id...)
}

// Marshal writes the key file: an id and a key in base64 a line.
func (k *Ring) Marshal() []byte {
	out := []byte(keyHeader)
	for _, id := range slices.Sorted(maps.Keys(k.raw)) {
		out = fmt.Appendf(out, "%d %s\n", id, base64.StdEncoding.EncodeToString(k.raw[id]))
	}
	return out
}

// parse reads what Marshal writes; name is what errors call it.
func parse(text []byte, name string) (*Ring, error) {
	raw := make(map[byte][]byte)
	n := 0
	for line := range bytes.Lines(text) {
		n++
		fields := strings.Fields(string(line))
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) != 2 {
			return nil, fmt.Errorf("%s:%d: must be an id and a key", name, n)
		}
		id, err := strconv.ParseUint(fields[0], 10, 8)
		key, keyErr := base64.StdEncoding.DecodeString(fields[1])
		if err != nil || keyErr != nil || len(key) != keySize || raw[byte(id)] != nil {
			return nil, fmt.Errorf("%s:%d: must be an id up to 255 and %d bytes in base64, each id once", name, n, keySize)
		}
		raw[byte(id)] = key
	}
	if len(raw) == 0 {
		return nil, fmt.Errorf("%s holds no key", name)
	}
	return NewRing(raw)
}

// WebPushBound is the associated data of the key.
func WebPushBound() []byte { return []byte("web push") }
