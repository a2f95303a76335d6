package wire

import (
	"crypto/md5"
	"errors"
)

// Lengths of an encrypted User-Password (RFC 2865 §5.2).
const (
	minPassword = 16
	MaxPassword = 128
)

// DecryptPassword appends to dst the password that an encrypted User-Password
// holds; false if it has an impossible length. Only trailing NULs are padding: a
// NUL within stays, so that no password is equal to a part of itself.
func DecryptPassword(dst, encrypted, auth []byte, secret *Secret) ([]byte, bool) {
	if n := len(encrypted); n < minPassword || n > MaxPassword || n%md5.Size != 0 {
		return nil, false
	}
	start := len(dst)
	dst = cryptPassword(dst, encrypted, auth, secret, false)
	for len(dst) > start && dst[len(dst)-1] == 0 {
		dst = dst[:len(dst)-1]
	}
	return dst, true
}

// cryptPassword appends the stream of RFC 2865 §5.2 over text, whose length is a
// multiple of 16. Each block is keyed by the encrypted one before it.
func cryptPassword(dst, text, auth []byte, secret *Secret, encrypt bool) []byte {
	var room [256 + md5.Size]byte
	key := append(room[:0], secret.key...)
	previous := auth
	for i := 0; i < len(text); i += md5.Size {
		block := md5.Sum(append(key, previous...))
		for j, b := range text[i : i+md5.Size] {
			block[j] ^= b
		}
		dst = append(dst, block[:]...)
		previous = text[i : i+md5.Size]
		if encrypt {
			previous = dst[len(dst)-md5.Size:]
		}
	}
	return dst
}

// DecryptSalted undoes writer.encrypt: salt, then a length and the text in
// blocks (RFC 2868 §3.5, RFC 2548 §2.4.2).
func DecryptSalted(value, auth []byte, secret *Secret) ([]byte, error) {
	const salt = 2
	if len(value) < salt+AuthSize || (len(value)-salt)%AuthSize != 0 {
		return nil, errors.New("malformed encrypted value")
	}
	var seed [AuthSize + salt]byte
	copy(seed[:], auth)
	copy(seed[AuthSize:], value)
	plain := cryptPassword(nil, value[salt:], seed[:], secret, false)
	n := int(plain[0])
	if n > len(plain)-1 {
		return nil, errors.New("malformed encrypted value")
	}
	return plain[1 : 1+n : 1+n], nil
}
