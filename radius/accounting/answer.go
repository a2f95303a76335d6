package accounting

import (
	"crypto/hmac"
	"encoding/binary"
	"errors"

	"github.com/radmatch/radmatch/radius/wire"
)

// AppendResponse appends the Accounting-Response to the request with this identifier
// and authenticator. proxy is its Proxy-State attributes, which the answer repeats; it
// must come from a request, so that it fits. There is no Message-Authenticator: that is
// defined for accounting nowhere but in answers to Status-Server, and programs differ in
// how they compute it.
func AppendResponse(b []byte, id byte, auth [wire.AuthSize]byte, proxy []byte, secret *wire.Secret) []byte {
	b = append(b, byte(wire.AccountingResponse), id, 0, 0)
	b = append(b, auth[:]...)
	b = append(b, proxy...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	sum := secret.Digest(b)
	copy(b[4:wire.HeaderSize], sum[:])
	return b
}

// parseResponse verifies that datagram is the Accounting-Response to the
// request with this identifier and authenticator. A Message-Authenticator is not
// looked at: servers differ in how they compute it here, and the Response
// Authenticator covers all.
func parseResponse(datagram []byte, id byte, auth [wire.AuthSize]byte, secret *wire.Secret) (wire.Answer, error) {
	p := wire.Trim(datagram)
	switch {
	case p == nil:
		return wire.Answer{}, errors.New("malformed packet")
	case p[1] != id:
		return wire.Answer{}, errors.New("answers another request")
	case p[0] != byte(wire.AccountingResponse):
		return wire.Answer{}, errors.New("is no Accounting-Response")
	}
	response := [wire.AuthSize]byte(p[4:wire.HeaderSize])
	copy(p[4:wire.HeaderSize], auth[:])
	digest := secret.Digest(p)
	copy(p[4:wire.HeaderSize], response[:])
	if !hmac.Equal(digest[:], response[:]) {
		return wire.Answer{}, errors.New("is signed with another secret")
	}
	return wire.Answer{Code: wire.AccountingResponse, Packet: p}, nil
}
