package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/radmatch/radmatch/mfa/store/datadir"
	"github.com/radmatch/radmatch/mfa/textfile"
)

// File is in data_dir.
const File = "seal.key"

// keySize makes it AES-256-GCM. Nonces are random: 96 bits bear 2^32 seals of
// one key, and a key seals one token a time.
const keySize = 32

const keyHeader = "# The keys that seal the tokens' secrets in radmatch.db. Back this file up apart from it.\n"

// proofText is sealed under the current key and kept in the database, so that a
// wrong key file stops the start and not the first login.
const proofText = "radmatch"

// ErrSeal means that a secret cannot be opened: another key, or someone
// changed it, or moved it to another token or user.
var ErrSeal = errors.New("sealed secret does not open")

// Ring holds the keys of seal.key by id. It is immutable.
type Ring struct {
	raw   map[byte][]byte
	aeads map[byte]cipher.AEAD
}

// maxKeyFile is the most that is read of the key file: 255 keys and remarks.
const maxKeyFile = 64 << 10

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
		return nil, fmt.Errorf("%s has no key %d", File, id)
	}
	return aead.Seal([]byte{id}, nil, secret, bound), nil
}

func (k *Ring) Open(sealed, bound []byte) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, ErrSeal
	}
	aead := k.aeads[sealed[0]]
	if aead == nil {
		return nil, fmt.Errorf("%w: %s has no key %d", ErrSeal, File, sealed[0])
	}
	secret, err := aead.Open(nil, nil, sealed[1:], bound)
	if err != nil {
		return nil, ErrSeal
	}
	return secret, nil
}

// Has reports whether there is a key id.
func (k *Ring) Has(id byte) bool { return k.raw[id] != nil }

// Newest is the highest key id.
func (k *Ring) Newest() byte { return slices.Max(slices.Collect(maps.Keys(k.raw))) }

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

func parseKeyring(text []byte) (*Ring, error) {
	raw := make(map[byte][]byte)
	n := 0
	for line := range bytes.Lines(text) {
		n++
		fields := strings.Fields(string(line))
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) != 2 {
			return nil, fmt.Errorf("%s:%d: must be an id and a key", File, n)
		}
		id, err := strconv.ParseUint(fields[0], 10, 8)
		key, keyErr := base64.StdEncoding.DecodeString(fields[1])
		if err != nil || keyErr != nil || len(key) != keySize || raw[byte(id)] != nil {
			return nil, fmt.Errorf("%s:%d: must be an id up to 255 and %d bytes in base64, each id once", File, n, keySize)
		}
		raw[byte(id)] = key
	}
	if len(raw) == 0 {
		return nil, fmt.Errorf("%s holds no key", File)
	}
	return NewRing(raw)
}

// Keys is the key file, and what was read of it.
type Keys struct {
	path string
	read atomic.Pointer[Ring]
}

func NewKeys(dir string) *Keys { return &Keys{path: filepath.Join(dir, File)} }

// Ring is what was read last, nil before.
func (f *Keys) Ring() *Ring { return f.read.Load() }

// With returns a ring that has key id; the file is read again where what was read has not.
func (f *Keys) With(id byte) (*Ring, error) {
	if f.read.Load().aeads[id] == nil {
		if err := f.Load(); err != nil {
			return nil, err
		}
	}
	return f.read.Load(), nil
}

// Add puts a new key into the file. Nothing uses it yet. The caller keeps others from
// changing the file meanwhile.
func (f *Keys) Add() (id byte, err error) {
	if err := f.Load(); err != nil {
		return 0, err
	}
	raw := maps.Clone(f.Ring().raw)
	for id = 1; raw[id] != nil; id++ {
		if id == 255 {
			return 0, errors.New("all 255 key ids are in use")
		}
	}
	raw[id] = RandomKey()
	ring, err := NewRing(raw)
	if err != nil {
		return 0, err
	}
	if err := f.replace(ring); err != nil {
		return 0, err
	}
	f.read.Store(ring)
	return id, nil
}

// Retain takes all keys but these out of the file. The caller keeps everybody from sealing
// meanwhile.
func (f *Keys) Retain(ids []byte) error {
	raw, old := make(map[byte][]byte), f.Ring().raw
	for _, id := range ids {
		if old[id] == nil {
			return fmt.Errorf("no key %d", id)
		}
		raw[id] = old[id]
	}
	if len(raw) == len(old) {
		return nil
	}
	ring, err := NewRing(raw)
	if err != nil {
		return err
	}
	return f.replace(ring)
}

// Create makes the key file, unless another process does so at this moment.
func (f *Keys) Create() error {
	k, err := NewRing(map[byte][]byte{1: RandomKey()})
	if err != nil {
		return err
	}
	temp, err := f.tempFile(k.Marshal())
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	if err := os.Link(temp, f.path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return datadir.Sync(filepath.Dir(f.path))
}

// replace writes the key file anew, whole or not at all.
func (f *Keys) replace(k *Ring) error {
	temp, err := f.tempFile(k.Marshal())
	if err != nil {
		return err
	}
	if err := os.Rename(temp, f.path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return datadir.Sync(filepath.Dir(f.path))
}

// tempFile writes a synced file (0600) beside the key file.
func (f *Keys) tempFile(content []byte) (path string, err error) {
	file, err := os.CreateTemp(filepath.Dir(f.path), "."+filepath.Base(File)+"-*")
	if err != nil {
		return "", err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Sync(), file.Close())
	if err != nil {
		return "", errors.Join(err, os.Remove(file.Name()))
	}
	return file.Name(), nil
}

// OnDisk reads the key file.
func (f *Keys) OnDisk() (*Ring, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, err
	}
	if info.Mode()&0o007 != 0 {
		return nil, fmt.Errorf("%s can be used by everybody (mode %04o): chmod 600", f.path, info.Mode().Perm())
	}
	text, err := textfile.Read(f.path, maxKeyFile)
	if err != nil {
		return nil, err
	}
	return parseKeyring(text)
}

// Load reads the key file. Keys that were read before stay known.
func (f *Keys) Load() error {
	k, err := f.OnDisk()
	if err != nil {
		return err
	}
	if old := f.read.Load(); old != nil {
		all := maps.Clone(old.raw)
		maps.Copy(all, k.raw)
		if k, err = NewRing(all); err != nil {
			return err
		}
	}
	f.read.Store(k)
	return nil
}

// WebPushBound is the associated data of the key.
func WebPushBound() []byte { return []byte("web push") }
