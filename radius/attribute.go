package radius

import (
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
	maxValue       = 253
	maxVendorValue = 247
	maxSaltedValue = 239
)

// maxTag is the largest tag (RFC 2868 §3.1).
const maxTag = 31

// ParseAttribute encodes a reply attribute as it stands in a file. A tag (RFC
// 2868) follows the name: `Tunnel-Type:1`. The error says what is expected.
// Attributes that only the server sets, or that only requests carry, are errors.
func ParseAttribute(name, value string) (mfa.Attribute, error) {
	a, err := parseAttribute(name, value)
	if err != nil {
		return mfa.Attribute{}, fmt.Errorf("attribute %q: %w", name, err)
	}
	return a, nil
}

func parseAttribute(name, value string) (mfa.Attribute, error) {
	bare, tagText, tagged := strings.Cut(name, ":")
	def, ok := dictionary().names[strings.ToLower(bare)]
	switch {
	case !ok:
		return mfa.Attribute{}, fmt.Errorf("unknown; known are the names of RFC 2865, 2868, 2869 and their extensions, and of the vendors %s",
			strings.Join(dictionary().vendors, ", "))
	case def.own:
		return mfa.Attribute{}, errors.New("is set by the server alone")
	case def.request:
		return mfa.Attribute{}, errors.New("belongs in requests, not in answers")
	case tagged && !def.tag:
		return mfa.Attribute{}, errors.New("takes no tag")
	}
	a := mfa.Attribute{Vendor: def.vendor, Type: def.typ}
	if tagged {
		n, err := strconv.Atoi(tagText)
		if err != nil || n < 1 || n > maxTag {
			return mfa.Attribute{}, fmt.Errorf("the tag must be a number from 1 to %d; got %q", maxTag, tagText)
		}
		a.Tag = byte(n)
	}
	var err error
	if a.Value, err = def.encode(value, a.Tag); err != nil {
		return mfa.Attribute{}, fmt.Errorf("%w; got %q", err, value)
	}
	return a, nil
}

// encode returns the octets of a value as written, without the tag.
func (d *definition) encode(value string, tag byte) ([]byte, error) {
	switch d.format {
	case "string":
		if !utf8.ValidString(value) {
			return nil, errors.New("must be UTF-8")
		}
		return d.octets([]byte(value))
	case "octets":
		if digits, ok := strings.CutPrefix(value, "0x"); ok {
			b, err := hex.DecodeString(digits)
			if err != nil {
				return nil, errors.New("must be text, or an even number of hexadecimal digits after 0x")
			}
			return d.octets(b)
		}
		return d.octets([]byte(value))
	case "integer":
		return d.integer(value, tag)
	default:
		return encodeValue(d.format, value)
	}
}

func (d *definition) octets(b []byte) ([]byte, error) {
	most := maxValue
	if d.vendor != 0 {
		most = maxVendorValue
	}
	if d.tag {
		most--
	}
	if d.salt {
		most = min(most, maxSaltedValue)
	}
	if len(b) == 0 || len(b) > most {
		return nil, fmt.Errorf("must be 1 to %d octets long", most)
	}
	return b, nil
}

func (d *definition) integer(value string, tag byte) ([]byte, error) {
	n, named := d.number(value)
	if !named {
		parsed, err := strconv.ParseUint(value, 0, 32)
		if err != nil {
			return nil, fmt.Errorf("must be %sa number from 0 to %d", d.valueNames(), d.most())
		}
		n = uint32(parsed)
	}
	if n > d.most() {
		return nil, fmt.Errorf("must be at most %d", d.most())
	}
	b := []byte(layeh.NewInteger(n))
	if tag != 0 {
		b = b[1:] // the tag takes the first of the four octets, RFC 2868 §3.1
	}
	return b, nil
}

// most is the largest integer that fits.
func (d *definition) most() uint32 {
	if d.tag {
		return 1<<24 - 1
	}
	return math.MaxUint32
}

// valueNames lists the names of an attribute's values for an error, if they are few.
func (d *definition) valueNames() string {
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
	switch format {
	case "ipaddr":
		if a, err := netip.ParseAddr(value); err == nil && a.Is4() {
			return a.AsSlice(), nil
		}
		return nil, errors.New("must be an IPv4 address")
	case "ipv6addr":
		if a, err := netip.ParseAddr(value); err == nil && a.Is6() && a.Zone() == "" {
			return a.AsSlice(), nil
		}
		return nil, errors.New("must be an IPv6 address")
	case "ipv6prefix":
		if p, err := netip.ParsePrefix(value); err == nil && p.Addr().Is6() && p == p.Masked() {
			return layeh.NewIPv6Prefix(&net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 128)})
		}
		return nil, errors.New("must be an IPv6 prefix without host bits, like 2001:db8::/48")
	case "ifid":
		if m, err := net.ParseMAC(value); err == nil && len(m) == 8 {
			return layeh.NewIFID(m)
		}
		return nil, errors.New("must be an interface identifier, like 00:00:00:ff:fe:00:00:01")
	case "date":
		if t, err := time.Parse(time.RFC3339, value); err == nil {
			return layeh.NewDate(t)
		}
		return nil, errors.New("must be a time like 2006-01-02T15:04:05Z")
	}
	return nil, fmt.Errorf("has the format %s, which a file cannot hold", format)
}

// FormatAttribute returns an attribute as a person reads it: its name (with the
// tag) and value. What the dictionary does not know is shown by numbers.
func FormatAttribute(a mfa.Attribute) (name, value string) {
	def, ok := dictionary().types[AttributeType{a.Vendor, a.Type}]
	if !ok {
		if a.Vendor == 0 {
			return fmt.Sprintf("Attribute-%d", a.Type), "0x" + hex.EncodeToString(a.Value)
		}
		return fmt.Sprintf("Vendor-%d-Attribute-%d", a.Vendor, a.Type), "0x" + hex.EncodeToString(a.Value)
	}
	name = def.name
	if a.Tag != 0 {
		name = fmt.Sprintf("%s:%d", name, a.Tag)
	}
	return name, def.text(a.Value)
}

// text is the value as a file would hold it.
func (d *definition) text(value []byte) string {
	switch {
	case d.salt:
		return "[encrypted]"
	case d.format == "string" && utf8.Valid(value):
		return strconv.Quote(string(value))
	case d.format == "integer" && (len(value) == 4 || len(value) == 3):
		var n uint32
		for _, b := range value {
			n = n<<8 | uint32(b)
		}
		for _, v := range d.values {
			if v.number == n {
				return v.name
			}
		}
		return strconv.FormatUint(uint64(n), 10)
	case d.format == "ipaddr" && len(value) == 4, d.format == "ipv6addr" && len(value) == 16:
		addr, _ := netip.AddrFromSlice(value)
		return addr.String()
	case d.format == "ipv6prefix":
		if p, err := layeh.IPv6Prefix(value); err == nil {
			return p.String()
		}
	}
	return "0x" + hex.EncodeToString(value)
}
