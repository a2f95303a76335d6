package pushtest

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/radmatch/radmatch/mfa/device"
)

// The flags of an authenticator (WebAuthn §6.1).
const (
	UserPresent  = 0x01
	UserVerified = 0x04
	BackupAble   = 0x08
	BackedUp     = 0x10

	attested = 0x40 // the data of the credential follow
)

// Authenticator is a passkey and the browser around it: honest, until its fields
// are set to what an attacker would send.
type Authenticator struct {
	RP     string // id of the relying party
	Origin string
	ID     []byte
	Key    *ecdsa.PrivateKey
	Flags  byte
	Count  uint32 // of the signature made last
	Handle []byte // of the user, with an assertion; nil: none
	Type   string // in place of webauthn.create and webauthn.get
	Format string // of the attestation; empty: none
	X5C    bool   // the attestation claims a certificate
}

// NewAuthenticator returns one with a new key, which verifies its user.
func NewAuthenticator(t testing.TB, rp, origin string) *Authenticator {
	t.Helper()
	key, err := device.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	return &Authenticator{RP: rp, Origin: origin, ID: id, Key: key, Flags: UserPresent | UserVerified}
}

// Register returns a RegistrationResponseJSON for a challenge, as base64url.
func (a *Authenticator) Register(challenge string) []byte {
	point, err := a.Key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		panic(err)
	}
	// RFC 8949: a map of five; 1 (kty): 2 (EC2), 3 (alg): -7, -1 (crv): 1 (P-256), -2: x, -3: y.
	cose := []byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 32}
	cose = append(append(append(cose, point[1:33]...), 0x22, 0x58, 32), point[33:]...)
	data := a.data(a.Flags | attested)
	data = append(data, make([]byte, 16)...) // AAGUID
	data = binary.BigEndian.AppendUint16(data, uint16(len(a.ID)))
	data = append(append(data, a.ID...), cose...)

	format := cmp.Or(a.Format, "none")
	object := append([]byte{0xa3}, text("fmt")...)
	object = append(append(object, text(format)...), text("attStmt")...)
	if a.X5C {
		object = append(append(object, 0xa1), text("x5c")...)
		object = append(object, 0x81, 0x41, 0x00) // a list of one octet string
	} else {
		object = append(object, 0xa0)
	}
	object = append(append(object, text("authData")...), 0x59)
	object = append(binary.BigEndian.AppendUint16(object, uint16(len(data))), data...)
	return a.marshal(map[string]any{"attestationObject": device.Encode(object), "clientDataJSON": device.Encode(a.client("webauthn.create", challenge))})
}

// Assert returns an AuthenticationResponseJSON over a challenge.
func (a *Authenticator) Assert(challenge []byte) []byte {
	data, client := a.data(a.Flags), a.client("webauthn.get", device.Encode(challenge))
	hash := sha256.Sum256(client)
	digest := sha256.Sum256(append(append([]byte{}, data...), hash[:]...))
	sig, err := ecdsa.SignASN1(rand.Reader, a.Key, digest[:])
	if err != nil {
		panic(err)
	}
	response := map[string]any{"authenticatorData": device.Encode(data), "clientDataJSON": device.Encode(client), "signature": device.Encode(sig)}
	if a.Handle != nil {
		response["userHandle"] = device.Encode(a.Handle)
	}
	return a.marshal(response)
}

func (a *Authenticator) data(flags byte) []byte {
	rp := sha256.Sum256([]byte(a.RP))
	return binary.BigEndian.AppendUint32(append(rp[:], flags), a.Count)
}

func (a *Authenticator) client(kind, challenge string) []byte {
	if a.Type != "" {
		kind = a.Type
	}
	b, err := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": a.Origin, "crossOrigin": false})
	if err != nil {
		panic(err)
	}
	return b
}

func (a *Authenticator) marshal(response any) []byte {
	id := device.Encode(a.ID)
	b, err := json.Marshal(map[string]any{"id": id, "rawId": id, "type": "public-key", "response": response, "clientExtensionResults": map[string]any{}})
	if err != nil {
		panic(err)
	}
	return b
}

// text is a CBOR text of less than 24 octets.
func text(s string) []byte { return append([]byte{0x60 | byte(len(s))}, s...) }
