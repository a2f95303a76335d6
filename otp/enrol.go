package otp

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	pquerna "github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"github.com/radmatch/radmatch/mfa"
)

// The sizes of secrets, in bytes.
const (
	newSecret    = 20 // RFC 4226 §4 R6 recommends 160 bits
	minSecret    = 10 // what older authenticator apps made; less can be searched
	strongSecret = 16 // RFC 4226 §4 R6 demands 128 bits
	maxBase32    = 128
)

const maxNext = 1 << 48 // so that no window wraps

const maxText = 128 // characters of a serial number or a label

// The lifetimes of a pass, as in Entra.
const (
	MinPassLifetime     = 10 * time.Minute
	MaxPassLifetime     = 30 * 24 * time.Hour
	DefaultPassLifetime = time.Hour
)

// passLength is how many characters a new pass has: 31^10 is 49 bits, which a
// few guesses before the lockout do not dent.
const passLength = 10

// passAlphabet has nothing that is mistaken for something else when read aloud
// or copied from paper: no 0 and o, no 1, i and l.
const passAlphabet = "abcdefghjkmnpqrstuvwxyz23456789"

// NewTOTP returns a token with a random 20-byte secret, SHA-1, 6 digits and 30
// seconds, which every authenticator app understands.
func NewTOTP(user mfa.Name) Token {
	t := newToken(user, TOTP)
	t.Algorithm, t.Digits, t.Period = SHA1, 6, 30
	t.Secret = make([]byte, newSecret)
	rand.Read(t.Secret)
	return t
}

// NewHOTP returns a token with a random 20-byte secret, SHA-1 and 6 digits,
// whose first counter is 0.
func NewHOTP(user mfa.Name) Token {
	t := NewTOTP(user)
	t.Kind, t.Period = HOTP, 0
	return t
}

// NewPass returns a random Temporary Access Pass that is valid from start, and
// how it is shown to a user. The lifetime must lie between MinPassLifetime and
// MaxPassLifetime.
func NewPass(user mfa.Name, start time.Time, lifetime time.Duration, once bool) (Token, string, error) {
	if lifetime < MinPassLifetime || lifetime > MaxPassLifetime {
		return Token{}, "", errors.New("lifetime of a pass must be 10m to 720h (30 days)")
	}
	t := newToken(user, Pass)
	t.Secret = randomPass()
	t.Digits = len(t.Secret)
	t.NotBefore, t.Expires, t.Once = start.UTC(), start.Add(lifetime).UTC(), once
	return t, string(t.Secret[:passLength/2]) + "-" + string(t.Secret[passLength/2:]), nil
}

func newToken(user mfa.Name, kind Kind) Token {
	return Token{
		ID:      strings.ToLower(rand.Text()[:12]), // 60 bits
		User:    user,
		Kind:    kind,
		Created: time.Now().UTC().Truncate(time.Second),
	}
}

// randomPass returns a pass that cannot be taken for a code or a word: it has
// letters and digits.
func randomPass() []byte {
	pass := make([]byte, 0, passLength)
	for {
		pass = pass[:0]
		var b [1]byte
		for len(pass) < passLength {
			rand.Read(b[:])
			if i := int(b[0] & 31); i < len(passAlphabet) { // no bias: drawn again
				pass = append(pass, passAlphabet[i])
			}
		}
		if isPass(pass) {
			return pass
		}
	}
}

// isPass reports whether text, which is normalised, has the characters of a pass.
func isPass(text []byte) bool {
	var letters, digits bool
	for _, c := range text {
		if strings.IndexByte(passAlphabet, c) < 0 {
			return false
		}
		letters = letters || c >= 'a'
		digits = digits || c <= '9'
	}
	return letters && digits
}

// ParseSecret reads a base32 secret as vendors and apps print it: either case,
// with or without padding, spaces, hyphens and what a paste brings; at most 128 characters and at
// least 10 bytes. Its errors do not repeat the secret.
func ParseSecret(s string) ([]byte, error) {
	s = strings.Map(func(r rune) rune {
		if r == '-' || r >= '\u2010' && r <= '\u2015' || r == '\t' || unicode.In(r, unicode.Zs, unicode.Cf) {
			return -1
		}
		return unicode.ToUpper(r)
	}, s)
	s = strings.TrimRight(s, "=")
	switch {
	case s == "":
		return nil, errors.New("secret is empty")
	case len(s) > maxBase32:
		return nil, fmt.Errorf("secret is longer than %d characters", maxBase32)
	}
	for i, r := range s {
		if (r < 'A' || r > 'Z') && (r < '2' || r > '7') {
			return nil, fmt.Errorf("character %d of the secret is not base32 (A-Z, 2-7)", i+1)
		}
	}
	secret, err := encoding.DecodeString(s)
	if err != nil || encoding.EncodedLen(len(secret)) != len(s) { // the decoder drops a lone character
		return nil, fmt.Errorf("a base32 secret cannot have %d characters", len(s))
	}
	if len(secret) < minSecret {
		return nil, fmt.Errorf("secret has %d bytes; need at least %d", len(secret), minSecret)
	}
	return secret, nil
}

// FormatSecret returns the base32 form of a secret.
func FormatSecret(secret []byte) string { return encoding.EncodeToString(secret) }

var encoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// Weak reports whether the secret of t is shorter than the 128 bits that RFC
// 4226 demands. Such tokens exist and work; anyone who enrols one is told.
func (t *Token) Weak() bool { return t.Kind != Pass && len(t.Secret) < strongSecret }

// Validate reports the first thing that is wrong with a token that is to be
// registered. Its errors do not repeat the secret.
func (t *Token) Validate() error {
	if err := CheckUser(t.User); err != nil {
		return err
	}
	if err := checkText("serial number", t.Serial, maxText); err != nil {
		return err
	}
	if err := checkText("label", t.Label, 2*maxText+1); err != nil {
		return err
	}
	return t.check()
}

// CheckUser reports what is wrong with the name of a user who is to get a method.
func CheckUser(name mfa.Name) error {
	if err := checkText("user", name.String(), 253); err != nil {
		return err
	}
	if name.IsZero() {
		return errors.New("user is empty")
	}
	return nil
}

// check reports what would make a code of t unsafe or impossible to examine.
func (t *Token) check() error {
	switch t.Kind {
	case Pass:
		if len(t.Secret) < 8 || len(t.Secret) > maxCode {
			return errors.New("a pass has 8 to 48 characters")
		}
		return nil
	case TOTP:
		if t.Period != 30 && t.Period != 60 {
			return fmt.Errorf("period must be 30 or 60 seconds; got %d", t.Period)
		}
	case HOTP:
	default:
		return fmt.Errorf("unknown kind of token %q", t.Kind)
	}
	switch {
	case t.Algorithm != SHA1 && t.Algorithm != SHA256 && t.Algorithm != SHA512:
		return fmt.Errorf("algorithm must be SHA1, SHA256 or SHA512; got %q", t.Algorithm)
	case t.Digits != 6 && t.Digits != 8:
		return fmt.Errorf("digits must be 6 or 8; got %d", t.Digits)
	case len(t.Secret) < minSecret:
		return fmt.Errorf("secret has %d bytes; need at least %d", len(t.Secret), minSecret)
	case t.Next < 0 || t.Next > maxNext:
		return errors.New("counter must be 0 to 2^48")
	}
	return nil
}

// checkText refuses what cannot be shown to a user.
func checkText(what, s string, most int) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%s is not UTF-8", what)
	}
	if utf8.RuneCountInString(s) > most {
		return fmt.Errorf("%s is longer than %d characters", what, most)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("%s has characters that cannot be printed", what)
	}
	return nil
}

// URL returns the otpauth URL of t, which a QR code carries to an authenticator
// app. It holds the secret: never log it.
func (t *Token) URL(issuer string) (string, error) {
	switch {
	case t.Kind == Pass:
		return "", errors.New("a pass has no URL")
	case issuer == "" || strings.ContainsAny(issuer, ":&=+"): // ':' ends it in the label; pquerna leaves the others as they are
		return "", fmt.Errorf("issuer must be a text without any of : & = +; got %q", issuer)
	case t.User.IsZero() || strings.Contains(t.User.String(), ":"):
		return "", fmt.Errorf("a user name in a URL must be a text without ':'; got %q", t.User)
	}
	var key *pquerna.Key
	var err error
	digits, algorithm := pquerna.Digits(t.Digits), algorithms[t.Algorithm]
	if t.Kind == HOTP {
		key, err = hotp.Generate(hotp.GenerateOpts{
			Issuer: issuer, AccountName: t.User.String(), Secret: t.Secret, Digits: digits, Algorithm: algorithm})
	} else {
		key, err = totp.Generate(totp.GenerateOpts{
			Issuer: issuer, AccountName: t.User.String(), Secret: t.Secret, Digits: digits, Algorithm: algorithm, Period: uint(t.Period)})
	}
	if err != nil {
		return "", errors.New("cannot make an otpauth URL") // pquerna's error may hold the URL
	}
	url := key.URL()
	if t.Kind == HOTP {
		url += fmt.Sprintf("&counter=%d", t.Next) // required, and left out by pquerna
	}
	return url, nil
}

var algorithms = map[string]pquerna.Algorithm{
	SHA1:   pquerna.AlgorithmSHA1,
	SHA256: pquerna.AlgorithmSHA256,
	SHA512: pquerna.AlgorithmSHA512,
}
