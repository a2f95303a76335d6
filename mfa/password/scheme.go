package password

import (
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// hash is a password hash from the file. match compares in constant time and
// does not fail: whatever can be wrong with a hash is found when it is parsed.
type hash interface {
	match(password string) bool
	slow() bool // behind the Gate
}

// Bounds on what a hash in the file may cost, so that a pasted line cannot stop
// the server: each keeps one check under about two seconds and 256 MiB.
const (
	maxArgon2Memory  = 256 << 10 // KiB
	maxArgon2Time    = 16
	maxArgon2Threads = 16
	maxBcryptCost    = 14
	maxCryptRounds   = 1_000_000
	minSalt, maxSalt = 4, 64 // octets
	minKey, maxKey   = 16, 64
)

var (
	errPlain   = errors.New("must be a hash that names its scheme, not a plain password (`radmatch hash` makes one)")
	errScheme  = errors.New("must be of the scheme argon2id, bcrypt, $6$, {SSHA512} or {NT}")
	errEmptyNT = errors.New("must not be the NT hash of the empty password")
)

var (
	bcryptForm = regexp.MustCompile(`^\$2[aby]\$(\d\d)\$[./0-9A-Za-z]{53}$`)
	cryptForm  = regexp.MustCompile(`^\$6\$(?:rounds=(\d{4,7})\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86}$`)
	argon2Form = regexp.MustCompile(`^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,3})\$([+/0-9A-Za-z]+)\$([+/0-9A-Za-z]+)$`)
)

// parseHash reads one hash. No error holds any part of it.
func parseHash(s string) (hash, error) {
	switch {
	case strings.HasPrefix(s, "{NT}"):
		return parseNT(s[len("{NT}"):])
	case strings.HasPrefix(s, "{SSHA512}"):
		return parseSSHA512(s[len("{SSHA512}"):])
	case strings.HasPrefix(s, "$argon2id$"):
		return parseArgon2id(s)
	case strings.HasPrefix(s, "$2"):
		return parseBcrypt(s)
	case strings.HasPrefix(s, "$6$"):
		return parseCrypt(s)
	case strings.HasPrefix(s, "$"), strings.HasPrefix(s, "{"):
		return nil, errScheme
	default:
		return nil, errPlain
	}
}

// argon2id is RFC 9106 in the PHC string format.
type argon2id struct {
	memory, time uint32
	threads      uint8
	salt, key    []byte
}

func parseArgon2id(s string) (hash, error) {
	m := argon2Form.FindStringSubmatch(s)
	if m == nil {
		return nil, errors.New("must have the form $argon2id$v=19$m=KIB,t=PASSES,p=THREADS$SALT$KEY")
	}
	memory, _ := strconv.Atoi(m[1]) // only digits, by the form
	time, _ := strconv.Atoi(m[2])
	threads, _ := strconv.Atoi(m[3])
	if threads < 1 || threads > maxArgon2Threads || time < 1 || time > maxArgon2Time ||
		memory < 8*threads || memory > maxArgon2Memory {
		return nil, fmt.Errorf("argon2id must cost at most m=%d,t=%d,p=%d and at least m=8p,t=1,p=1", maxArgon2Memory, maxArgon2Time, maxArgon2Threads)
	}
	salt, err1 := base64.RawStdEncoding.Strict().DecodeString(m[4])
	key, err2 := base64.RawStdEncoding.Strict().DecodeString(m[5])
	// A key of no octets would match every password.
	if err1 != nil || err2 != nil || len(salt) < minSalt || len(salt) > maxSalt || len(key) < minKey || len(key) > maxKey {
		return nil, fmt.Errorf("argon2id must have a salt of %d to %d and a key of %d to %d octets in base64", minSalt, maxSalt, minKey, maxKey)
	}
	return &argon2id{uint32(memory), uint32(time), uint8(threads), salt, key}, nil
}

func (h *argon2id) slow() bool { return true }

func (h *argon2id) match(password string) bool {
	key := argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, uint32(len(h.key)))
	return subtle.ConstantTimeCompare(key, h.key) == 1
}

// bcryptHash is $2a$, $2b$ or $2y$. Like every implementation it looks at the
// first 72 octets of a password.
type bcryptHash []byte

func parseBcrypt(s string) (hash, error) {
	m := bcryptForm.FindStringSubmatch(s)
	if m == nil {
		return nil, errors.New("bcrypt must have the form $2a$, $2b$ or $2y$, COST$, and 53 characters")
	}
	if cost, _ := strconv.Atoi(m[1]); cost < bcrypt.MinCost || cost > maxBcryptCost {
		return nil, fmt.Errorf("bcrypt must have a cost of %d to %d", bcrypt.MinCost, maxBcryptCost)
	}
	return bcryptHash(s), nil
}

func (h bcryptHash) slow() bool { return true }

func (h bcryptHash) match(password string) bool {
	return bcrypt.CompareHashAndPassword(h, []byte(password)) == nil
}

// cryptHash is SHA-512 crypt, as in /etc/shadow.
type cryptHash struct{ digest algorithm.Digest }

func parseCrypt(s string) (hash, error) {
	m := cryptForm.FindStringSubmatch(s)
	if m == nil {
		return nil, errors.New("$6$ must have the form $6$SALT$HASH or $6$rounds=N$SALT$HASH")
	}
	if m[1] != "" {
		if rounds, _ := strconv.Atoi(m[1]); rounds < 1000 || rounds > maxCryptRounds {
			return nil, fmt.Errorf("$6$ must have 1000 to %d rounds", maxCryptRounds)
		}
	}
	digest, err := shacrypt.Decode(s)
	if err != nil {
		return nil, errors.New("$6$ must have the form $6$SALT$HASH or $6$rounds=N$SALT$HASH")
	}
	return cryptHash{digest}, nil
}

func (h cryptHash) slow() bool { return true }

func (h cryptHash) match(password string) bool { return h.digest.Match(password) }

// ssha512 is base64(SHA-512(password + salt) + salt), as OpenLDAP writes it.
type ssha512 struct {
	sum  [sha512.Size]byte
	salt []byte
}

func parseSSHA512(s string) (hash, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) < sha512.Size+minSalt || len(b) > sha512.Size+maxSalt {
		return nil, fmt.Errorf("{SSHA512} must be base64 of 64 octets and a salt of %d to %d", minSalt, maxSalt)
	}
	return &ssha512{[sha512.Size]byte(b), b[sha512.Size:]}, nil
}

func (h *ssha512) slow() bool { return false }

func (h *ssha512) match(password string) bool {
	b := make([]byte, 0, len(password)+len(h.salt))
	sum := sha512.Sum512(append(append(b, password...), h.salt...))
	return subtle.ConstantTimeCompare(sum[:], h.sum[:]) == 1
}

func parseNT(s string) (hash, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(NT{}) {
		return nil, errors.New("{NT} must be followed by 32 hexadecimal digits")
	}
	h := NT(b)
	if h.match("") {
		return nil, errEmptyNT
	}
	return h, nil
}

// The cost of what Hash and BcryptHash make.
const (
	argon2Memory  = 19 << 10 // KiB: OWASP's first choice, 24 ms on one core
	argon2Time    = 2
	argon2Threads = 1
	argon2Salt    = 16
	argon2Key     = 32
	bcryptCost    = 10 // 70 ms
)

// MaxPassword is the longest password that is examined, in octets. PAP carries 128.
const MaxPassword = 256

var errPasswordLength = fmt.Errorf("a password has 1 to %d octets", MaxPassword)

// Hash returns the argon2id hash of password with a new salt, as it stands in
// the users file. It takes 19 MiB and some 25 ms.
func Hash(password string) (string, error) {
	if password == "" || len(password) > MaxPassword {
		return "", errPasswordLength
	}
	salt := make([]byte, argon2Salt)
	rand.Read(salt) // never fails
	key := argon2.IDKey([]byte(password), salt, argon2Time, argon2Memory, argon2Threads, argon2Key)
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argon2Memory, argon2Time, argon2Threads,
		enc.EncodeToString(salt), enc.EncodeToString(key)), nil
}

// BcryptHash returns the bcrypt hash of password. One of more than 72 octets is
// an error, because bcrypt would ignore the rest.
func BcryptHash(password string) (string, error) {
	if password == "" {
		return "", errPasswordLength
	}
	b, err := bcrypt.GenerateFromPassword([]byte(password), bcryptCost)
	return string(b), err
}

// NTHash returns the {NT} hash of password, which MS-CHAPv2 needs. It has no
// salt and is as good as the password itself: anyone who reads it can sign in by
// MS-CHAPv2.
func NTHash(password string) (string, error) {
	if password == "" || len(password) > MaxPassword {
		return "", errPasswordLength
	}
	h, ok := NTOf(password)
	if !ok {
		return "", errors.New("a password for {NT} must be valid UTF-8")
	}
	return "{NT}" + strings.ToUpper(hex.EncodeToString(h[:])), nil
}
