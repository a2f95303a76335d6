package mfa

// Credential is the first factor of a request: Password, MSCHAPv2, NoCredential or Unsupported.
type Credential interface{ credential() }

// Password is a PAP password, or the answer to a challenge. It does not print.
type Password string

// MSCHAPv2 is an MS-CHAPv2 response (RFC 2759).
type MSCHAPv2 struct {
	Ident         byte
	AuthChallenge [16]byte
	PeerChallenge [16]byte
	NTResponse    [24]byte
	// Octets is the name as the client has sent it, where that was not UTF-8: the
	// response was computed with it.
	Octets string
}

// NameOf is the name with which the response of user was computed.
func (c *MSCHAPv2) NameOf(user Name) string {
	if c.Octets != "" {
		return c.Octets
	}
	return user.Sent()
}

// NoCredential is a signed request that carries no credential attribute of any
// kind, on a client whose profile allows it.
type NoCredential struct{}

// Unsupported is a credential that radmatch does not examine; What names it for the log.
type Unsupported struct {
	What string
	// NoText: it answers a challenge with octets that nobody typed, as a client does
	// whose user cancels.
	NoText bool
}

func (Password) credential() {}

func (MSCHAPv2) credential() {}

func (NoCredential) credential() {}

func (Unsupported) credential() {}

// Protocol is how a request brings the first factor.
type Protocol string

// The protocols. Of an Unsupported credential it is empty.
const (
	ProtocolPAP      Protocol = "PAP"
	ProtocolMSCHAPv2 Protocol = "MS-CHAPv2"
	ProtocolNone     Protocol = "no password"
)

// ProtocolOf names the protocol of a credential.
func ProtocolOf(cred Credential) Protocol {
	switch cred.(type) {
	case Password:
		return ProtocolPAP
	case MSCHAPv2:
		return ProtocolMSCHAPv2
	case NoCredential:
		return ProtocolNone
	}
	return ""
}

const redacted = "[redacted]"

// String, GoString and MarshalText keep a password out of logs and errors.
func (Password) String() string { return redacted }

func (Password) GoString() string { return redacted }

func (Password) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MSCHAPKeys is what the answer to a verified MS-CHAPv2 response is computed
// from; or, where another server has verified it and the password's hash is not
// known, what that server has computed: Success is then not empty.
type MSCHAPKeys struct {
	NTHashHash [16]byte // MD4(MD4(unicode password)), RFC 2759 §8.4
	Name       string   // the user name that the response was computed with (RFC 2759 §4)

	Success string   // "S=" and 40 hexadecimal digits, RFC 2759 §5
	SendKey Password // MPPE keys of that server, empty where it sent none
	RecvKey Password
}

// String keeps the key out of logs.
func (*MSCHAPKeys) String() string { return redacted }

// GoString keeps the key out of logs.
func (*MSCHAPKeys) GoString() string { return redacted }

// Attribute is an encoded RADIUS attribute. Vendor 0 is the standard space. Tag
// is 0 where there is none (RFC 2868 tags are 1 to 31) and then already absent
// from Value. Value is at most 253 octets, 247 for a vendor's. Salted means that
// Value is clear here and must be encrypted for the client (RFC 2868 §3.5).
type Attribute struct {
	Vendor uint32
	Type   byte
	Tag    byte
	Salted bool
	Value  []byte
}
