package wire

import (
	"crypto/md5"
	"fmt"
	"strings"

	"github.com/radmatch/radmatch/mfa"
)

// Query is a request as a client sends it.
type Query struct {
	Code       Code // AccessRequest or StatusServer
	User       string
	Cred       mfa.Credential // mfa.Password, mfa.MSCHAPv2 or nil
	State      string
	Attributes []mfa.Attribute // further ones, from NASAttribute
	Tail       []byte          // and encoded ones behind them
}

// Append appends the query as a packet, with the Message-Authenticator first.
// auth must be random and never used twice with one secret (RFC 2865 §3).
func (q *Query) Append(b []byte, id byte, auth *[16]byte, secret *Secret) ([]byte, error) {
	start := len(b)
	w := NewWriter(b[start:], q.Code, id, auth[:], secret)
	if q.User != "" {
		w.Text(TypeUserName, q.User)
	}
	switch c := q.Cred.(type) {
	case mfa.Password:
		w.password(string(c))
	case mfa.MSCHAPv2:
		w.Vendor(VendorMicrosoft, MSCHAPChallenge, c.AuthChallenge[:])
		response := append(make([]byte, 0, MS2ResponseSize), c.Ident, 0)
		response = append(response, c.PeerChallenge[:]...)
		response = append(response, make([]byte, 8)...)
		w.Vendor(VendorMicrosoft, MSCHAP2Response, append(response, c.NTResponse[:]...))
	}
	if q.State != "" {
		w.Text(TypeState, q.State)
	}
	for _, a := range q.Attributes {
		w.Add(a)
	}
	w.B = append(w.B, q.Tail...)
	if err := w.Seal(); err != nil {
		return nil, err
	}
	return append(b[:start], w.B...), nil
}

// password appends a User-Password (RFC 2865 §5.2).
func (w *Writer) password(password string) {
	if len(password) > MaxPassword {
		w.Err = fmt.Errorf("the password is longer than %d octets", MaxPassword)
		return
	}
	var plain, encrypted [MaxPassword]byte
	n := max(minPassword, (copy(plain[:], password)+md5.Size-1)/md5.Size*md5.Size)
	w.Attribute(TypeUserPassword, cryptPassword(encrypted[:0], plain[:n], w.auth, w.secret, true))
}

// NASAttribute is a text attribute of a request, for Query.Attributes.
func NASAttribute(name, value string) (mfa.Attribute, error) {
	def, ok := StandardDictionary().names[strings.ToLower(name)]
	if !ok || StandardDictionary().uses[def.Key()] == UseServer || def.tag {
		return mfa.Attribute{}, fmt.Errorf("attribute %q: not one that a client may add", name)
	}
	b, err := def.encode(value, 0)
	if err != nil {
		return mfa.Attribute{}, fmt.Errorf("attribute %q: %w; got %q", name, err, value)
	}
	return mfa.Attribute{Vendor: def.Vendor, Type: def.Type, Value: b}, nil
}
