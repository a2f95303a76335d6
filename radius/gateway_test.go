package radius

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	layeh "layeh.com/radius"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/method"
	"github.com/radmatch/radmatch/radius/profile"
	"github.com/radmatch/radmatch/radius/wire"
)

// microsoft is one Vendor-Specific with one attribute of Microsoft's.
func msAVP(typ byte, value string) []byte {
	return avp(wire.TypeVendorSpecific, "\x00\x00\x01\x37"+string(avp(typ, value)))
}

func serverType(n uint32) []byte {
	return msAVP(wire.MSNetworkAccessServerType, string(binary.BigEndian.AppendUint32(nil, n)))
}

// rdg are the attributes of a request as an RD Gateway's NPS forwards it.
func rdg() [][]byte {
	return [][]byte{
		avp(wire.TypeUserName, `EXAMPLE\nemo`), avp(wire.TypeNASPortType, "\x00\x00\x00\x05"), avp(wire.TypeCalledStationID, "UserAuthType:PW"),
		msAVP(wire.MSMachineName, "PC-17"), serverType(wire.ServerTypeGateway),
		avp(wire.TypeProxyState, "\xfe\x80\x00\x01"), emptyMA(),
	}
}

func without(attributes [][]byte, gone []byte) [][]byte {
	return slices.DeleteFunc(attributes, func(a []byte) bool { return bytes.Equal(a, gone) })
}

// gatewayCredential is what the server makes of a packet that a client with the
// profile rdgateway sent.
func gatewayCredential(t *testing.T, packet []byte, change func(*Client)) *mfa.Request {
	t.Helper()
	r := newRig(t, func(c *Client) {
		p, err := profile.Lookup("rdgateway")
		if err != nil {
			t.Fatal(err)
		}
		c.Profile, c.RequireMA, c.Policy = p, RequireNo, &mfa.Client{NoPassword: p.NoPassword}
		if change != nil {
			change(c)
		}
	})
	r.arrive(packet)
	synctest.Wait()
	if calls := r.auth.seen(); len(calls) == 1 {
		return calls[0].Request
	}
	return nil
}

func TestWithoutCredential(t *testing.T) {
	type attributes = [][]byte
	add := func(more ...[]byte) func(attributes) attributes {
		return func(a attributes) attributes { return append(a, more...) }
	}
	replaceType := func(with ...[]byte) func(attributes) attributes {
		return func(a attributes) attributes { return append(without(a, serverType(1)), with...) }
	}
	anyNAS := func(c *Client) { c.AnyNASType = true }
	const notGateway = "no credential, and MS-Network-Access-Server-Type is not that of an RD Gateway"
	tests := []struct {
		name   string
		packet func(attributes) attributes
		client func(*Client)
		want   string // what is unsupported; empty: NoCredential
	}{
		{name: "as an RD Gateway sends it"},
		{name: "the type and the name in one Vendor-Specific", packet: replaceType(avp(wire.TypeVendorSpecific,
			"\x00\x00\x01\x37"+string(avp(wire.MSNetworkAccessServerType, "\x00\x00\x00\x01"))+string(avp(msServiceClass, "x"))))},
		{name: "a smart card", packet: add(avp(wire.TypeCallingStationID, "UserAuthType:CA"))},
		{name: "any NAS type", packet: replaceType(), client: anyNAS},
		{name: "any NAS type, another one", packet: replaceType(serverType(2)), client: anyNAS},

		{name: "another profile", client: func(c *Client) { c.Policy = &mfa.Client{} }, want: "no credential"},
		{name: "unsigned", packet: func(a attributes) attributes {
			return without(without(a, emptyMA()), avp(wire.TypeProxyState, "\xfe\x80\x00\x01"))
		}, want: "no credential"},
		{name: "unsigned, any NAS type", client: anyNAS,
			packet: func(a attributes) attributes {
				return without(without(a, emptyMA()), avp(wire.TypeProxyState, "\xfe\x80\x00\x01"))
			}, want: "no credential"},
		{name: "an answer to a challenge", packet: add(avp(wire.TypeState, "s")), want: "no credential"},
		{name: "no user", packet: func(a attributes) attributes { return without(a, avp(wire.TypeUserName, `EXAMPLE\nemo`)) }, want: "no User-Name"},
		{name: "two users", packet: add(avp(wire.TypeUserName, "root")), want: "two of User-Name"},
		{name: "two machines", packet: add(msAVP(wire.MSMachineName, "PC-18")), want: "no credential, and two of MS-Machine-Name"},
		{name: "Call-Check", packet: add(avp(wire.TypeServiceType, "\x00\x00\x00\x0a")), want: "Call-Check"},
		{name: "Authorize-Only", packet: add(avp(wire.TypeServiceType, "\x00\x00\x00\x11")), want: "Authorize-Only"},

		{name: "no NAS type", packet: replaceType(), want: notGateway},
		{name: "NAS type of a VPN server", packet: replaceType(serverType(2)), want: notGateway},
		{name: "NAS type 0", packet: replaceType(serverType(0)), want: notGateway},
		{name: "NAS type 257", packet: replaceType(serverType(257)), want: notGateway},
		{name: "NAS type of one octet", packet: replaceType(msAVP(wire.MSNetworkAccessServerType, "\x01")), want: notGateway},
		{name: "NAS type of eight octets", packet: replaceType(msAVP(wire.MSNetworkAccessServerType, "\x00\x00\x00\x01\x00\x00\x00\x01")), want: notGateway},
		{name: "empty NAS type", packet: replaceType(msAVP(wire.MSNetworkAccessServerType, "")), want: notGateway},
		{name: "NAS type twice", packet: add(serverType(1)), want: notGateway},
		{name: "NAS type twice, the right one last", packet: replaceType(serverType(2), serverType(1)), want: notGateway},
		{name: "NAS type twice, the right one first", packet: replaceType(serverType(1), serverType(2)), want: notGateway},
		{name: "NAS type of another vendor", packet: replaceType(avp(wire.TypeVendorSpecific, "\x00\x00\x00\x09"+string(avp(wire.MSNetworkAccessServerType, "\x00\x00\x00\x01")))),
			want: "no credential, but attribute 47 of vendor 9, which may be one"},
		{name: "NAS type as a standard attribute", packet: replaceType(avp(wire.MSNetworkAccessServerType, "\x00\x00\x00\x01")),
			want: "no credential, but attribute 47, which may be one"},

		{name: "a Vendor-Specific with a rest", packet: add(avp(wire.TypeVendorSpecific, "\x00\x00\x01\x37\x32\x04PC\x19")), want: "no credential, but Vendor-Specific, which may be one"},
		{name: "a Vendor-Specific of a length that it has not", packet: add(avp(wire.TypeVendorSpecific, "\x00\x00\x01\x37\x19\x00")), want: "no credential, but Vendor-Specific, which may be one"},
		{name: "a Vendor-Specific of nobody", packet: add(avp(wire.TypeVendorSpecific, "abc")), want: "no credential, but Vendor-Specific, which may be one"},
		{name: "a Vendor-Specific of vendor 0, which would be Class", packet: add(avp(wire.TypeVendorSpecific, "\x00\x00\x00\x00\x19\x03c")), want: "no credential, but Vendor-Specific, which may be one"},
		{name: "an empty Vendor-Specific", packet: add(avp(wire.TypeVendorSpecific, "\x00\x00\x01\x37")), want: "no credential, but Vendor-Specific, which may be one"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := rdg()
				if tt.packet != nil {
					a = tt.packet(a)
				}
				q := gatewayCredential(t, raw(wire.AccessRequest, 1, 1, a...), tt.client)
				want := "mfa.NoCredential"
				if tt.want != "" {
					want = fmt.Sprintf("Unsupported %q", tt.want)
				}
				if q == nil || describe(q.Cred) != want {
					t.Fatalf("got %v, want %s", q, want)
				}
				if tt.want == "" && (!q.Signed || q.EndUser != "PC-17" || q.Address.IsValid()) {
					t.Errorf("signed %t, end user %q, address %s", q.Signed, q.EndUser, q.Address)
				}
			})
		})
	}
}

const msServiceClass = 42

// Whatever attribute stands beside an RD Gateway's, standard, Microsoft's or of
// another vendor: what is not on the list of the harmless ones may be a
// credential, and a credential is checked or refused, never passed over.
func TestBesidesNothing(t *testing.T) {
	credentials := []byte{wire.TypeUserPassword, wire.TypeCHAPPassword, wire.TypeCHAPChallenge, wire.TypeTunnelPassword, wire.TypeARAPPassword, 73, 74,
		wire.TypeEAPMessage, wire.TypeState, 102, 103, 104, 206, 207, 214, 215, 241, 242, 243, 244, 245, 246, 255}
	chap := []byte{wire.MSCHAPResponse, wire.MSCHAPCPW1, wire.MSCHAPCPW2, wire.MSCHAPLMEncPW, wire.MSCHAPNTEncPW, wire.MSCHAPChallenge, 12, 16, 17, 19, 20, 21,
		wire.MSCHAP2Response, wire.MSCHAP2Success, wire.MSCHAP2CPW, 0, 64, 255}
	for _, typ := range credentials {
		if method.Harmless(wire.AttributeType{Type: typ}) {
			t.Errorf("attribute %d is on the list", typ)
		}
	}
	for _, typ := range chap {
		if method.Harmless(wire.AttributeType{Vendor: wire.VendorMicrosoft, Type: typ}) {
			t.Errorf("Microsoft's attribute %d is on the list", typ)
		}
	}
	value := string(bytes.Repeat([]byte{7}, 16))
	synctest.Test(t, func(t *testing.T) {
		for typ := range 256 {
			for vendor, a := range map[uint32][]byte{
				0:                    avp(byte(typ), value),
				wire.VendorMicrosoft: msAVP(byte(typ), value),
				9:                    avp(wire.TypeVendorSpecific, "\x00\x00\x00\x09"+string(avp(byte(typ), value))),
				529:                  avp(wire.TypeVendorSpecific, "\x00\x00\x02\x11"+string(avp(byte(typ), value))),
			} {
				for _, any := range []bool{false, true} {
					q := gatewayCredential(t, raw(wire.AccessRequest, 1, 1, append(rdg(), a)...), func(c *Client) { c.AnyNASType = any })
					passes := q != nil && q.Cred == mfa.NoCredential{}
					// Beside those of rdg that may stand once.
					again := vendor == 0 && (typ == wire.TypeUserName || typ == wire.TypeMessageAuthenticator) ||
						vendor == wire.VendorMicrosoft && (typ == wire.MSMachineName || typ == wire.MSNetworkAccessServerType && !any)
					if want := method.Harmless(wire.AttributeType{Vendor: vendor, Type: byte(typ)}) && !again; passes != want {
						t.Errorf("with attribute %d of vendor %d, any NAS type %t: passes %t, want %t", typ, vendor, any, passes, want)
					}
				}
			}
		}
	})
}

// A credential that the server does examine is examined, not passed over.
func TestGatewayWithPassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := gatewayCredential(t, raw(wire.AccessRequest, 1, 1, append(rdg(), papOf("arctangent", 1, testSecret))...), nil)
		if got := describe(q.Cred); got != `Password "arctangent"` {
			t.Errorf("got %s", got)
		}
		q = gatewayCredential(t, raw(wire.AccessRequest, 1, 1, append(rdg(), avp(wire.TypeEAPMessage, "\x02\x01\x00\x09\x01nemo"))...), nil)
		if got := describe(q.Cred); got != `Unsupported "EAP"` {
			t.Errorf("got %s", got)
		}
		q = gatewayCredential(t, raw(wire.AccessRequest, 1, 1, append(rdg(), avp(wire.TypeUserPassword, ""))...), nil)
		if got := describe(q.Cred); got != `Unsupported "malformed User-Password"` {
			t.Errorf("got %s", got)
		}
	})
}

// Whatever stands beside an RD Gateway's attributes: a request that passes
// without a password has no credential by another parser's reading.
func FuzzWithoutCredential(f *testing.F) {
	f.Add([]byte{})
	f.Add(serverType(1))
	f.Add(msAVP(wire.MSCHAP2Response, strings.Repeat("x", 50)))
	f.Add(avp(wire.TypeVendorSpecific, "\x00\x00\x01\x37"+string(avp(wire.MSMachineName, "a"))+string(avp(wire.MSCHAPChallenge, "b"))))
	f.Add(append(avp(wire.TypeCHAPPassword, strings.Repeat("x", 17)), avp(wire.TypeState, "s")...))
	f.Add(avp(wire.TypeVendorSpecific, "\x00\x00\x00\x00"+string(avp(wire.TypeClass, "c")))) // an RFC's attribute as a vendor's
	f.Fuzz(func(t *testing.T, more []byte) {
		a := rdg()
		a[len(a)-1] = append(a[len(a)-1], more...)
		p := raw(wire.AccessRequest, 1, 1, a...)
		if len(p) > wire.MaxPacketSize {
			return
		}
		var r wire.Request
		if r.Scan(p, 200) != nil {
			return
		}
		x := &exchange{client: &client{Client: Client{Policy: &mfa.Client{NoPassword: true}}}}
		if x.credential(&r) != (mfa.NoCredential{}) {
			return
		}
		theirs, err := layeh.Parse(p, []byte(testSecret))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range theirs.Attributes {
			switch a.Type {
			case wire.TypeUserPassword, wire.TypeCHAPPassword, wire.TypeCHAPChallenge, wire.TypeARAPPassword, wire.TypeEAPMessage, wire.TypeState, wire.TypeTunnelPassword:
				t.Fatalf("passes with attribute %d", a.Type)
			case wire.TypeVendorSpecific:
				vendor, v, err := layeh.VendorSpecific(a.Attribute)
				if err != nil || vendor != wire.VendorMicrosoft {
					t.Fatalf("passes with vendor %d: got %v; want no error, wire.VendorMicrosoft", vendor, err)
				}
				for ; len(v) > 0; v = v[v[1]:] {
					if v[0] < 9 || v[0] > 9 && v[0] < 18 || v[0] > 18 && v[0] < 34 {
						t.Fatalf("passes with Microsoft's attribute %d", v[0])
					}
				}
			}
		}
	})
}
