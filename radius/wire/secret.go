package wire

import (
	"crypto/hmac"
	"crypto/md5"
	"hash"
	"slices"
	"sync"
)

// Secret is a shared secret with its keyed hashes. It does not print, and may be
// used concurrently.
type Secret struct {
	key  []byte
	macs sync.Pool // of *mac; keying HMAC anew costs as much as using it
}

type mac struct {
	hash hash.Hash // HMAC-MD5
	md5  hash.Hash
	sum  [md5.Size]byte
	zero [md5.Size]byte // stands for the Message-Authenticator while it is computed
}

// NewSecret copies key.
func NewSecret(key []byte) *Secret {
	s := &Secret{key: slices.Clone(key)}
	s.macs.New = func() any { return &mac{hash: hmac.New(md5.New, s.key), md5: md5.New()} }
	return s
}

// String and GoString keep the secret out of logs and errors.
func (*Secret) String() string   { return "[redacted]" }
func (*Secret) GoString() string { return "[redacted]" }

// Sign returns the Message-Authenticator of packet, whose header holds the
// Request Authenticator and whose Message-Authenticator value stands at offset
// at (RFC 3579 §3.2). The value in the packet is taken as zero.
func (s *Secret) Sign(packet []byte, at int) [md5.Size]byte {
	m := s.macs.Get().(*mac)
	m.hash.Reset()
	m.hash.Write(packet[:at])
	m.hash.Write(m.zero[:])
	m.hash.Write(packet[at+md5.Size:])
	m.hash.Sum(m.sum[:0])
	sum := m.sum
	s.macs.Put(m)
	return sum
}

// Digest returns the Response Authenticator of packet, whose header holds the
// Request Authenticator (RFC 2865 §3).
func (s *Secret) Digest(packet []byte) [md5.Size]byte {
	m := s.macs.Get().(*mac)
	m.md5.Reset()
	m.md5.Write(packet)
	m.md5.Write(s.key)
	m.md5.Sum(m.sum[:0])
	sum := m.sum
	s.macs.Put(m)
	return sum
}

// Verify reports in constant time whether the Message-Authenticator whose value
// stands at offset at is that of packet.
func (s *Secret) Verify(packet []byte, at int) bool {
	sum := s.Sign(packet, at)
	return hmac.Equal(sum[:], packet[at:at+md5.Size])
}

// VerifyAccounting reports in constant time whether p is an Accounting-Request of
// who has the secret. Both hashes are over a Request Authenticator of zeros
// (RFC 2866 §3); ma is the offset of the Message-Authenticator, 0 where there is
// none. p is written to during the call.
func (s *Secret) VerifyAccounting(p []byte, ma int) bool {
	var auth, zero [AuthSize]byte
	copy(auth[:], p[4:HeaderSize])
	copy(p[4:HeaderSize], zero[:])
	sum := s.Digest(p)
	signed := ma == 0 || s.Verify(p, ma)
	copy(p[4:HeaderSize], auth[:])
	return hmac.Equal(sum[:], auth[:]) && signed
}

// SignAccounting sets the Request Authenticator of an Accounting-Request.
func (s *Secret) SignAccounting(p []byte) (auth [md5.Size]byte) {
	clear(p[4:HeaderSize])
	auth = s.Digest(p)
	copy(p[4:HeaderSize], auth[:])
	return auth
}
