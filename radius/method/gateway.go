package method

import (
	"encoding/binary"
	"fmt"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// besidesNothing has the attributes that a request without a password may hold,
// by vendor: they are known not to be a credential. It is a list of what may
// stand there, because a request with a credential that radmatch does not know
// must not pass for one without. It is never written.
var besidesNothing = map[uint32][256]bool{
	0: set(wire.TypeUserName, wire.TypeNASIPAddress, wire.TypeNASPort, wire.TypeServiceType, wire.TypeFramedProtocol, wire.TypeFramedIPAddress,
		wire.TypeFramedMTU, wire.TypeClass, wire.TypeSessionTimeout, wire.TypeIdleTimeout, wire.TypeCalledStationID, wire.TypeCallingStationID,
		wire.TypeNASIdentifier, wire.TypeProxyState, wire.TypeAcctSessionID, wire.TypeAcctMultiSessionID, wire.TypeEventTimestamp, wire.TypeNASPortType,
		wire.TypeTunnelType, wire.TypeTunnelMediumType, wire.TypeTunnelClientEndpoint, wire.TypeTunnelServerEndpoint, wire.TypeConnectInfo,
		wire.TypeMessageAuthenticator, wire.TypeNASPortID, wire.TypeChargeableUserIdentity, wire.TypeNASIPv6Address),
	// RAS-Vendor, RAS-Version, RAS-Client-Name, RAS-Client-Version, User-Security-Identity, Identity-Type,
	// Service-Class, Not-Quarantine-Capable, Quarantine-SOH, RAS-Correlation, the HCAP names, User-IPv4/IPv6-Address
	wire.VendorMicrosoft: set(9, 18, 34, 35, 40, 41, 42, wire.MSNetworkAccessServerType, wire.MSMachineName, 54, 55, 56, 58, 59, 60, 61, 62),
}

// Harmless reports whether an attribute may stand in a request without a password.
func Harmless(a wire.AttributeType) bool { return besidesNothing[a.Vendor][a.Type] }

func set(types ...byte) (s [256]bool) {
	for _, t := range types {
		s[t] = true
	}
	return s
}

// gateway is the request of an RD Gateway, which checks the password itself and
// sends none: a request in which the intake has found no credential.
type gateway struct{ plain }

// Credential looks at a request without one. Anyone who can make it needs no password
// here, so the packet must be signed, must hold nothing that could be a credential,
// and must say that it comes from an RD Gateway.
func (gateway) Credential(c Client, r *wire.Request, _ *wire.Secret) (mfa.Credential, *Warning) {
	if !c.NoPassword || !r.Signed || r.State != nil {
		return errNone, nil
	}
	var types, machines int
	ofGateway := false
	for _, a := range flat(r) {
		if !Harmless(a.AttributeType) {
			return mfa.Unsupported{What: "no credential, but " + a.name() + ", which may be one"}, nil
		}
		switch a.AttributeType {
		case wire.AttributeType{Vendor: wire.VendorMicrosoft, Type: wire.MSNetworkAccessServerType}:
			types++
			ofGateway = len(a.value) == 4 && binary.BigEndian.Uint32(a.value) == wire.ServerTypeGateway
		case wire.AttributeType{Vendor: wire.VendorMicrosoft, Type: wire.MSMachineName}:
			machines++
		}
	}
	switch {
	case machines > 1:
		return errTwoMachines, nil
	case c.AnyNASType:
		return mfa.NoCredential{}, nil
	case types != 1 || !ofGateway:
		return errNotGateway, nil
	}
	return mfa.NoCredential{}, nil
}

// flatAttribute is an attribute of a request, taken out of its Vendor-Specific.
type flatAttribute struct {
	wire.AttributeType
	value []byte
}

func (a flatAttribute) name() string {
	if def := wire.StandardDictionary().Definition(a.AttributeType); def != nil {
		return def.Name
	}
	if a.Vendor == 0 {
		return fmt.Sprintf("attribute %d", a.Type)
	}
	return fmt.Sprintf("attribute %d of vendor %d", a.Type, a.Vendor)
}

// flat returns every attribute of the request. A Vendor-Specific that holds
// nothing, or more than attributes of its vendor, is there itself too: no list
// has it.
func flat(r *wire.Request) []flatAttribute {
	var out []flatAttribute
	for typ, value := range wire.Attributes(r.Raw) {
		if typ == wire.TypeVendorSpecific {
			vendor, rest := wire.VendorOf(value)
			for t, v := range wire.VendorAttributes(value, vendor) {
				out = append(out, flatAttribute{wire.AttributeType{Vendor: vendor, Type: t}, v})
			}
			if len(value) > 4 && rest == 0 {
				continue
			}
		}
		out = append(out, flatAttribute{wire.AttributeType{Type: typ}, value})
	}
	return out
}
