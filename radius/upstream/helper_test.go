package upstream

import (
	"crypto/md5"
	"encoding/binary"

	"github.com/radmatch/radmatch/radius/wire"
)

const testSecret = "xyzzy5461" // of the RFCs' examples

func authOf(n byte) *[16]byte { return &[16]byte{n, 1, 2, 3} }

// raw builds a packet of attributes that a client would not; without a
// Message-Authenticator among them it is unsigned.
func raw(code wire.Code, id, n byte, attributes ...[]byte) []byte {
	p := append([]byte{byte(code), id, 0, 0}, authOf(n)[:]...)
	at := 0
	for _, a := range attributes {
		if a[0] == wire.TypeMessageAuthenticator && at == 0 {
			at = len(p) + 2
		}
		p = append(p, a...)
	}
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	if at > 0 {
		sum := wire.NewSecret([]byte(testSecret)).Sign(p, at)
		copy(p[at:], sum[:])
	}
	return p
}

func avp(typ byte, value string) []byte {
	return append([]byte{typ, byte(2 + len(value))}, value...)
}

func emptyMA() []byte { return avp(wire.TypeMessageAuthenticator, string(make([]byte, md5.Size))) }
