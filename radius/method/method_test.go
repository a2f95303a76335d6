package method

import (
	"testing"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// The attributes of a request name its method, and only one with a password, or none at
// all at a client that needs none, makes a credential that can be examined.
func TestOf(t *testing.T) {
	secret := wire.NewSecret([]byte("secret"))
	gatewayRequest := func() wire.Request { return wire.Request{Raw: make([]byte, wire.HeaderSize), Signed: true} }
	for _, test := range []struct {
		name    string
		request wire.Request
		client  Client
		method  Method
		refused string // why the credential is not examined; empty: it is
	}{
		{"EAP", wire.Request{EAP: true, EAPID: 7, OtherCredential: "EAP", Signed: true}, Client{}, eap{7}, "EAP"},
		{"EAP beside a password", wire.Request{EAP: true, Password: make([]byte, 16), OtherCredential: "EAP"}, Client{}, eap{}, "EAP"},
		{"a password of no whole block", wire.Request{Raw: make([]byte, wire.HeaderSize), Password: make([]byte, 15)}, Client{}, pap{}, "malformed User-Password"},
		{"MS-CHAPv2 that is too short", wire.Request{MSChallenge: make([]byte, 16), MS2Response: make([]byte, 49), Signed: true}, Client{}, mschap{}, "malformed MS-CHAPv2"},
		{"MS-CHAPv2, unsigned where addresses learn to sign", wire.Request{MSChallenge: make([]byte, 16), MS2Response: make([]byte, 50)}, Client{LearnsToSign: true}, mschap{}, "MS-CHAPv2 in an unsigned request"},
		{"nothing", gatewayRequest(), Client{}, gateway{}, "no credential"},
		{"nothing, of no RD Gateway", gatewayRequest(), Client{NoPassword: true}, gateway{}, "no credential, and MS-Network-Access-Server-Type is not that of an RD Gateway"},
		{"nothing, where any NAS may", gatewayRequest(), Client{NoPassword: true, AnyNASType: true}, gateway{}, ""},
		{"nothing, unsigned", wire.Request{Raw: make([]byte, wire.HeaderSize)}, Client{NoPassword: true, AnyNASType: true}, gateway{}, "no credential"},
		{"nothing but an answer", wire.Request{Raw: make([]byte, wire.HeaderSize), Signed: true, State: []byte("x")}, Client{NoPassword: true, AnyNASType: true}, gateway{}, "no credential"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := Of(&test.request)
			if m != test.method {
				t.Fatalf("method %#v, want %#v", m, test.method)
			}
			cred, _ := m.Credential(test.client, &test.request, secret)
			u, refused := cred.(mfa.Unsupported)
			if refused != (test.refused != "") || u.What != test.refused {
				t.Errorf("credential %#v, want it refused as %q", cred, test.refused)
			}
		})
	}
}

// A method that needs a proof of its own in the answer makes no Access-Accept without it.
func TestAcceptNeedsProof(t *testing.T) {
	proof := &mfa.Identity{MSCHAP: &mfa.MSCHAPKeys{}}
	for _, test := range []struct {
		name     string
		method   Method
		cred     mfa.Credential
		identity *mfa.Identity
		accepts  bool
	}{
		{"EAP that was not held", eap{1}, mfa.Password("x"), proof, false},
		{"MS-CHAPv2 without an identity", mschap{}, mfa.MSCHAPv2{}, nil, false},
		{"MS-CHAPv2 without keys", mschap{}, mfa.MSCHAPv2{}, &mfa.Identity{}, false},
		{"MS-CHAPv2 with another credential", mschap{}, mfa.Password("x"), proof, false},
		{"MS-CHAPv2", mschap{}, mfa.MSCHAPv2{}, proof, true},
		{"PAP", pap{}, mfa.Password("x"), &mfa.Identity{}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var auth [wire.AuthSize]byte
			w := wire.NewWriter(nil, wire.AccessAccept, 1, auth[:], wire.NewSecret([]byte("secret")))
			test.method.Accept(&w, test.cred, mfa.Decision{Outcome: mfa.Accept, Identity: test.identity})
			if accepts := w.Err == nil; accepts != test.accepts {
				t.Errorf("error %v, want an Access-Accept: %v", w.Err, test.accepts)
			}
		})
	}
}
