package radius

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

// sign returns the Message-Authenticator of packet, whose header holds the
// Request Authenticator and whose Message-Authenticator value stands at offset
// at (RFC 3579 §3.2). The value in the packet is taken as zero.
func (s *Secret) sign(packet []byte, at int) [md5.Size]byte {
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

// digest returns the Response Authenticator of packet, whose header holds the
// Request Authenticator (RFC 2865 §3).
func (s *Secret) digest(packet []byte) [md5.Size]byte {
	m := s.macs.Get().(*mac)
	m.md5.Reset()
	m.md5.Write(packet)
	m.md5.Write(s.key)
	m.md5.Sum(m.sum[:0])
	sum := m.sum
	s.macs.Put(m)
	return sum
}

// verify reports in constant time whether the Message-Authenticator whose value
// stands at offset at is that of packet.
func (s *Secret) verify(packet []byte, at int) bool {
	sum := s.sign(packet, at)
	return hmac.Equal(sum[:], packet[at:at+md5.Size])
}
