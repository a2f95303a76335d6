package wire

import (
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/radmatch/radmatch/mfa"
)

// readFiles reads dictionaries over the built-in ones.
func readFiles(files fstest.MapFS) (*Dictionary, error) {
	old := dictionary()
	d := &Dictionary{names: maps.Clone(old.names), types: maps.Clone(old.types), vendors: maps.Clone(old.vendors), uses: old.uses}
	return d, d.read(files, "conf")
}

func oneFile(text string) fstest.MapFS {
	return fstest.MapFS{"x.dictionary": {Data: []byte(text)}}
}

const acme = `
VENDOR		Acme	64999	format=1,1	# reserved for examples

BEGIN-VENDOR	Acme
ATTRIBUTE	Acme-Role	0x01	string	has_tag
ATTRIBUTE	Acme-Key	2	octets	encrypt=2
ATTRIBUTE	Acme-Tunnel-Key	3	string	has_tag,encrypt=2
ATTRIBUTE	Acme-Level	4	byte
ATTRIBUTE	Acme-Port	5	short
ATTRIBUTE	Acme-Big	6	integer64
ATTRIBUTE	Acme-Delta	7	signed
ATTRIBUTE	Acme-Until	8	date
ATTRIBUTE	Acme-Mac	9	ether
ATTRIBUTE	Acme-Host	10	combo-ip	array
ATTRIBUTE	Acme-Net	11	ipv4prefix
ATTRIBUTE	Acme-Id	12	octets[4]
ATTRIBUTE	Acme-Hint	13	string	secret
ATTRIBUTE	Acme-Mode	14	UINT32
ATTRIBUTE	Acme-Interface	15	ifid
ATTRIBUTE	Acme-Shared	16	string	encrypt=1
ATTRIBUTE	Acme-Ascend	17	string	encrypt=3
ATTRIBUTE	Acme-Nest	18	tlv
ATTRIBUTE	Acme-Nest-Name	18.1	string
ATTRIBUTE	Acme-Odd	19	ipaddr	has_tag
ATTRIBUTE	Acme-Huge	300	string
ATTRIBUTE	Acme-Named-Text	20	string
VALUE		Acme-Named-Text	one	1
BEGIN-TLV	Acme-Nest
ATTRIBUTE	Acme-Nest-Role	2	string
END-TLV		Acme-Nest
VALUE		Acme-Level	High	0x10
VALUE		Acme-Mode	On	1
END-VENDOR	Acme
VENDOR		Wide	64998	format=2,1
BEGIN-VENDOR	Wide
ATTRIBUTE	Wide-Role	1	string
END-VENDOR	Wide
ATTRIBUTE	Acme-Old	21	integer	Acme
VALUE		Acme-Big	Most	18446744073709551615
VALUE		Acme-Delta	Less	-1
`

func TestDictionaryFile(t *testing.T) {
	d, err := readFiles(oneFile(acme))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, value string
		typ, tag    byte
		want, back  string
	}{
		{"Acme-Role:7", "ops", 1, 7, "6f7073", `"ops"`},
		{"acme-key", "0x0102", 2, 0, "0102", "[encrypted]"},
		{"Acme-Tunnel-Key:1", "secret", 3, 1, "736563726574", "[encrypted]"},
		{"Acme-Level", "high", 4, 0, "10", "High"},
		{"Acme-Level", "255", 4, 0, "ff", "255"},
		{"Acme-Port", "0x1234", 5, 0, "1234", "4660"},
		{"Acme-Big", "Most", 6, 0, "ffffffffffffffff", "Most"},
		{"Acme-Big", "72623859790382856", 6, 0, "0102030405060708", "72623859790382856"},
		{"Acme-Delta", "-2147483648", 7, 0, "80000000", "-2147483648"},
		{"Acme-Delta", "Less", 7, 0, "ffffffff", "Less"},
		{"Acme-Until", "2026-11-22T15:00:00Z", 8, 0, "6b030370", "2026-11-22T15:00:00Z"},
		{"Acme-Mac", "00:00:5e:00:53:01", 9, 0, "00005e005301", "00:00:5e:00:53:01"},
		{"Acme-Host", "192.0.2.1", 10, 0, "c0000201", "192.0.2.1"},
		{"Acme-Host", "2001:db8::1", 10, 0, "20010db8000000000000000000000001", "2001:db8::1"},
		{"Acme-Net", "192.0.2.0/24", 11, 0, "0018c0000200", "192.0.2.0/24"},
		{"Acme-Id", "0x01020304", 12, 0, "01020304", "0x01020304"},
		{"Acme-Hint", "rosebud", 13, 0, "726f7365627564", "[secret]"},
		{"Acme-Mode", "on", 14, 0, "00000001", "On"},
		{"Acme-Interface", "00:00:00:ff:fe:00:00:01", 15, 0, "000000fffe000001", "0x000000fffe000001"},
		{"Acme-Old", "7", 21, 0, "00000007", "7"},
	} {
		t.Run(tt.name+" "+tt.value, func(t *testing.T) {
			a, err := d.ParseAttribute(tt.name, tt.value)
			if err != nil {
				t.Fatal(err)
			}
			if a.Vendor != 64999 || a.Type != tt.typ || a.Tag != tt.tag || hex.EncodeToString(a.Value) != tt.want {
				t.Errorf("got vendor %d type %d tag %d value %x", a.Vendor, a.Type, a.Tag, a.Value)
			}
			if name, back := d.FormatAttribute(a); !strings.EqualFold(name, tt.name) || back != tt.back {
				t.Errorf("shown as %s = %s, want %s", name, back, tt.back)
			}
		})
	}
	for _, tt := range []struct{ name, value, want string }{
		{"Acme-Shared", "x", "cannot be sent: encrypt=1 is not for answers"},
		{"Acme-Ascend", "x", "cannot be sent: encrypt=3 is not for answers"},
		{"Acme-Nest", "x", "its type is tlv (conf/x.dictionary:22)"},
		{"Acme-Nest-Name", "x", "stands in another attribute"},
		{"Acme-Nest-Role", "x", "stands in another attribute"},
		{"Acme-Odd", "192.0.2.1", "a tag stands before text or an integer"},
		{"Acme-Huge", "x", "does not fit in an octet"},
		{"Acme-Named-Text", "one", "has no named values"},
		{"Wide-Role", "x", "vendor Wide has format=2,1"},
		{"Acme-Tunnel-Key", "x", "must have a tag: Acme-Tunnel-Key:1"},
		{"Acme-Tunnel-Key:1", strings.Repeat("x", 240), "1 to 239 octets long; got a secret"},
		{"Acme-Key", "0x0", "got a secret"},
		{"Acme-Level", "256", "one of High, or a number from 0 to 255"},
		{"Acme-Port", "65536", "a number from 0 to 65535"},
		{"Acme-Delta", "2147483648", "a number from -2147483648 to 2147483647"},
		{"Acme-Id", "0x010203", "must be 4 octets long"},
		{"Acme-Mac", "00:00:5e", "must be a MAC address"},
		{"Acme-Net", "192.0.2.1/24", "without host bits"},
		{"Acme-Host", "here", "must be an IP address"},
		{"Acme-Role:32", "x", "from 1 to 31"},
		{"Acme-Roles", "x", "of the vendors Acme, Aruba"},
	} {
		if _, err := d.ParseAttribute(tt.name, tt.value); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s = %.20q: got %v, want %q", tt.name, tt.value, err, tt.want)
		}
	}
	if got := len(d.Unsendable()); got != 9 {
		t.Errorf("%d attributes cannot be sent, want 9: %q", got, d.Unsendable())
	}
	if _, ok := dictionary().names["acme-role"]; ok {
		t.Error("got the built-in dictionary changed; want it untouched")
	}
}

func TestDictionaryProblems(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"keyword", "ATTRIBUT X 1 string", `:1: must begin with ATTRIBUTE, VALUE`},
		{"version 4", "BEGIN-PROTOCOL RADIUS", `:1: must begin with`},
		{"short", "ATTRIBUTE X 1", `:1: ATTRIBUTE: a word is missing`},
		{"long", "VALUE X y 1 2", `:1: VALUE: one word too many: "2"`},
		{"name", "\nATTRIBUTE x:1 1 string", `:2: ATTRIBUTE: must have a name`},
		{"number", "ATTRIBUTE X one string", `ATTRIBUTE X: must have a number; got "one"`},
		{"type", "ATTRIBUTE X 1 float", `ATTRIBUTE X: unknown type "float"`},
		{"flag", "ATTRIBUTE X 250 string shiny", `ATTRIBUTE X: unknown flag "shiny"`},
		{"another", "ATTRIBUTE Filter-Id 200 string", `is another attribute already, in dictionary/standard.dictionary:`},
		{"no vendor", "BEGIN-VENDOR Nobody", `BEGIN-VENDOR: must be a VENDOR`},
		{"no begin", "VENDOR Acme 64999\nATTRIBUTE Acme-Role 1 string", `:2: ATTRIBUTE Acme-Role: would be User-Name, number 1 of the standard ones: it must stand between BEGIN-VENDOR Acme and END-VENDOR`},
		{"behind the end", "VENDOR Acme 64999\nBEGIN-VENDOR Acme\nEND-VENDOR Acme\nATTRIBUTE Acme-Class 25 octets", `:4: ATTRIBUTE Acme-Class: would be Class`},
		{"no begin, vendor elsewhere", "ATTRIBUTE Cisco-Role 1 string", `:1: ATTRIBUTE Cisco-Role: would be User-Name, number 1 of the standard ones: it must stand between BEGIN-VENDOR Cisco and END-VENDOR`},
		{"no begin, vendor behind", "$INCLUDE x.dictionary\nATTRIBUTE Cisco-Role-Two 25 octets", `:2: ATTRIBUTE Cisco-Role-Two: would be Class`},
		{"no end", "BEGIN-VENDOR Cisco", `END-VENDOR or END-TLV is missing`},
		{"two", "BEGIN-VENDOR Cisco\nBEGIN-VENDOR Aruba\nEND-VENDOR Cisco", `:2: BEGIN-VENDOR: must stand behind END-VENDOR Cisco`},
		{"other end", "BEGIN-VENDOR Cisco\nEND-VENDOR Aruba\nEND-VENDOR Cisco", `:2: END-VENDOR: must name the vendor`},
		{"tlv end", "END-TLV X", `END-TLV: must stand behind`},
		{"vendor twice", "VENDOR Cisco 10", `VENDOR Cisco: is 9 already`},
		{"vendor 0", "VENDOR Zero 0", `must have a number from 1`},
		{"vendor form", "VENDOR Acme 64999 1,1", `must have format=T,L`},
		{"value", "VALUE Nothing x 1", `must name an attribute of these dictionaries; got "Nothing"`},
		{"value number", "VALUE Service-Type x y", `must have a number; got "y"`},
		{"value too large", "VALUE Service-Type x 0x100000000", `must be at most 4294967295`},
		{"include", "$INCLUDE nowhere", `$INCLUDE: open nowhere`},
		{"include root", "$INCLUDE /etc/passwd", `must name a file in this folder; got "/etc/passwd"`},
		{"include parent", "$INCLUDE ../secret", `must name a file in this folder; got "../secret"`},
		{"long word", "ATTRIBUTE X 1 " + strings.Repeat("x", 1000), strings.Repeat("x", 64) + "…"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := readFiles(oneFile(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "conf/x.dictionary:") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := readFiles(fstest.MapFS{
		"a.dictionary": {Data: []byte("ATTRIBUTE Acme-Role 1 string\n")}, // read before its vendor
		"b.dictionary": {Data: []byte("VENDOR Acme 64999\n")},
	}); err == nil || !strings.Contains(err.Error(), "a.dictionary:1: ATTRIBUTE Acme-Role: would be User-Name") {
		t.Errorf("a vendor of another file: %v", err)
	}
	if _, err := readFiles(oneFile("ATTRIBUTE Client-Port 5 integer\nATTRIBUTE Class 25 string\nVALUE Service-Type Framed-User 2\nVENDOR Acme 64999\nATTRIBUTE Acme-Role 1 string Acme\n")); err != nil {
		t.Errorf("other names, as dictionary.compat has them: got error %v; want none", err)
	}
	if _, err := readFiles(oneFile(strings.Repeat("nonsense\n", 1000))); strings.Count(err.Error(), "\n") != maxProblems || !strings.Contains(err.Error(), "and 900 more") {
		t.Errorf("the problems are not bounded: %d", strings.Count(err.Error(), "\n"))
	}
}

func TestDictionaryIncludes(t *testing.T) {
	d, err := readFiles(fstest.MapFS{
		"dictionary.a": {Data: []byte("$INCLUDE sub/b\n$INCLUDE- nowhere\n")},
		"sub/b":        {Data: []byte("$INCLUDE ../dictionary.a\n$INCLUDE c\nATTRIBUTE B 201 string\n")},
		"sub/c":        {Data: []byte("ATTRIBUTE C 202 string\n")},
		"z.dictionary": {Data: []byte("ATTRIBUTE Z 203 string\n")},
		"README":       {Data: []byte("not a dictionary\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"B", "C", "Z"} {
		if _, err := d.ParseAttribute(name, "x"); err != nil {
			t.Error(err)
		}
	}
	// Only the root dictionary says what is read.
	d, err = readFiles(fstest.MapFS{
		"dictionary":   {Data: []byte("$INCLUDE dictionary.a\n")},
		"dictionary.a": {Data: []byte("ATTRIBUTE A 200 string\n")},
		"dictionary.b": {Data: []byte("nonsense\n")},
	})
	if _, found := d.names["a"]; err != nil || !found {
		t.Errorf("found %v, error %v", found, err)
	}
}

// An attribute that is guarded by its number is guarded under any name and type.
func TestDictionaryCannotHide(t *testing.T) {
	d, err := readFiles(oneFile("ATTRIBUTE My-State 24 string\nATTRIBUTE My-Session 44 string\nATTRIBUTE My-NAS 4 ipaddr\nATTRIBUTE Tunnel-Password 69 string\n" +
		"ATTRIBUTE My-Password 69 octets\nVENDOR Microsoft 311\nBEGIN-VENDOR Microsoft\nATTRIBUTE My-Key 16 octets\nEND-VENDOR Microsoft\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"My-State", "My-NAS", "My-Key", "My-Session"} {
		if a, err := d.ParseAttribute(name, "192.0.2.1"); err == nil {
			t.Errorf("%s is %+v; want an error", name, a)
		}
	}
	for _, name := range []string{"Tunnel-Password", "My-Password"} {
		a, err := d.ParseAttribute(name, "in the clear")
		if err != nil || !a.Salted {
			t.Errorf("%s: got %+v, %v; want no error, Salted true", name, a, err)
		}
	}
}

// A folder's definition takes the place of ours, with the values that still fit it.
func TestDictionaryOver(t *testing.T) {
	d, err := readFiles(oneFile("ATTRIBUTE Service-Type 6 integer\nVALUE Service-Type Door-User 99\nVALUE Service-Type Login-User 98\n" +
		"ATTRIBUTE Framed-MTU 12 string\nATTRIBUTE Class 25.1 string\nATTRIBUTE Filter-Id 11 tlv\nATTRIBUTE Inside 300 string\nATTRIBUTE Inside 200 string\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, value, want string }{
		{"Service-Type", "Door-User", "00000063"},
		{"Service-Type", "Login-User", "00000062"},
		{"Service-Type", "Framed-User", "00000002"},
		{"Framed-MTU", "large", "6c61726765"},
		{"Class", "still there", "7374696c6c207468657265"},
		{"Inside", "x", "78"},
		{"Filter-Id", "x", "its type is tlv"},
	} {
		a, err := d.ParseAttribute(tt.name, tt.value)
		if got := hex.EncodeToString(a.Value); got != tt.want && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s = %s: got %s, %v, want %s", tt.name, tt.value, got, err, tt.want)
		}
	}
	if a, err := dictionary().ParseAttribute("Service-Type", "Login-User"); err != nil || a.Value[3] != 1 {
		t.Errorf("the built-in dictionary was changed: got %+v, %v; want no error, Value[3] 1", a, err)
	}
}

// A value that a dictionary calls encrypted never leaves in the clear, and can be
// read by who has the secret.
func TestSaltedOfAFile(t *testing.T) {
	d, err := readFiles(oneFile(acme))
	if err != nil {
		t.Fatal(err)
	}
	secret := NewSecret([]byte("a shared secret of some length"))
	for _, name := range []string{"Acme-Key", "Acme-Tunnel-Key:3"} {
		a, err := d.ParseAttribute(name, "rosebud in the snow")
		if err != nil {
			t.Fatal(err)
		}
		auth := authOf(1)
		w := NewWriter(nil, AccessAccept, 0, auth[:], secret)
		w.Add(a)
		p, err := w.SealAnswer()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(p), "rosebud") {
			t.Errorf("%s left in the clear; want no \"rosebud\" in it", name)
		}
		value := Answer{Code: AccessAccept, Packet: p}.Attributes()[1].Value
		if a.Tag != 0 {
			if value[0] != a.Tag {
				t.Errorf("%s: tag %d; want a.Tag", name, value[0])
			}
			value = value[1:]
		}
		if value[0]&0x80 == 0 {
			t.Errorf("%s: the first bit of the salt is not set, RFC 2868 §3.5", name)
		}
		plain := cryptPassword(nil, value[2:], append(auth[:], value[:2]...), secret, false)
		if got := string(plain[1 : 1+plain[0]]); got != "rosebud in the snow" {
			t.Errorf("%s: decrypted to: got %q; want \"rosebud in the snow\"", name, got)
		}
	}
}

func TestOpenDictionaries(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("acme.dictionary", acme)
	d, err := OpenDictionaries(dir)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := d.ParseAttribute("Acme-Level", "1"); err != nil || a.Vendor != 64999 {
		t.Errorf("%+v: got %v; want no error, Vendor 64999", a, err)
	}
	if _, err := OpenDictionaries(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("a folder that is not there: got no error; want one")
	}
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("ATTRIBUTE X 200 string\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "dictionary.link")); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDictionaries(dir); err == nil || !strings.Contains(err.Error(), "dictionary.link") {
		t.Errorf("a link out of the folder: got %v; want \"dictionary.link\" in the error", err)
	}
}

// freeRADIUS is where Debian has FreeRADIUS's own dictionaries (freeradius-common).
const freeRADIUS = "/usr/share/freeradius"

// TestFreeRADIUS reads what FreeRADIUS brings, and holds our own names, numbers
// and types against it.
func TestFreeRADIUS(t *testing.T) {
	if _, err := os.Stat(freeRADIUS); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("freeradius-common is missing: run testdata/install-peers as root")
	}
	all, err := OpenDictionaries(freeRADIUS)
	if err != nil {
		t.Fatal(err)
	}
	if all.Len() < 5000 || len(all.Unsendable()) == 0 {
		t.Errorf("%d attributes, %d cannot be sent", all.Len(), len(all.Unsendable()))
	}
	same := 0
	for key, def := range dictionary().names {
		theirs := all.names[key]
		if theirs.where == def.where {
			continue // only ours
		}
		same++
		if theirs.Key() != def.Key() || theirs.tag != def.tag || theirs.Salt != def.Salt {
			t.Errorf("%s is %+v, FreeRADIUS has %+v", def.Name, *def, *theirs)
		}
		for _, v := range def.values {
			if n, ok := theirs.number(v.name); ok && n != v.number {
				t.Errorf("%s %s is %d, FreeRADIUS has %d", def.Name, v.name, v.number, n)
			}
		}
	}
	if same < 300 {
		t.Errorf("only %d names are FreeRADIUS's too; want at least 300", same)
	}
	// Every file by itself: some do not fit together, but none is a surprise.
	names, err := filepath.Glob(filepath.Join(freeRADIUS, "dictionary.*"))
	if err != nil || len(names) < 200 {
		t.Fatal(len(names), err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = readFiles(fstest.MapFS{filepath.Base(name): {Data: text}})
		for _, line := range strings.Split(fmt.Sprint(err), "\n") {
			if err != nil && !strings.HasPrefix(line, "conf/dictionary.") {
				t.Errorf("%s: a problem without its line: %s", name, line)
			}
		}
	}
}

// Attributes that the server itself speaks of must be the ones of the dictionary.
func TestBuiltIn(t *testing.T) {
	for name, want := range map[string]AttributeType{
		"User-Name": {0, TypeUserName}, "State": {0, TypeState}, "Tunnel-Password": {0, TypeTunnelPassword},
		"MS-MPPE-Send-Key": {VendorMicrosoft, MSMPPESendKey}, "MS-CHAP2-Success": {VendorMicrosoft, MSCHAP2Success},
		"MS-Network-Access-Server-Type": {311, 47}, "MS-Machine-Name": {311, 50},
	} {
		if def, err := dictionary().Lookup(name); err != nil || def.Key() != want {
			t.Errorf("%s: %v, %v", name, def, err)
		}
	}
	if u := dictionary().Unsendable(); len(u) != 0 {
		t.Errorf("built in, and cannot be sent: got %q; want none", u)
	}
	if len(dictionary().vendors) != 10 {
		t.Errorf("got %d vendors; want 10", len(dictionary().vendors))
	}
}

func FuzzDictionary(f *testing.F) {
	f.Add(acme)
	f.Add("VENDOR A 1\nBEGIN-VENDOR A\nATTRIBUTE B 1 string has_tag,encrypt=2\nEND-VENDOR A\n$INCLUDE x.dictionary")
	f.Add("ATTRIBUTE Filter-Id 11 octets[3] array\nVALUE Service-Type X -1\nVALUE X Y 0x7")
	f.Add("ATTRIBUTE A 69 integer has_tag\nATTRIBUTE B 26 string\nEND-TLV\nBEGIN-TLV A")
	secret := NewSecret([]byte("a shared secret of some length"))
	f.Fuzz(func(t *testing.T, text string) {
		d, err := readFiles(oneFile(text))
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.HasPrefix(line, "conf") {
					t.Fatalf("a problem without its place: got %q; want \"conf\" first", line)
				}
			}
			return
		}
		// What a dictionary defines is encoded and fits, or is refused.
		for _, def := range d.names {
			if !strings.HasPrefix(def.where, "conf/") {
				continue
			}
			for _, value := range []string{"1", "0x01020304", "192.0.2.1", "2001:db8::/32", "text"} {
				for _, tag := range []string{"", ":1"} {
					a, err := d.ParseAttribute(def.Name+tag, value)
					if err != nil {
						continue
					}
					checkFits(t, d, secret, a)
				}
			}
		}
	})
}

// checkFits asserts that an accepted attribute leaves as it should.
func checkFits(t *testing.T, d *Dictionary, secret *Secret, a mfa.Attribute) {
	t.Helper()
	if IsSalted(a.Vendor, a.Type) && !a.Salted || d.uses[AttributeType{Vendor: a.Vendor, Type: a.Type}] != UseReply {
		t.Fatalf("%+v must not be set so", a)
	}
	w := NewWriter(nil, AccessAccept, 0, authOf(1)[:], secret)
	w.Add(a)
	p, err := w.SealAnswer()
	if err != nil {
		t.Fatalf("%+v does not fit: got error %v; want none", a, err)
	}
	got := Answer{Code: AccessAccept, Packet: p}.Attributes()
	if len(got) != 2 || got[1].Vendor != a.Vendor || got[1].Type != a.Type {
		t.Fatalf("%+v came back as %+v; want 2 of them, Vendor a.Vendor, Type a.Type", a, got)
	}
	d.FormatAttribute(a)
}
