package store

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/radmatch/radmatch/mfa/textfile"
)

// keySize makes it AES-256-GCM. Nonces are random: 96 bits bear 2^32 seals of
// one key, and a key seals one token a time.
const keySize = 32

const keyHeader = "# The keys that seal the tokens' secrets in " + databaseFile + ". Back this file up apart from it.\n"

// proofText is sealed under the current key and kept in the database, so that a
// wrong key file stops the start and not the first login.
const proofText = "radmatch"

// errSeal means that a secret cannot be opened: another key, or somebody
// changed it, or moved it to another token or user.
var errSeal = errors.New("sealed secret does not open")

// keyring holds the keys of seal.key by id. It is immutable.
type keyring struct {
	raw   map[byte][]byte
	aeads map[byte]cipher.AEAD
}

// maxKeyFile is the most that is read of the key file: 255 keys and remarks.
const maxKeyFile = 64 << 10

func newKeyring(raw map[byte][]byte) (*keyring, error) {
	k := &keyring{raw: raw, aeads: make(map[byte]cipher.AEAD, len(raw))}
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

func randomKey() []byte {
	key := make([]byte, keySize)
	rand.Read(key)
	return key
}

// seal returns the key's id, the nonce and the sealed secret.
func (k *keyring) seal(id byte, secret, bound []byte) ([]byte, error) {
	aead := k.aeads[id]
	if aead == nil {
		return nil, fmt.Errorf("%s has no key %d", keyFile, id)
	}
	return aead.Seal([]byte{id}, nil, secret, bound), nil
}

func (k *keyring) open(sealed, bound []byte) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, errSeal
	}
	aead := k.aeads[sealed[0]]
	if aead == nil {
		return nil, fmt.Errorf("%w: %s has no key %d", errSeal, keyFile, sealed[0])
	}
	secret, err := aead.Open(nil, nil, sealed[1:], bound)
	if err != nil {
		return nil, errSeal
	}
	return secret, nil
}

// bound is the associated data of a token's secret: whose it is, by the key of
// the user, and which.
func bound(user, id string) []byte {
	b := make([]byte, 0, len("token")+len(user)+len(id)+2)
	b = append(b, "token\x00"...)
	b = append(b, user...)
	b = append(b, 0)
	return append(b, id...)
}

// marshal writes the key file: an id and a key in base64 a line.
func (k *keyring) marshal() []byte {
	out := []byte(keyHeader)
	for _, id := range slices.Sorted(maps.Keys(k.raw)) {
		out = fmt.Appendf(out, "%d %s\n", id, base64.StdEncoding.EncodeToString(k.raw[id]))
	}
	return out
}

func parseKeyring(text []byte) (*keyring, error) {
	raw := make(map[byte][]byte)
	n := 0
	for line := range bytes.Lines(text) {
		n++
		fields := strings.Fields(string(line))
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) != 2 {
			return nil, fmt.Errorf("%s:%d: must be an id and a key", keyFile, n)
		}
		id, err := strconv.ParseUint(fields[0], 10, 8)
		key, keyErr := base64.StdEncoding.DecodeString(fields[1])
		if err != nil || keyErr != nil || len(key) != keySize || raw[byte(id)] != nil {
			return nil, fmt.Errorf("%s:%d: must be an id up to 255 and %d bytes in base64, each id once", keyFile, n, keySize)
		}
		raw[byte(id)] = key
	}
	if len(raw) == 0 {
		return nil, fmt.Errorf("%s holds no key", keyFile)
	}
	return newKeyring(raw)
}

// openKeys reads the key file, or makes it for a new database, and makes sure
// that it fits.
func (s *Store) openKeys(ctx context.Context) error {
	var sealed bool
	if err := s.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM seal_key)`).Scan(&sealed); err != nil {
		return err
	}
	there, err := exists(s.path(keyFile))
	if err != nil {
		return err
	}
	if !there {
		if sealed {
			return fmt.Errorf("%s is missing: the tokens in %s cannot be opened without it; restore it from its backup", keyFile, databaseFile)
		}
		if err := s.createKeys(); err != nil {
			return err
		}
	}
	if err := s.readKeys(); err != nil {
		return err
	}
	if !sealed {
		if err := s.proveKeys(ctx); err != nil {
			return err
		}
	}
	return s.checkKeys(ctx)
}

// createKeys makes the key file, unless another process does so at this moment.
func (s *Store) createKeys() error {
	k, err := newKeyring(map[byte][]byte{1: randomKey()})
	if err != nil {
		return err
	}
	temp, err := s.tempFile(k.marshal())
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	if err := os.Link(temp, s.path(keyFile)); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(s.opt.Dir)
}

// replaceKeys writes the key file anew, whole or not at all.
func (s *Store) replaceKeys(k *keyring) error {
	temp, err := s.tempFile(k.marshal())
	if err != nil {
		return err
	}
	if err := os.Rename(temp, s.path(keyFile)); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(s.opt.Dir)
}

// tempFile writes a synced file (0600) beside the key file.
func (s *Store) tempFile(content []byte) (path string, err error) {
	f, err := os.CreateTemp(s.opt.Dir, "."+filepath.Base(keyFile)+"-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// keysOnDisk reads the key file.
func (s *Store) keysOnDisk() (*keyring, error) {
	info, err := os.Stat(s.path(keyFile))
	if err != nil {
		return nil, err
	}
	if info.Mode()&0o007 != 0 {
		return nil, fmt.Errorf("%s can be used by everybody (mode %04o): chmod 600", s.path(keyFile), info.Mode().Perm())
	}
	text, err := textfile.Read(s.path(keyFile), maxKeyFile)
	if err != nil {
		return nil, err
	}
	return parseKeyring(text)
}

// readKeys reads the key file. Keys that were read before stay known.
func (s *Store) readKeys() error {
	k, err := s.keysOnDisk()
	if err != nil {
		return err
	}
	if old := s.ring.Load(); old != nil {
		all := maps.Clone(old.raw)
		maps.Copy(all, k.raw)
		if k, err = newKeyring(all); err != nil {
			return err
		}
	}
	s.ring.Store(k)
	return nil
}

// proveKeys binds a new database to the key.
func (s *Store) proveKeys(ctx context.Context) error {
	k := s.ring.Load()
	id := slices.Max(slices.Collect(maps.Keys(k.raw)))
	return s.update(ctx, func(tx *sql.Tx) error {
		var sealed bool
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM seal_key)`).Scan(&sealed); err != nil || sealed {
			return err
		}
		return setKey(ctx, tx, k, id)
	})
}

// setKey makes id the key that seals from now on.
func setKey(ctx context.Context, tx *sql.Tx, k *keyring, id byte) error {
	proof, err := k.seal(id, []byte(proofText), []byte("proof"))
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM seal_key`); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO seal_key (id, proof) VALUES (?, ?)`, id, proof)
	return err
}

func (s *Store) checkKeys(ctx context.Context) error {
	var proof []byte
	if err := s.db.QueryRowContext(ctx, `SELECT proof FROM seal_key`).Scan(&proof); err != nil {
		return err
	}
	text, err := s.ring.Load().open(proof, []byte("proof"))
	if err != nil || string(text) != proofText {
		return fmt.Errorf("%s is not the key that %s was sealed with: restore the one that belongs to it", keyFile, databaseFile)
	}
	return nil
}

// sealer returns the current key's id as of tx, and a ring that has it. What is
// sealed must be written in tx: a rekey cannot come between.
func (s *Store) sealer(ctx context.Context, tx *sql.Tx) (*keyring, byte, error) {
	var id byte
	if err := tx.QueryRowContext(ctx, `SELECT id FROM seal_key`).Scan(&id); err != nil {
		return nil, 0, err
	}
	if s.ring.Load().aeads[id] == nil {
		if err := s.readKeys(); err != nil {
			return nil, 0, err
		}
	}
	return s.ring.Load(), id, nil
}
