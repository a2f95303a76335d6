package radius

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/profile"
)

func testClient(name string, prefixes ...string) Client {
	c := Client{Name: name, Secrets: [][]byte{[]byte("s")}, Profile: &profile.Profile{}, Policy: &mfa.Client{}}
	for _, p := range prefixes {
		c.Prefixes = append(c.Prefixes, netip.MustParsePrefix(p))
	}
	return c
}

func TestTableLookup(t *testing.T) {
	table, err := NewTable([]Client{
		testClient("all", "0.0.0.0/0"),
		testClient("net", "10.1.0.0/16", "2001:db8::/32"),
		testClient("host", "10.1.2.3/32", "2001:db8::1/128", "::ffff:192.0.2.0/120"),
		testClient("hostbits", "10.9.8.7/24"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ source, want string }{
		{"10.1.2.3", "host"},
		{"::ffff:10.1.2.3", "host"},
		{"10.1.2.4", "net"},
		{"10.2.0.0", "all"},
		{"10.9.8.1", "hostbits"},
		{"192.0.2.200", "host"},
		{"2001:db8::1", "host"},
		{"2001:db8::2", "net"},
		{"2001:db9::1", ""},
		{"fe80::1%eth0", ""},
	} {
		got := ""
		if c, ok := table.Lookup(netip.MustParseAddr(tt.source)); ok {
			got = c.Name
		}
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.source, got, tt.want)
		}
	}
}

func TestTableErrors(t *testing.T) {
	noSecret, emptySecret, three := testClient("a", "10.0.0.1/32"), testClient("a", "10.0.0.1/32"), testClient("a", "10.0.0.1/32")
	noSecret.Secrets = nil
	emptySecret.Secrets = [][]byte{{}}
	three.Secrets = make([][]byte, 3)
	for _, tt := range []struct {
		name    string
		clients []Client
		want    string
	}{
		{"same prefix", []Client{testClient("a", "10.0.0.0/8"), testClient("b", "10.1.1.1/8")}, `client "b": address 10.0.0.0/8 is already that of client "a"`},
		{"same prefix, mapped", []Client{testClient("a", "10.0.0.0/8"), testClient("b", "::ffff:10.0.0.0/104")}, `already that of client "a"`},
		{"same name", []Client{testClient("a", "10.0.0.1/32"), testClient("a", "10.0.0.2/32")}, "taken"},
		{"no address", []Client{testClient("a")}, "no address"},
		{"no secret", []Client{noSecret}, "must have one secret"},
		{"three secrets", []Client{three}, "has 3"},
		{"empty secret", []Client{emptySecret}, "empty secret"},
		{"no profile", []Client{{Name: "a", Prefixes: noSecret.Prefixes, Secrets: [][]byte{{1}}}}, "no profile"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewTable(tt.clients)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestRequire(t *testing.T) {
	for _, want := range []Require{RequireYes, RequireAuto, RequireNo} {
		if got, err := ParseRequire(want.String()); got != want || err != nil {
			t.Errorf("%s: got %s, %v", want, got, err)
		}
	}
	if got, err := ParseRequire("maybe"); err == nil || got != RequireYes {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestLookupProfile(t *testing.T) {
	if p, err := profile.Lookup("generic"); err != nil || !p.Prompts {
		t.Errorf("got %+v, %v", p, err)
	}
	if _, err := profile.Lookup("nosuch"); err == nil || !strings.HasPrefix(err.Error(), "must be one of generic, fortigate, ") || !strings.HasSuffix(err.Error(), `; got "nosuch"`) {
		t.Errorf("got %v", err)
	}
}
