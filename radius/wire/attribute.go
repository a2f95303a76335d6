package wire

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	layeh "layeh.com/radius"

	"github.com/radmatch/radmatch/mfa"
)

// Longest values (RFC 2865 §5): an attribute's, a vendor's within its
// Vendor-Specific, and one that is encrypted with a salt (RFC 2868 §3.5).
const (
	MaxValue       = 253
	MaxVendorValue = 247
	MaxSaltedValue = 239
)

// MaxTag is the largest tag (RFC 2868 §3.1).
const MaxTag = 31

// ParseAttribute encodes a reply attribute as it stands in a file. A tag (RFC
// 2868) follows the name: `Tunnel-Type:1`. The error says what is expected.
// Attributes that only the server sets, that only requests carry, or that cannot
// be encoded are errors.
func (d *Dictionary) ParseAttribute(name, value string) (mfa.Attribute, error) {
	a, err := d.parseAttribute(name, value)
	if err != nil {
		return mfa.Attribute{}, fmt.Errorf("attribute %q: %w", name, err)
	}
	return a, nil
}

// ParseDirectoryAttribute is ParseAttribute for a value of a directory. Active
// Directory keeps the static address of an account as a signed integer
// (msRADIUSFramedIPAddress): -1062731519 is 192.168.1.1.
func (d *Dictionary) ParseDirectoryAttribute(name, value string) (mfa.Attribute, error) {
	bare, _, _ := strings.Cut(name, ":")
	if def, err := d.Lookup(bare); err == nil && (def.Format == "ipaddr" || def.Format == "combo-ip") {
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && n >= math.MinInt32 && n <= math.MaxUint32 {
			value = netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(n)))).String()
		}
	}
	return d.ParseAttribute(name, value)
}

func (d *Dictionary) parseAttribute(name, value string) (mfa.Attribute, error) {
	bare, tagText, tagged := strings.Cut(name, ":")
	def, err := d.Lookup(bare)
	switch {
	case err != nil:
		return mfa.Attribute{}, err
	case def.unsendable != "":
		return mfa.Attribute{}, fmt.Errorf("cannot be sent: %s (%s)", def.unsendable, def.where)
	case d.uses[def.Key()] == UseServer:
		return mfa.Attribute{}, errors.New("is set only by the server")
	case d.uses[def.Key()] == useRequest:
		return mfa.Attribute{}, errors.New("belongs in requests, not in answers")
	case tagged && !def.tag:
		return mfa.Attribute{}, errors.New("takes no tag")
	case def.tag && def.Salt && !tagged && !IsSalted(def.Vendor, def.Type):
		return mfa.Attribute{}, fmt.Errorf("must have a tag: %s:1", def.Name)
	}
	a := mfa.Attribute{Vendor: def.Vendor, Type: def.Type, Salted: def.Salt}
	if tagged {
		n, err := strconv.Atoi(tagText)
		if err != nil || n < 1 || n > MaxTag {
			return mfa.Attribute{}, fmt.Errorf("the tag must be a number from 1 to %d; got %q", MaxTag, tagText)
		}
		a.Tag = byte(n)
	}
	if a.Value, err = def.encode(value, a.Tag); err != nil {
		return mfa.Attribute{}, fmt.Errorf("%w; got %s", err, def.shown(value))
	}
	return a, nil
}

// shown is a value of a file as an error may repeat it.
func (d *Definition) shown(value string) string {
	if d.Salt || d.secret {
		return "a secret"
	}
	return strconv.Quote(value)
}

// encode returns the octets of a value as written, without the tag.
func (d *Definition) encode(value string, tag byte) ([]byte, error) {
	switch {
	case d.Format == "string" && !utf8.ValidString(value):
		return nil, errors.New("must be UTF-8")
	case d.Format == "string" && d.tag && !d.Salt && tag == 0 && value != "" && value[0] <= MaxTag:
		return nil, errors.New("must begin with a letter: its first octet would be taken for a tag")
	case d.Format == "string":
		return d.octets([]byte(value))
	case d.Format == "octets":
		b := []byte(value)
		if digits, ok := strings.CutPrefix(value, "0x"); ok {
			var err error
			if b, err = hex.DecodeString(digits); err != nil {
				return nil, errors.New("must be text, or an even number of hexadecimal digits after 0x")
			}
		}
		return d.octets(b)
	case d.width() > 0:
		return d.integer(value, tag)
	default:
		return encodeValue(d.Format, value)
	}
}

func (d *Definition) octets(b []byte) ([]byte, error) {
	most := MaxValue
	if d.Vendor != 0 {
		most = MaxVendorValue
	}
	if d.tag {
		most--
	}
	if d.Salt {
		most = min(most, MaxSaltedValue)
	}
	switch {
	case d.length > 0 && len(b) != d.length:
		return nil, fmt.Errorf("must be %d octets long", d.length)
	case len(b) == 0 || len(b) > most:
		return nil, fmt.Errorf("must be 1 to %d octets long", most)
	}
	return b, nil
}

// width is how many octets an integer has; 0: the format is none.
func (d *Definition) width() int {
	switch d.Format {
	case "byte":
		return 1
	case "short":
		return 2
	case "integer", "signed":
		return 4
	case "integer64":
		return 8
	}
	return 0
}

func (d *Definition) integer(value string, tag byte) ([]byte, error) {
	n, named := d.number(value)
	if !named {
		var err error
		if n, err = d.parseNumber(value); err != nil {
			return nil, fmt.Errorf("must be %sa number from %s", d.valueNames(), d.bounds())
		}
	}
	if n > d.most() {
		return nil, fmt.Errorf("must be at most %d", d.most())
	}
	b := binary.BigEndian.AppendUint64(nil, n)[8-d.width():]
	if tag != 0 {
		b = b[1:] // the tag takes the first of the four octets, RFC 2868 §3.1
	}
	return b, nil
}

func (d *Definition) parseNumber(value string) (uint64, error) {
	if d.Format == "signed" {
		n, err := strconv.ParseInt(value, 0, 32)
		return uint64(uint32(n)), err
	}
	return strconv.ParseUint(value, 0, 8*d.width())
}

func (d *Definition) bounds() string {
	if d.Format == "signed" {
		return fmt.Sprintf("%d to %d", math.MinInt32, math.MaxInt32)
	}
	return fmt.Sprintf("0 to %d", d.most())
}

// most is the largest integer that fits.
func (d *Definition) most() uint64 {
	if d.tag {
		return 1<<24 - 1
	}
	return 1<<(8*d.width()) - 1
}

// valueNames lists the names of an attribute's values for an error, if they are few.
func (d *Definition) valueNames() string {
	if len(d.values) == 0 || len(d.values) > 20 {
		return ""
	}
	var names []string
	for _, v := range d.values {
		names = append(names, v.name)
	}
	return "one of " + strings.Join(names, ", ") + ", or "
}

// encodeValue encodes the formats that have one spelling and a fixed length.
func encodeValue(format, value string) ([]byte, error) {
	addr, addrErr := netip.ParseAddr(value)
	isAddr := addrErr == nil && addr.Zone() == ""
	prefix, prefixErr := netip.ParsePrefix(value)
	isPrefix := prefixErr == nil && prefix == prefix.Masked()
	switch format {
	case "ipaddr":
		if isAddr && addr.Is4() {
			return addr.AsSlice(), nil
		}
		return nil, errors.New("must be an IPv4 address")
	case "ipv6addr":
		if isAddr && addr.Is6() {
			return addr.AsSlice(), nil
		}
		return nil, errors.New("must be an IPv6 address")
	case "combo-ip":
		if isAddr {
			return addr.AsSlice(), nil
		}
		return nil, errors.New("must be an IP address")
	case "ipv6prefix":
		if isPrefix && prefix.Addr().Is6() {
			return layeh.NewIPv6Prefix(&net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), 128)})
		}
		return nil, errors.New("must be an IPv6 prefix without host bits, like 2001:db8::/48")
	case "ipv4prefix":
		if isPrefix && prefix.Addr().Is4() {
			return append([]byte{0, byte(prefix.Bits())}, prefix.Addr().AsSlice()...), nil // RFC 6572 §4.10
		}
		return nil, errors.New("must be an IPv4 prefix without host bits, like 192.0.2.0/24")
	case "ifid":
		if m, err := net.ParseMAC(value); err == nil && len(m) == 8 {
			return layeh.NewIFID(m)
		}
		return nil, errors.New("must be an interface identifier, like 00:00:00:ff:fe:00:00:01")
	case "ether":
		if m, err := net.ParseMAC(value); err == nil && len(m) == 6 {
			return m, nil
		}
		return nil, errors.New("must be a MAC address, like 00:00:5e:00:53:01")
	case "date":
		if t, err := time.Parse(time.RFC3339, value); err == nil {
			return layeh.NewDate(t)
		}
		return nil, errors.New("must be a time like 2006-01-02T15:04:05Z")
	}
	return nil, fmt.Errorf("has the type %s, which a file cannot hold", format)
}

// FormatAttribute is StandardDictionary().FormatAttribute.
func FormatAttribute(a mfa.Attribute) (name, value string) { return dictionary().FormatAttribute(a) }

// FormatAttribute returns an attribute as a user reads it: its name (with the
// tag) and value. What the dictionary does not know is shown by numbers; a value
// that is sent encrypted is not shown.
func (d *Dictionary) FormatAttribute(a mfa.Attribute) (name, value string) {
	def, ok := d.types[AttributeType{Vendor: a.Vendor, Type: a.Type}]
	switch {
	case ok:
		name, value = def.Name, def.text(a.Value)
	case a.Vendor == 0:
		name, value = fmt.Sprintf("Attribute-%d", a.Type), "0x"+hex.EncodeToString(a.Value)
	default:
		name, value = fmt.Sprintf("Vendor-%d-Attribute-%d", a.Vendor, a.Type), "0x"+hex.EncodeToString(a.Value)
	}
	if a.Tag != 0 {
		name = fmt.Sprintf("%s:%d", name, a.Tag)
	}
	if a.Salted {
		value = "[encrypted]"
	}
	return name, value
}

// text is the value as a file would hold it.
func (d *Definition) text(value []byte) string {
	switch {
	case d.Salt:
		return "[encrypted]"
	case d.secret:
		return "[secret]"
	case d.Format == "string" && utf8.Valid(value):
		return strconv.Quote(string(value))
	case d.width() > 0 && (len(value) == d.width() || d.tag && len(value) == 3):
		return d.numberText(value)
	case d.Format == "ipaddr" && len(value) == 4, d.Format == "ipv6addr" && len(value) == 16, d.Format == "combo-ip" && (len(value) == 4 || len(value) == 16):
		addr, _ := netip.AddrFromSlice(value)
		return addr.String()
	case d.Format == "ipv6prefix":
		if p, err := layeh.IPv6Prefix(value); err == nil {
			return p.String()
		}
	case d.Format == "ipv4prefix" && len(value) == 6 && value[1] <= 32:
		addr, _ := netip.AddrFromSlice(value[2:])
		return netip.PrefixFrom(addr, int(value[1])).String()
	case d.Format == "ether" && len(value) == 6:
		return net.HardwareAddr(value).String()
	case d.Format == "date" && len(value) == 4:
		return time.Unix(int64(binary.BigEndian.Uint32(value)), 0).UTC().Format(time.RFC3339)
	}
	return "0x" + hex.EncodeToString(value)
}

func (d *Definition) numberText(value []byte) string {
	var n uint64
	for _, b := range value {
		n = n<<8 | uint64(b)
	}
	for _, v := range d.values {
		if v.number == n {
			return v.name
		}
	}
	if d.Format == "signed" {
		return strconv.FormatInt(int64(int32(uint32(n))), 10)
	}
	return strconv.FormatUint(n, 10)
}
