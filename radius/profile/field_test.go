package profile

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/radmatch/radmatch/radius/wire"
)

func field(t testing.TB, names ...string) []Field {
	t.Helper()
	var fields []Field
	for _, name := range names {
		f, err := ParseField(name)
		if err != nil {
			t.Fatalf("field %s: got error %v; want none", name, err)
		}
		fields = append(fields, f)
	}
	return fields
}

func TestEndUser(t *testing.T) {
	calling := func(v string) []byte { return avp(wire.TypeCallingStationID, v) }
	for _, test := range []struct {
		name       string
		attributes []byte
		fields     []string // Calling-Station-Id where there are none
		port       bool
		address    string // invalid if empty
		endUser    string
	}{
		{name: "nothing"},
		{name: "address", attributes: calling("198.51.100.3"), address: "198.51.100.3", endUser: "198.51.100.3"},
		{name: "v6", attributes: calling("2001:DB8::1"), address: "2001:db8::1", endUser: "2001:DB8::1"},
		{name: "v4 written as v6", attributes: calling("::ffff:198.51.100.3"), address: "198.51.100.3", endUser: "::ffff:198.51.100.3"},
		{name: "MAC", attributes: calling("00-53-00-12-34-56"), endUser: "00-53-00-12-34-56"},
		{name: "host name", attributes: calling("pc7.example.org"), endUser: "pc7.example.org"},
		{name: "zone", attributes: calling("fe80::1%eth0"), endUser: "fe80::1%eth0"},
		{name: "prefix", attributes: calling("198.51.100.0/24"), endUser: "198.51.100.0/24"},
		{name: "space", attributes: calling(" 198.51.100.3"), endUser: " 198.51.100.3"},
		{name: "leading zeros", attributes: calling("198.051.100.003"), endUser: "198.051.100.003"},
		{name: "number", attributes: calling("3325256707"), endUser: "3325256707"},
		{name: "not text", attributes: calling("\xff")},
		{name: "empty", attributes: calling("")},
		{name: "four octets as text", attributes: calling("1::1"), address: "1::1", endUser: "1::1"},
		{name: "port", attributes: calling("198.51.100.3:1194"), address: "198.51.100.3", endUser: "198.51.100.3:1194"},
		{name: "port in brackets", attributes: calling("198.51.100.3[4500]"), address: "198.51.100.3", endUser: "198.51.100.3[4500]"},
		{name: "port dropped", attributes: calling("198.51.100.3:1194"), port: true, address: "198.51.100.3", endUser: "198.51.100.3"},
		{name: "port in brackets dropped", attributes: calling("2001:db8::1[4500]"), port: true, address: "2001:db8::1", endUser: "2001:db8::1"},
		{name: "v6 with port", attributes: calling("[2001:db8::1]:1194"), port: true, address: "2001:db8::1", endUser: "2001:db8::1"},
		{name: "v6 with a port glued on", attributes: calling("2001:db8::1:1194"), port: true, endUser: "2001:db8::1:1194"},
		{name: "no port", attributes: calling("198.51.100.3"), port: true, address: "198.51.100.3", endUser: "198.51.100.3"},
		{name: "bad ports", attributes: calling("198.51.100.3[70000]"), port: true, endUser: "198.51.100.3[70000]"},
		{name: "half a bracket", attributes: calling("198.51.100.3[4500"), port: true, endUser: "198.51.100.3[4500"},
		{name: "octets", attributes: avp(8, "\xc6\x33\x64\x03"), fields: []string{"Framed-IP-Address"}, address: "198.51.100.3", endUser: "198.51.100.3"},
		{name: "v6 octets", attributes: avp(168, "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"),
			fields: []string{"Framed-IPv6-Address"}, address: "2001:db8::1", endUser: "2001:db8::1"},
		{name: "octets of no address", attributes: avp(8, "\xc6\x33\x64"), fields: []string{"Framed-IP-Address"}},
		{name: "first of two", attributes: slices.Concat(calling("198.51.100.3"), avp(66, "203.0.113.9")),
			fields: []string{"Tunnel-Client-Endpoint", "Calling-Station-Id"}, address: "203.0.113.9", endUser: "203.0.113.9"},
		{name: "second of two", attributes: calling("198.51.100.3"),
			fields: []string{"Tunnel-Client-Endpoint", "Calling-Station-Id"}, address: "198.51.100.3", endUser: "198.51.100.3"},
		// No falling back to another attribute: which one counts must not depend on
		// what an unknown caller can put into the first.
		{name: "first cannot be read", attributes: slices.Concat(avp(66, "nowhere"), calling("198.51.100.3")),
			fields: []string{"Tunnel-Client-Endpoint", "Calling-Station-Id"}, endUser: "nowhere"},
		{name: "tag", attributes: avp(66, "\x01198.51.100.3"), fields: []string{"Tunnel-Client-Endpoint"}, address: "198.51.100.3", endUser: "198.51.100.3"},
		{name: "tag only", attributes: avp(66, "\x01"), fields: []string{"Tunnel-Client-Endpoint"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.fields == nil {
				test.fields = []string{"Calling-Station-Id"}
			}
			f := field(t, test.fields...)
			p := &Profile{EndUser: f, AddressAttribute: f, PortInEndUser: test.port}
			packet := append(header(), test.attributes...)
			want, _ := netip.ParseAddr(test.address)
			if got := p.EndUserAddress(packet); got != want {
				t.Errorf("address %v, want %v", got, want)
			}
			if got := string(p.AppendEndUser(nil, packet, false)); got != test.endUser {
				t.Errorf("end user %q, want %q", got, test.endUser)
			}
		})
	}
}

func TestParseField(t *testing.T) {
	for name, want := range map[string]string{
		"calling-station-id":   "",
		"Framed-IP-Address":    "",
		"MS-RAS-Client-Name":   "",
		"Nonsense":             "must be the name of an attribute",
		"NAS-IP-Address":       "must be an attribute that tells where the user is",
		"NAS-IPv6-Address":     "must be an attribute that tells where the user is",
		"NAS-Identifier":       "must be an attribute that tells where the user is",
		"Called-Station-Id":    "must be an attribute that tells where the user is",
		"User-Name":            "must be an attribute that tells where the user is",
		"User-Password":        "must be an attribute of requests",
		"State":                "must be an attribute of requests",
		"Tunnel-Password":      "must be an attribute of requests",
		"NAS-Port":             "must be an attribute that holds text or an address, not integer",
		"Calling-Station-Id:1": "must be the name of an attribute",
	} {
		got := ""
		if _, err := ParseField(name); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("field %s: %q, want %q", name, got, want)
		}
	}
}

// FuzzEndUser: what is read as an address is one, in the one spelling that
// prefixes are compared with.
func FuzzEndUser(f *testing.F) {
	for _, s := range []string{"198.51.100.3", "2001:db8::1", "198.51.100.3:1194", "[2001:db8::1]:1194", "198.51.100.3[4500]", "fe80::1%eth0", "\x01a"} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, v []byte, port bool) {
		if len(v) > wire.MaxValue {
			return
		}
		for _, name := range []string{"Calling-Station-Id", "Tunnel-Client-Endpoint", "Framed-IP-Address", "MS-RAS-Client-Name"} {
			fields := field(t, name)
			p := &Profile{EndUser: fields, AddressAttribute: fields, PortInEndUser: port}
			a := p.read(fields[0], v)
			if a != a.Unmap() || a.Zone() != "" {
				t.Errorf("%s: address %v", name, a)
			}
			if len(v) <= wire.MaxVendorValue {
				w := wire.NewWriter(nil, wire.AccessRequest, 1, authOf(1)[:], wire.NewSecret([]byte(testSecret)))
				if fields[0].Vendor == 0 {
					w.Attribute(fields[0].Type, v)
				} else {
					w.Vendor(fields[0].Vendor, fields[0].Type, v)
				}
				p.EndUserAddress(w.B)
				p.AppendEndUser(nil, w.B, false)
			}
		}
	})
}
