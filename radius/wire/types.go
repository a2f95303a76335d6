package wire

// The attributes of the RFCs that radmatch reads or writes itself.
const (
	TypeUserName               = 1
	TypeUserPassword           = 2
	TypeCHAPPassword           = 3
	TypeNASIPAddress           = 4
	TypeNASPort                = 5
	TypeServiceType            = 6
	TypeFramedProtocol         = 7
	TypeFramedMTU              = 12
	TypeReplyMessage           = 18
	TypeState                  = 24
	TypeVendorSpecific         = 26
	TypeSessionTimeout         = 27
	TypeIdleTimeout            = 28
	TypeCalledStationID        = 30
	TypeCallingStationID       = 31
	TypeNASIdentifier          = 32
	TypeProxyState             = 33
	TypeAcctMultiSessionID     = 50
	TypeEventTimestamp         = 55
	TypeCHAPChallenge          = 60
	TypeNASPortType            = 61
	TypeTunnelType             = 64
	TypeTunnelMediumType       = 65
	TypeTunnelClientEndpoint   = 66
	TypeTunnelServerEndpoint   = 67
	TypeTunnelPassword         = 69
	TypeARAPPassword           = 70
	TypePrompt                 = 76
	TypeConnectInfo            = 77
	TypeEAPMessage             = 79
	TypeMessageAuthenticator   = 80
	TypeNASPortID              = 87
	TypeChargeableUserIdentity = 89
	TypeNASIPv6Address         = 95
)

// The attributes of Microsoft (RFC 2548), and what else is known by number.
const (
	VendorMicrosoft       = 311
	MSCHAPResponse        = 1
	MSCHAPError           = 2
	MSCHAPCPW1            = 3
	MSCHAPCPW2            = 4
	MSCHAPLMEncPW         = 5
	MSCHAPNTEncPW         = 6
	MSMPPEEncryptPolicy   = 7
	MSMPPEEncryptTypes    = 8
	MSCHAPChallenge       = 11
	MSMPPESendKey         = 16
	MSMPPERecvKey         = 17
	MSCHAP2Response       = 25
	MSCHAP2Success        = 26
	MSCHAP2CPW            = 27
	VendorAruba           = 14823
	VendorPaloAlto        = 25461
	arubaMPSKPassphrase   = 44
	ServiceCallCheck      = 10
	ServiceAuthorizeOnly  = 17
	serviceTypeAttributes = 4 // octets of an integer
)

// The attributes of RFC 2866 and 2869 that say what became of a session.
const (
	TypeFramedIPAddress    = 8
	TypeClass              = 25
	TypeAcctStatusType     = 40
	TypeAcctDelayTime      = 41
	TypeAcctInputOctets    = 42
	TypeAcctOutputOctets   = 43
	TypeAcctSessionID      = 44
	TypeAcctSessionTime    = 46
	TypeAcctTerminateCause = 49
	TypeAcctInputGiga      = 52
	TypeAcctOutputGiga     = 53
	TypeFramedIPv6Address  = 168
)

// The attributes by which an RD Gateway is known ([MS-RNAP] 2.2.1.11, 2.2.1.14).
const (
	MSNetworkAccessServerType = 47
	MSMachineName             = 50
	ServerTypeGateway         = 1 // Terminal Server Gateway
)

// AttributeType identifies an attribute; Vendor 0 is the standard space.
type AttributeType struct {
	Vendor uint32
	Type   byte
}
