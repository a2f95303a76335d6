package radius

import (
	"encoding/binary"
	"fmt"

	"github.com/radmatch/radmatch/mfa"
)

// The attributes by which an RD Gateway is known ([MS-RNAP] 2.2.1.11, 2.2.1.14).
const (
	msNetworkAccessServerType = 47
	msMachineName             = 50
	serverTypeGateway         = 1 // Terminal Server Gateway
)

// besidesNothing has the attributes that a request without a password may hold,
// by vendor: they are known not to be a credential. It is a list of what may
// stand there, because a request with a credential that radmatch does not know
// must not pass for one without. It is never written.
var besidesNothing = map[uint32][256]bool{
	0: set(typeUserName, typeNASIPAddress, typeNASPort, typeServiceType, typeFramedProtocol, typeFramedIPAddress,
		typeFramedMTU, typeClass, typeSessionTimeout, typeIdleTimeout, typeCalledStationID, typeCallingStationID,
		typeNASIdentifier, typeProxyState, typeAcctSessionID, typeAcctMultiSessionID, typeEventTimestamp, typeNASPortType,
		typeTunnelType, typeTunnelMediumType, typeTunnelClientEndpoint, typeTunnelServerEndpoint, typeConnectInfo,
		typeMessageAuthenticator, typeNASPortID, typeChargeableUserIdentity, typeNASIPv6Address),
	// RAS-Vendor, RAS-Version, RAS-Client-Name, RAS-Client-Version, User-Security-Identity, Identity-Type,
	// Service-Class, Not-Quarantine-Capable, Quarantine-SOH, RAS-Correlation, the HCAP names, User-IPv4/IPv6-Address
	vendorMicrosoft: set(9, 18, 34, 35, 40, 41, 42, msNetworkAccessServerType, msMachineName, 54, 55, 56, 58, 59, 60, 61, 62),
}

func set(types ...byte) (s [256]bool) {
	for _, t := range types {
		s[t] = true
	}
	return s
}

// withoutCredential decides on a request in which the intake has found no
// credential. An RD Gateway checks the password itself and sends none: whoever
// can make such a request needs no password here, so the packet must be signed,
// must hold nothing that could be a credential, and must say that it comes from
// an RD Gateway.
func (x *exchange) withoutCredential(r *request) mfa.Credential {
	if !x.client.Policy.NoPassword || r.ma == 0 || r.state != nil {
		return errNone
	}
	var types, machines int
	gateway := false
	for _, a := range r.flat() {
		if !besidesNothing[a.Vendor][a.Type] {
			return mfa.Unsupported{What: "no credential, but " + a.name() + ", which may be one"}
		}
		switch a.AttributeType {
		case AttributeType{vendorMicrosoft, msNetworkAccessServerType}:
			types++
			gateway = len(a.value) == 4 && binary.BigEndian.Uint32(a.value) == serverTypeGateway
		case AttributeType{vendorMicrosoft, msMachineName}:
			machines++
		}
	}
	switch {
	case machines > 1:
		return errTwoMachines
	case x.client.AnyNASType:
		return mfa.NoCredential{}
	case types != 1 || !gateway:
		return errNotGateway
	}
	return mfa.NoCredential{}
}

// flatAttribute is an attribute of a request, taken out of its Vendor-Specific.
type flatAttribute struct {
	AttributeType
	value []byte
}

func (a flatAttribute) name() string {
	if def, ok := dictionary().types[a.AttributeType]; ok {
		return def.name
	}
	if a.Vendor == 0 {
		return fmt.Sprintf("attribute %d", a.Type)
	}
	return fmt.Sprintf("attribute %d of vendor %d", a.Type, a.Vendor)
}

// flat returns every attribute of the request. A Vendor-Specific that holds
// nothing, or more than attributes of its vendor, is there itself too: no list
// has it.
func (r *request) flat() []flatAttribute {
	var out []flatAttribute
	for typ, value := range attributes(r.raw) {
		if typ == typeVendorSpecific {
			vendor, rest := vendorOf(value)
			for t, v := range vendorAttributes(value, vendor) {
				out = append(out, flatAttribute{AttributeType{vendor, t}, v})
			}
			if len(value) > 4 && rest == 0 {
				continue
			}
		}
		out = append(out, flatAttribute{AttributeType{Type: typ}, value})
	}
	return out
}
