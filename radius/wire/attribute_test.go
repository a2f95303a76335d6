package wire

import (
	"encoding/hex"
	"strings"
	"testing"

	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2868"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3162"
)

func TestParseAttribute(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		vendor      uint32
		typ, tag    byte
		want        string // hexadecimal
		back        string // what FormatAttribute shows
	}{
		{"Filter-Id", "staff", 0, byte(rfc2865.FilterID_Type), 0, "7374616666", `"staff"`},
		{"filter-id", "staff", 0, 11, 0, "7374616666", `"staff"`},
		{"Class", "0x00ff", 0, byte(rfc2865.Class_Type), 0, "00ff", "0x00ff"},
		{"Class", "vpn", 0, 25, 0, "76706e", "0x76706e"},
		{"Framed-IP-Address", "192.0.2.1", 0, byte(rfc2865.FramedIPAddress_Type), 0, "c0000201", "192.0.2.1"},
		{"Session-Timeout", "3600", 0, byte(rfc2865.SessionTimeout_Type), 0, "00000e10", "3600"},
		{"Session-Timeout", "0xffffffff", 0, 27, 0, "ffffffff", "4294967295"},
		{"Service-Type", "Framed-User", 0, byte(rfc2865.ServiceType_Type), 0, "00000002", "Framed-User"},
		{"Service-Type", "framed-user", 0, 6, 0, "00000002", "Framed-User"},
		{"Service-Type", "77", 0, 6, 0, "0000004d", "77"},
		{"Termination-Action", "RADIUS-Request", 0, byte(rfc2865.TerminationAction_Type), 0, "00000001", "RADIUS-Request"},
		{"Acct-Interim-Interval", "600", 0, byte(rfc2869.AcctInterimInterval_Type), 0, "00000258", "600"},
		{"Tunnel-Type:1", "VLAN", 0, byte(rfc2868.TunnelType_Type), 1, "00000d", "VLAN"},
		{"Tunnel-Type", "VLAN", 0, 64, 0, "0000000d", "VLAN"},
		{"Tunnel-Private-Group-Id:31", "42", 0, byte(rfc2868.TunnelPrivateGroupID_Type), 31, "3432", `"42"`},
		{"Tunnel-Password:1", "secret", 0, byte(rfc2868.TunnelPassword_Type), 1, "736563726574", "[encrypted]"},
		{"Framed-IPv6-Prefix", "2001:db8::/32", 0, byte(rfc3162.FramedIPv6Prefix_Type), 0, "002020010db8", "2001:db8::/32"},
		{"Framed-Interface-Id", "00:00:00:ff:fe:00:00:01", 0, 96, 0, "000000fffe000001", "0x000000fffe000001"},
		{"Framed-IPv6-Address", "2001:db8::1", 0, 168, 0, "20010db8000000000000000000000001", "2001:db8::1"},
		{"Aruba-User-Role", "staff", 14823, 1, 0, "7374616666", `"staff"`},
		{"Mikrotik-Group", "full", 14988, 3, 0, "66756c6c", `"full"`},
		{"WISPr-Bandwidth-Max-Up", "1000", 14122, 7, 0, "000003e8", "1000"},
		{"MS-TSG-Device-Redirection", "0x40000000", 311, 63, 0, "40000000", "1073741824"},
		{"Cisco-AVPair", "ip:inacl#1=permit ip any any", 9, 1, 0, "69703a696e61636c23313d7065726d697420697020616e7920616e79", `"ip:inacl#1=permit ip any any"`},
		{"ASA-Group-Policy", "staff", 3076, 25, 0, "7374616666", `"staff"`},
		{"ASA-IPsec-Split-Tunneling-Policy", "Split-Tunneling", 3076, 55, 0, "00000001", "Split-Tunneling"},
		{"Fortinet-Group-Name", "vpn", 12356, 1, 0, "76706e", `"vpn"`},
		{"PaloAlto-User-Group", "vpn", 25461, 5, 0, "76706e", `"vpn"`},
		{"Citrix-User-Groups", "vpn", 66, 16, 0, "76706e", `"vpn"`},
		{"Juniper-Local-User-Name", "ops", 2636, 1, 0, "6f7073", `"ops"`},
		{"MS-Primary-DNS-Server", "192.0.2.53", 311, 28, 0, "c0000235", "192.0.2.53"},
	} {
		t.Run(tt.name+" "+tt.value, func(t *testing.T) {
			a, err := dictionary().ParseAttribute(tt.name, tt.value)
			if err != nil {
				t.Fatal(err)
			}
			if a.Vendor != tt.vendor || a.Type != tt.typ || a.Tag != tt.tag || hex.EncodeToString(a.Value) != tt.want {
				t.Errorf("got vendor %d type %d tag %d value %x", a.Vendor, a.Type, a.Tag, a.Value)
			}
			name, back := FormatAttribute(a)
			if !strings.EqualFold(name, tt.name) || back != tt.back {
				t.Errorf("shown as %s = %s, want %s", name, back, tt.back)
			}
		})
	}
}

func TestParseAttributeErrors(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, tt := range []struct{ name, value, want string }{
		{"Fliter-Id", "x", "vendors Aruba, Cisco, Cisco-ASA, Citrix, Fortinet, Juniper, Microsoft, Mikrotik, PaloAlto, WISPr"},
		{"Filter-Id", "", "must be 1 to 253 octets long"},
		{"Filter-Id", long, "must be 1 to 253 octets long"},
		{"Filter-Id", "\xff", "must be UTF-8"},
		{"Filter-Id:1", "x", "takes no tag"},
		{"Tunnel-Type:0", "VLAN", "from 1 to 31"},
		{"Tunnel-Type:32", "VLAN", "from 1 to 31"},
		{"Tunnel-Type:x", "VLAN", "from 1 to 31"},
		{"Tunnel-Type:1", "16777216", "at most 16777215"},
		{"Tunnel-Private-Group-Id", strings.Repeat("x", 253), "1 to 252"},
		{"Tunnel-Password", strings.Repeat("x", 240), "1 to 239"},
		{"Aruba-User-Role", strings.Repeat("x", 248), "1 to 247"},
		{"Session-Timeout", "1h", "a number from 0 to 4294967295"},
		{"Session-Timeout", "4294967296", "a number from 0 to 4294967295"},
		{"Session-Timeout", "-1", "a number from 0"},
		{"Termination-Action", "reboot", "one of Default, RADIUS-Request, or a number"},
		{"Framed-IP-Address", "2001:db8::1", "must be an IPv4 address"},
		{"Framed-IP-Address", "host", "must be an IPv4 address"},
		{"Framed-IPv6-Address", "192.0.2.1", "must be an IPv6 address"},
		{"Framed-IPv6-Prefix", "2001:db8::1/32", "without host bits"},
		{"Class", "0xabc", "hexadecimal digits"},
		{"State", "x", "set only by the server"},
		{"Message-Authenticator", "x", "set only by the server"},
		{"Proxy-State", "x", "set only by the server"},
		{"Prompt", "1", "set only by the server"},
		{"MS-MPPE-Send-Key", "x", "set only by the server"},
		{"MS-MPPE-Recv-Key", "x", "set only by the server"},
		{"MS-CHAP2-Success", "x", "set only by the server"},
		{"Vendor-Specific", "x", "set only by the server"},
		{"NAS-Identifier", "x", "belongs in requests"},
		{"MS-Machine-Name", "x", "belongs in requests"},
		{"MS-Network-Access-Server-Type", "1", "belongs in requests"},
		{"Tunnel-Private-Group-Id", "\x01x", "would be taken for a tag"},
	} {
		_, err := dictionary().ParseAttribute(tt.name, tt.value)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.name) {
			t.Errorf("%s = %.20q: got %v, want %q", tt.name, tt.value, err, tt.want)
		}
	}
}

// What the writer encrypts is what the dictionary says is encrypted.
func TestSaltedTypes(t *testing.T) {
	for typ, def := range dictionary().types {
		if got := IsSalted(typ.Vendor, typ.Type); got != def.Salt {
			t.Errorf("%s: %v, the dictionary has %v; want def.Salt", def.Name, got, def.Salt)
		}
	}
}

func FuzzParseAttribute(f *testing.F) {
	for _, x := range [][2]string{{"Filter-Id", "x"}, {"Tunnel-Type:1", "VLAN"}, {"Tunnel-Password", "x"}, {"Class", "0x00"}, {"Framed-IPv6-Prefix", "::/0"}} {
		f.Add(x[0], x[1])
	}
	secret := NewSecret([]byte("s"))
	f.Fuzz(func(t *testing.T, name, value string) {
		a, err := dictionary().ParseAttribute(name, value)
		if err != nil {
			return
		}
		// A value that was accepted must fit in an answer, and be found there again.
		w := NewWriter(nil, AccessAccept, 0, authOf(1)[:], secret)
		w.Add(a)
		p, err := w.SealAnswer()
		if err != nil {
			t.Fatalf("%q = %q is accepted and does not fit: got error %v; want none", name, value, err)
		}
		got := Answer{Code: AccessAccept, Packet: p}.Attributes()
		if len(got) != 2 || got[1].Vendor != a.Vendor || got[1].Type != a.Type {
			t.Fatalf("%q = %q came back as %+v; want 2 of them, Vendor a.Vendor, Type a.Type", name, value, got)
		}
		FormatAttribute(got[1])
	})
}

// Active Directory keeps addresses as signed integers.
func TestParseDirectoryAttribute(t *testing.T) {
	for _, tt := range []struct{ name, value, want string }{
		{"Framed-IP-Address", "-1062731519", "c0a80101"},
		{"Framed-IP-Address", "167772167", "0a000007"},
		{"Framed-IP-Address", "3232235777", "c0a80101"},
		{"Framed-IP-Address", "-1", "ffffffff"},
		{"Framed-IP-Address", "192.168.1.1", "c0a80101"},
		{"Framed-IP-Netmask", "-256", "ffffff00"},
		{"Framed-IP-Address", "4294967296", ""},
		{"Framed-IP-Address", "-2147483649", ""},
		{"Framed-IP-Address", "1.5", ""},
		{"Framed-IP-Address", "", ""},
		{"Session-Timeout", "-1", ""},
		{"Session-Timeout", "60", "0000003c"},
		{"Filter-Id", "-1062731519", "2d31303632373331353139"},
		{"No-Such-Attribute", "1", ""},
	} {
		a, err := StandardDictionary().ParseDirectoryAttribute(tt.name, tt.value)
		if got := hex.EncodeToString(a.Value); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s %q: got %s, %v; want %s", tt.name, tt.value, got, err, tt.want)
		}
	}
	if _, err := StandardDictionary().ParseAttribute("Framed-IP-Address", "-1062731519"); err == nil {
		t.Error("a file may hold a number in place of an address: got no error; want one")
	}
}
