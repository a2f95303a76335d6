package login

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"sync"

	"github.com/radmatch/radmatch/mfa"
)

// entropy is buffered randomness: a system call for each State would cost more
// than the rest of making one. It may be used concurrently; its zero value is ready.
type entropy struct {
	mu   sync.Mutex
	buf  [512]byte
	left int
}

// bytes returns octets that are used once, and are the caller's until e.mu is given
// back. e.mu is held.
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
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.bytes(n)
	s := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b)
	clear(b)
	return s
}

// id returns the id of a login.
func (e *entropy) id() string { return e.text(10) }

// number returns two digits, 10 to 99.
func (e *entropy) number() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		// 180 is the highest multiple of 90 in an octet: no number is likelier.
		if b := e.bytes(1)[0]; b < 180 {
			n := 10 + b%90
			return string([]byte{'0' + n/10, '0' + n%10})
		}
	}
}

// deviceCode returns six digits, none likelier than another.
func (e *entropy) deviceCode() mfa.Password {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		b := e.bytes(3)
		n := uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
		clear(b)
		if n < 16_000_000 { // the highest multiple of a million in three octets
			return mfa.Password(fmt.Sprintf("%06d", n%1_000_000))
		}
	}
}
