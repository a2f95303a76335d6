package password

import (
	"crypto/subtle"
	"unicode/utf16"
	"unicode/utf8"

	"layeh.com/radius/rfc2759"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/text"
)

// NT is the NT hash of a password: MD4 of the password in UTF-16LE (RFC 2759 §8.3).
type NT [16]byte

// NTOf is the NT hash of a password. It returns false for one that is not UTF-8: no user typed it,
// and a converter that replaces what it cannot read would make many passwords one.
func NTOf(password string) (NT, bool) {
	if !utf8.ValidString(password) {
		return NT{}, false
	}
	b := make([]byte, 0, 2*len(password))
	for _, r := range password {
		if r < 0x10000 {
			b = append(b, byte(r), byte(r>>8))
			continue
		}
		hi, lo := utf16.EncodeRune(r)
		b = append(b, byte(hi), byte(hi>>8), byte(lo), byte(lo>>8))
	}
	return NT(rfc2759.NTPasswordHash(b)), true
}

func (h NT) slow() bool { return false }

func (h NT) match(password string) bool {
	got, ok := NTOf(password)
	return subtle.ConstantTimeCompare(got[:], h[:]) == 1 && ok
}

// matchMSCHAPv2 returns the name that the response was computed with, false if
// there is none. RFC 2759 §4 leaves the domain out of it; some clients do not.
// Both names are always tried, so that the time tells nothing.
func (h NT) matchMSCHAPv2(user string, c mfa.MSCHAPv2) (name string, ok bool) {
	bare := text.WithoutNTDomain(user)
	asSent, asBare := h.Response(user, c), h.Response(bare, c)
	if subtle.ConstantTimeCompare(asBare, c.NTResponse[:]) == 1 {
		name, ok = bare, true
	}
	if subtle.ConstantTimeCompare(asSent, c.NTResponse[:]) == 1 {
		name, ok = user, true
	}
	return name, ok
}

// Response is the NT-Response for name (RFC 2759 §8.1).
func (h NT) Response(name string, c mfa.MSCHAPv2) []byte {
	challenge := rfc2759.ChallengeHash(c.PeerChallenge[:], c.AuthChallenge[:], []byte(name))
	return rfc2759.ChallengeResponse(challenge, h[:])
}

// keys is what the answer to a right response is computed from.
func (h NT) keys(name string) *mfa.MSCHAPKeys {
	return &mfa.MSCHAPKeys{NTHashHash: [16]byte(rfc2759.NTPasswordHash(h[:])), Name: name}
}
