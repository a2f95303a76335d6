package login

import (
	"crypto/rand"
	"encoding/base32"
)

// entropy is buffered randomness: a system call for each State would cost more
// than the rest of making one.
type entropy struct {
	buf  [512]byte
	left int
}

func (e *entropy) bytes(n int) []byte {
	if e.left < n {
		rand.Read(e.buf[:]) // never fails; it ends the program if the system has no randomness
		e.left = len(e.buf)
	}
	b := e.buf[e.left-n : e.left]
	e.left -= n
	return b
}

// text returns n random octets as base32: printable, because ocserv handles
// State as a C string.
func (e *entropy) text(n int) string {
	b := e.bytes(n)
	s := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b)
	clear(b)
	return s
}

func (e *entropy) number() string {
	for {
		// 180 is the highest multiple of 90 in an octet: no number is likelier.
		if b := e.bytes(1)[0]; b < 180 {
			n := 10 + b%90
			return string([]byte{'0' + n/10, '0' + n%10})
		}
	}
}
