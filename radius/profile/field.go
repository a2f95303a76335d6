package profile

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/radmatch/radmatch/radius/wire"
)

// Field is an attribute of a request that says where the user signs in.
type Field struct {
	wire.AttributeType
	binary bool // an address as octets, not as text
}

// ParseField returns the field of an attribute's name. What speaks of the NAS is
// refused: the NPS extension takes the address of the NAS for the user's, and
// anyone who comes through that NAS is then exempt.
func ParseField(name string) (Field, error) {
	def, err := wire.StandardDictionary().Lookup(name)
	switch {
	case err != nil:
		return Field{}, errors.New("must be the name of an attribute")
	case wire.StandardDictionary().Use(def.Key()) == wire.UseServer || def.Salt:
		return Field{}, errors.New("must be an attribute of requests")
	case def.Vendor == 0 && notOfEndUser(def.Type):
		return Field{}, errors.New("must be an attribute that tells where the user is")
	case def.Format == "string", def.Format == "ipaddr", def.Format == "ipv6addr":
		return Field{wire.AttributeType{Vendor: def.Vendor, Type: def.Type}, def.Format != "string"}, nil
	}
	return Field{}, fmt.Errorf("must be an attribute that holds text or an address, not %s", def.Format)
}

// notOfEndUser reports whether a standard attribute speaks of the NAS or of who the
// user is, not of where.
func notOfEndUser(typ byte) bool {
	switch typ {
	case wire.TypeUserName, wire.TypeNASIPAddress, wire.TypeNASIPv6Address, wire.TypeNASIdentifier, wire.TypeCalledStationID, wire.TypeTunnelServerEndpoint:
		return true
	}
	return false
}

// String is the attribute's name.
func (f Field) String() string {
	if def := wire.StandardDictionary().Definition(f.AttributeType); def != nil {
		return def.Name
	}
	return fmt.Sprintf("Vendor-%d-Attribute-%d", f.Vendor, f.Type)
}

// first returns the first of fields that the packet p carries with a value.
func first(p []byte, fields []Field) (Field, []byte) {
	for _, f := range fields {
		v := wire.Find(p, f.AttributeType)
		if f.AttributeType == (wire.AttributeType{Type: wire.TypeTunnelClientEndpoint}) && len(v) > 0 && v[0] <= wire.MaxTag {
			v = v[1:] // RFC 2868 §3.3
		}
		if len(v) > 0 {
			return f, v
		}
	}
	return Field{}, nil
}

// AppendEndUser appends the text of the end-user field of packet. A field that is not text
// names no user: two such values must not look alike.
func (p *Profile) AppendEndUser(b, packet []byte, authentic bool) []byte {
	f, v := first(packet, p.EndUser)
	if f.binary || p.PortInEndUser {
		if addr := p.read(f, v); addr.IsValid() {
			return addr.AppendTo(b)
		}
	}
	if f.binary || !authentic && !utf8.Valid(v) {
		return b
	}
	b, _ = wire.AppendText(b, v)
	return b
}

// EndUserAddress is the end user's address in packet, the zero Addr where there is
// none. Only that of a signed packet may be believed.
func (p *Profile) EndUserAddress(packet []byte) netip.Addr {
	f, v := first(packet, p.AddressAttribute)
	return p.read(f, v)
}

// maxAddressText is the longest text that is read as an address.
const maxAddressText = 64

// read reads the value of f as an address. An IPv4-mapped one is the IPv4 one,
// so that a prefix of either kind is compared with the same.
func (p *Profile) read(f Field, v []byte) netip.Addr {
	if f.binary {
		addr, _ := netip.AddrFromSlice(v)
		return addr.Unmap()
	}
	if len(v) == 0 || len(v) > maxAddressText {
		return netip.Addr{}
	}
	text := string(v)
	addr, err := netip.ParseAddr(text)
	// From a client that writes ports, 2001:db8::1:443 is an address with one.
	if err != nil || (p.PortInEndUser && addr.Is6()) {
		addr = addressAndPort(text)
	}
	if addr.Zone() != "" {
		return netip.Addr{} // has a meaning on one machine only
	}
	return addr.Unmap()
}

// addressAndPort reads ADDR:PORT (pfSense) and ADDR[PORT] (strongSwan).
func addressAndPort(text string) netip.Addr {
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap.Addr()
	}
	host, rest, _ := strings.Cut(text, "[")
	port, closed := strings.CutSuffix(rest, "]")
	addr, err := netip.ParseAddr(host)
	if _, portErr := strconv.ParseUint(port, 10, 16); !closed || err != nil || portErr != nil {
		return netip.Addr{}
	}
	return addr
}
