package otp

import (
	"fmt"
	"strings"
	"testing"

	pquerna "github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

// rfcSecret is the seed of both RFCs, cut to length bytes.
func rfcSecret(length int) []byte {
	return []byte(strings.Repeat("1234567890", 13)[:length])
}

func codeOf(t *Token, step int64) string {
	var g generator
	g.reset(t)
	return fmt.Sprintf("%0*d", t.Digits, g.code(step))
}

// RFC 4226 appendix D.
func TestHOTPVectors(t *testing.T) {
	want := []string{"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"}
	token := Token{Kind: HOTP, Secret: rfcSecret(20), Algorithm: SHA1, Digits: 6}
	for counter, want := range want {
		if got := codeOf(&token, int64(counter)); got != want {
			t.Errorf("counter %d: got %s; want %s", counter, got, want)
		}
	}
}

// RFC 6238 appendix B.
func TestTOTPVectors(t *testing.T) {
	tests := []struct {
		unix                 int64
		sha1, sha256, sha512 string
	}{
		{59, "94287082", "46119246", "90693936"},
		{1111111109, "07081804", "68084774", "25091201"},
		{1111111111, "14050471", "67062674", "99943326"},
		{1234567890, "89005924", "91819424", "93441116"},
		{2000000000, "69279037", "90698825", "38618901"},
		{20000000000, "65353130", "77737706", "47863826"},
	}
	for _, tt := range tests {
		for _, a := range []struct {
			algorithm string
			secret    int
			want      string
		}{{SHA1, 20, tt.sha1}, {SHA256, 32, tt.sha256}, {SHA512, 64, tt.sha512}} {
			token := Token{Kind: TOTP, Secret: rfcSecret(a.secret), Algorithm: a.algorithm, Digits: 8, Period: 30}
			if got := codeOf(&token, tt.unix/30); got != a.want {
				t.Errorf("%s at %d: got %s; want %s", a.algorithm, tt.unix, got, a.want)
			}
		}
	}
}

// TestOracle compares with pquerna, keys longer than a block included.
func TestOracle(t *testing.T) {
	for _, algorithm := range []string{SHA1, SHA256, SHA512} {
		for _, digits := range []int{6, 8} {
			for _, size := range []int{10, 20, 63, 64, 65, 127, 128, 129} {
				token := Token{Kind: HOTP, Secret: rfcSecret(size), Algorithm: algorithm, Digits: digits}
				for _, step := range []int64{0, 1, 255, 1 << 32, 57_000_000, 1<<63 - 1} {
					want, err := hotp.GenerateCodeCustom(FormatSecret(token.Secret), uint64(step),
						hotp.ValidateOpts{Digits: pquerna.Digits(digits), Algorithm: algorithms[algorithm]})
					if err != nil {
						t.Fatal(err)
					}
					if got := codeOf(&token, step); got != want {
						t.Errorf("%s, %d digits, key of %d, step %d: got %s; want %s", algorithm, digits, size, step, got, want)
					}
				}
			}
		}
	}
}

func TestScan(t *testing.T) {
	token := Token{Kind: HOTP, Secret: rfcSecret(20), Algorithm: SHA1, Digits: 6}
	var g generator
	g.reset(&token)
	tests := []struct {
		name           string
		step           int64 // whose code is searched
		from, to, next int64
		want           int64
		used           bool
	}{
		{"first of the range", 3, 3, 9, 0, 3, false},
		{"last of the range", 9, 3, 9, 0, 9, false},
		{"before the range", 2, 3, 9, 0, -1, false},
		{"after the range", 10, 3, 9, 0, -1, false},
		{"the next one", 5, 3, 9, 5, 5, false},
		{"used", 4, 3, 9, 5, -1, true},
		{"range before 0", 0, -7, 3, 0, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, used := g.scan(g.code(tt.step), tt.from, tt.to, tt.next)
			if got != tt.want || used != tt.used {
				t.Errorf("got %d, used %t; want %d, used %t", got, used, tt.want, tt.used)
			}
		})
	}
}

// TestScanCollision: of two steps with one code the later one is taken, so that
// the code is used up with both.
func TestScanCollision(t *testing.T) {
	token := Token{Kind: HOTP, Secret: rfcSecret(20), Algorithm: SHA1, Digits: 6}
	var g generator
	g.reset(&token)
	seen := map[int32]int64{}
	for step := int64(0); ; step++ {
		first, ok := seen[g.code(step)]
		seen[g.code(step)] = step
		if !ok {
			continue
		}
		if got, used := g.scan(g.code(step), first, step, first); got != step || used {
			t.Errorf("got %d, used %t; want %d, the later of two", got, used, step)
		}
		if _, used := g.scan(g.code(step), first, step, first+1); !used {
			t.Errorf("the earlier of two is used: got not used")
		}
		return
	}
}
