package otp

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
)

// The algorithms, as otpauth URLs spell them.
const (
	SHA1   = "SHA1"
	SHA256 = "SHA256"
	SHA512 = "SHA512"
)

// generator computes the codes of one key (RFC 4226 §5.3). It is HMAC by hand,
// on the stack: a login compares several codes, and crypto/hmac takes nearly
// twice as long for them and allocates.
type generator struct {
	algorithm string
	block     int // block size of the hash
	modulo    uint32
	inner     [sha512.BlockSize + 8]byte           // key ^ ipad, then the counter
	outer     [sha512.BlockSize + sha512.Size]byte // key ^ opad, then the inner hash
}

// reset prepares g for the key of t, whose algorithm and digits are valid.
func (g *generator) reset(t *Token) {
	*g = generator{algorithm: t.Algorithm, block: sha1.BlockSize, modulo: 1_000_000}
	if t.Algorithm == SHA512 {
		g.block = sha512.BlockSize
	}
	if t.Digits == 8 {
		g.modulo = 100_000_000
	}
	n := copy(g.inner[:g.block], t.Secret)
	if n < len(t.Secret) { // RFC 2104 §2: a key longer than a block is hashed
		clear(g.inner[:g.block])
		g.hash(g.inner[:], t.Secret)
	}
	copy(g.outer[:g.block], g.inner[:g.block])
	for i := range g.block {
		g.inner[i] ^= 0x36
		g.outer[i] ^= 0x5c
	}
}

// hash writes the hash of msg to dst and returns its length.
func (g *generator) hash(dst, msg []byte) int {
	switch g.algorithm {
	case SHA256:
		sum := sha256.Sum256(msg)
		return copy(dst, sum[:])
	case SHA512:
		sum := sha512.Sum512(msg)
		return copy(dst, sum[:])
	default:
		sum := sha1.Sum(msg)
		return copy(dst, sum[:])
	}
}

// code returns the code of a step or counter as a number.
func (g *generator) code(step int64) int32 {
	binary.BigEndian.PutUint64(g.inner[g.block:], uint64(step))
	n := g.hash(g.outer[g.block:], g.inner[:g.block+8])
	var sum [sha512.Size]byte
	n = g.hash(sum[:], g.outer[:g.block+n])
	offset := sum[n-1] & 0x0f
	return int32(binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff % g.modulo)
}

// scan compares value with the codes of all steps from..to. It returns the
// highest step of next or later that has this code, or -1, and whether a step
// before next has it. The highest, so that a code which two steps share is not
// good for the other one too. The time it takes does not depend on the codes.
func (g *generator) scan(value int32, from, to, next int64) (step int64, used bool) {
	step = -1
	var before int
	for s := max(from, 0); s <= to; s++ {
		equal := subtle.ConstantTimeEq(g.code(s), value)
		if s < next { // known to everyone, unlike the code
			before |= equal
			continue
		}
		step += int64(equal) * (s - step)
	}
	return step, before == 1
}
