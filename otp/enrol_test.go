package otp

import (
	"bytes"
	"encoding/base32"
	"strings"
	"testing"
	"time"

	pquerna "github.com/pquerna/otp"

	"github.com/radmatch/radmatch/mfa"
)

func TestParseSecret(t *testing.T) {
	twenty := "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	tests := []struct {
		name, in string
		bytes    int
		err      string
	}{
		{"twenty bytes", twenty, 20, ""},
		{"lower case", strings.ToLower(twenty), 20, ""},
		{"groups", "gezd gnbv gy3t-qojq gezd gnbv gy3t qojq", 20, ""},
		{"padded", base32.StdEncoding.EncodeToString(make([]byte, 16)), 16, ""},
		{"padding left out", "2234567abcdef2234567abcdef", 16, ""}, // from Entra's documentation
		{"ten bytes", twenty[:16], 10, ""},
		{"longest", strings.Repeat("A", 128), 80, ""},
		{"empty", "", 0, "secret is empty"},
		{"only padding", "====", 0, "secret is empty"},
		{"too long", strings.Repeat("A", 129), 0, "secret is longer than 128 characters"},
		{"too short", "MZXW6YTB", 0, "secret has 5 bytes; need at least 10"},
		{"digit one", "1" + twenty[1:], 0, "character 1 of the secret is not base32 (A-Z, 2-7)"},
		{"hex", "3132333435363738393031323334353637383930", 0, "character 2 of the secret is not base32 (A-Z, 2-7)"},
		{"full-width", "Ａ" + twenty[1:], 0, "character 1 of the secret is not base32 (A-Z, 2-7)"},
		{"impossible length", twenty[:17], 0, "a base32 secret cannot have 17 characters"},
		{"padding within", twenty[:16] + "=" + twenty[16:], 0, "character 17 of the secret is not base32 (A-Z, 2-7)"},
		{"newline", twenty[:16] + "\n" + twenty[16:], 0, "character 17 of the secret is not base32 (A-Z, 2-7)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			secret, err := ParseSecret(tt.in)
			if got := errText(err); got != tt.err || len(secret) != tt.bytes {
				t.Errorf("got %d bytes, error %q; want %d, %q", len(secret), got, tt.bytes, tt.err)
			}
		})
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestValidate(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *Token)
		want   string
	}{
		{"new", func(*Token) {}, ""},
		{"eight digits, a minute", func(t *Token) { t.Digits, t.Period = 8, 60 }, ""},
		{"seven digits", func(t *Token) { t.Digits = 7 }, "digits must be 6 or 8; got 7"},
		{"400 digits", func(t *Token) { t.Digits = 400 }, "digits must be 6 or 8; got 400"},
		{"no period", func(t *Token) { t.Period = 0 }, "period must be 30 or 60 seconds; got 0"},
		{"MD5", func(t *Token) { t.Algorithm = "MD5" }, `algorithm must be SHA1, SHA256 or SHA512; got "MD5"`},
		{"no kind", func(t *Token) { t.Kind = "" }, `unknown kind of token ""`},
		{"no secret", func(t *Token) { t.Secret = nil }, "secret has 0 bytes; need at least 10"},
		{"counter below 0", func(t *Token) { t.Kind, t.Next = HOTP, -1 }, "counter must be 0 to 2^48"},
		{"counter that wraps", func(t *Token) { t.Kind, t.Next = HOTP, 1<<63-1 }, "counter must be 0 to 2^48"},
		{"no user", func(t *Token) { t.User = mfa.NameOf(" ") }, "user is empty"},
		{"long user", func(t *Token) { t.User = mfa.NameOf(strings.Repeat("x", 254)) }, "user is longer than 253 characters"},
		{"user with a newline", func(t *Token) { t.User = mfa.NameOf("a\nb") }, "user has characters that cannot be printed"},
		{"label with an escape", func(t *Token) { t.Label = "\x1b[2J" }, "label has characters that cannot be printed"},
		{"serial not UTF-8", func(t *Token) { t.Serial = "\xff" }, "serial number is not UTF-8"},
		{"short pass", func(t *Token) { t.Kind, t.Secret = Pass, []byte("abc234x") }, "a pass has 8 to 48 characters"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			token := NewTOTP(mfa.NameOf("alice"))
			tt.change(&token)
			if got := errText(token.Validate()); got != tt.want {
				t.Errorf("got %q; want %q", got, tt.want)
			}
		})
	}
}

// TestURL reads the URLs back with pquerna.
func TestURL(t *testing.T) {
	totp, hotp := NewTOTP(mfa.NameOf("Älice+x@example.org")), NewHOTP(mfa.NameOf("bob"))
	totp.Algorithm, totp.Digits, totp.Period = SHA512, 8, 60
	hotp.Next = 5
	for _, token := range []Token{totp, hotp} {
		url, err := token.URL("Example, Co/é?#%")
		if err != nil {
			t.Fatal(err)
		}
		key, err := pquerna.NewKeyFromURL(url)
		if err != nil {
			t.Fatal(err)
		}
		if key.Type() != string(token.Kind) || key.Issuer() != "Example, Co/é?#%" || key.AccountName() != token.User.String() ||
			key.Secret() != FormatSecret(token.Secret) || key.Algorithm().String() != token.Algorithm || key.Digits().Length() != token.Digits {
			t.Errorf("read back otherwise: %s", url)
		}
		switch token.Kind {
		case TOTP:
			if key.Period() != uint64(token.Period) {
				t.Errorf("got period %d; want %d", key.Period(), token.Period)
			}
		case HOTP:
			if !strings.HasSuffix(url, "&counter=5") {
				t.Errorf("no counter: got %s; want \"&counter=5\" last", url)
			}
		}
	}
	pass, _, _ := NewPass(mfa.NameOf("alice"), time.Now(), time.Hour, false)
	colon := NewTOTP(mfa.NameOf("a:b"))
	for _, tt := range []struct {
		token  Token
		issuer string
	}{{totp, ""}, {totp, "a:b"}, {totp, "a&secret=x"}, {totp, "a+b"}, {colon, "radmatch"}, {pass, "radmatch"}} {
		if url, err := tt.token.URL(tt.issuer); err == nil {
			t.Errorf("user %q, issuer %q: got %s; want an error", tt.token.User, tt.issuer, url)
		}
	}
}

func TestNewTokens(t *testing.T) {
	a, b, c := NewTOTP(mfa.NameOf("alice")), NewTOTP(mfa.NameOf("alice")), NewHOTP(mfa.NameOf("alice"))
	if a.ID == b.ID || bytes.Equal(a.Secret, b.Secret) || bytes.Equal(a.Secret, make([]byte, 20)) {
		t.Error("two tokens are alike, or the secret is empty")
	}
	for _, token := range []Token{a, c} {
		if err := token.Validate(); err != nil || token.Weak() {
			t.Errorf("%s: error %v, weak %t; want no error, Weak false", token.Kind, err, token.Weak())
		}
	}
	if a.Secret = a.Secret[:15]; !a.Weak() {
		t.Error("15 bytes: want weak")
	}
}

func TestNewPass(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("x", 3600))
	for _, tt := range []struct {
		lifetime time.Duration
		ok       bool
	}{
		{0, false}, {-time.Hour, false}, {MinPassLifetime - 1, false}, {MinPassLifetime, true},
		{DefaultPassLifetime, true}, {MaxPassLifetime, true}, {MaxPassLifetime + 1, false},
	} {
		token, shown, err := NewPass(mfa.NameOf("alice"), start, tt.lifetime, true)
		if (err == nil) != tt.ok {
			t.Errorf("%v: got error %v", tt.lifetime, err)
		}
		if err != nil {
			continue
		}
		if err := token.Validate(); err != nil {
			t.Error(err)
		}
		if !token.Once || !token.NotBefore.Equal(start) || !token.Expires.Equal(start.Add(tt.lifetime)) ||
			token.Digits != len(token.Secret) || strings.ReplaceAll(shown, "-", "") != string(token.Secret) {
			t.Errorf("%v: got %+v, shown as %s", tt.lifetime, token, shown)
		}
	}
}
