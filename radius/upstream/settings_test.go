package upstream

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

func TestUpstreamSettings(t *testing.T) {
	good := func() *Settings {
		return &Settings{NASIdentifier: "radmatch", Servers: []Server{{Address: "nps1.example.org:1812", Secret: "long enough"}}}
	}
	for _, tt := range []struct {
		change func(s *Settings)
		want   string
	}{
		{func(*Settings) {}, ""},
		{func(s *Settings) { s.Servers[0].Address = "192.0.2.1" }, ""},
		{func(s *Settings) { s.Servers[0].Address = "2001:db8::1" }, ""},
		{func(s *Settings) { s.Servers[0].Address = "[2001:db8::1]:1645" }, ""},
		{func(s *Settings) { s.Servers = nil }, "servers: must have an entry"},
		{func(s *Settings) { s.Servers[0].Address = "nps1:0" }, "servers[0].address: must be HOST"},
		{func(s *Settings) { s.Servers[0].Address = "nps1:65536" }, "servers[0].address: must be HOST"},
		{func(s *Settings) { s.Servers[0].Address = "https://nps1" }, "servers[0].address: must be HOST"},
		{func(s *Settings) { s.Servers[0].Address = ":1812" }, "servers[0].address: must be HOST"},
		{func(s *Settings) { s.Servers = append(s.Servers, s.Servers[0]) }, "servers[1].address: must be there once"},
		{func(s *Settings) { s.Servers[0].Secret = "short" }, "servers[0].secret: must be from 8 to 253 octets"},
		{func(s *Settings) { s.Servers[0].Secret = "" }, "servers[0].secret: must be there, or secret_file"},
		{func(s *Settings) { s.Servers[0].SecretFile = "x" }, "servers[0].secret_file: must not stand beside secret"},
		{func(s *Settings) { s.NASIdentifier = "" }, "nas_identifier: must be 1 to 253 octets long"},
		{func(s *Settings) { s.DefaultDomain = `CORP\` }, "default_domain: must be the name of a domain"},
		{func(s *Settings) { s.CanonicalDomain = "a b" }, "canonical_domain: must be the name of a domain"},
		{func(s *Settings) { s.Domains = []string{"@x"} }, "domains[0]: must be the name of a domain"},
	} {
		s := good()
		tt.change(s)
		var got []string
		s.CheckSettings(func(key, rule, _ string) { got = append(got, key+": "+rule) })
		if strings.Join(got, "\n") == "" && tt.want == "" {
			continue
		}
		if len(got) != 1 || !strings.HasPrefix(got[0], tt.want) || tt.want == "" {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	s := good()
	for name, want := range map[string]string{"Filter-Id": "", "class": "", "": "", "Nothing": "unknown", "State": "holds text", "Session-Timeout": "holds text", "Tunnel-Password": "holds text"} {
		s.GroupsAttribute = name
		_, err := New(s, wire.StandardDictionary(), nil)
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("groups_attribute %q: %v", name, err)
		}
	}
}

// FuzzUpstreamAnswer: what a server with the right secret answers, whatever its
// attributes are, is an identity that can be sent on, or none.
func FuzzUpstreamAnswer(f *testing.F) {
	for _, attributes := range [][]byte{
		avp(25, "class"), avp(wire.TypeUserName, `CORP\alice`), avp(wire.TypeTunnelPassword, "\x01\x80\x010123456789abcdef"),
		avp(wire.TypeVendorSpecific, "\x00\x00\x01\x37\x1a\x2d\x07S="+strings.Repeat("A", 40)),
		avp(wire.TypeVendorSpecific, "\x00\x00\x01\x37\x10\x24\x80\x01"+strings.Repeat("k", 32)),
		avp(wire.TypeVendorSpecific, "\x00\x00\x01\x37\x02\x10\x07E=648 R=0 C="), avp(64, "\x01\x00\x00\x0d"), avp(wire.TypeState, "s"),
		append(avp(wire.TypeReplyMessage, "Code:\n"), avp(wire.TypeState, "s")...),
	} {
		for _, code := range []byte{2, 3, 11} {
			f.Add(code, attributes)
		}
	}
	secret := wire.NewSecret([]byte(testSecret))
	u, err := New(&Settings{
		NASIdentifier: "radmatch", DefaultDomain: "CORP", GroupsAttribute: "Class", Servers: []Server{{Address: "192.0.2.1", Secret: testSecret}},
	}, wire.StandardDictionary(), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, code byte, attributes []byte) {
		w := wire.NewWriter(nil, wire.Code(code), 5, authOf(1)[:], secret)
		w.B = append(w.B, attributes...)
		p, err := w.SealAnswer()
		if err != nil {
			return
		}
		q := &question{code: wire.AccessRequest}
		answer, err := wire.ParseAnswer(p, 5, authOf(1), secret)
		if err != nil || q.takes(answer) != nil {
			return
		}
		r := &reply{Answer: answer, server: u.servers[0], auth: *authOf(1)}
		for _, cred := range []mfa.Credential{mfa.Password("x"), mfa.MSCHAPv2{Ident: 7}} {
			id, err := u.verdict(r, mfa.NameOf("alice"), cred)
			if err != nil {
				if !reflect.DeepEqual(id, mfa.Identity{}) {
					t.Fatal("got an identity beside an error; want none")
				}
				var c *mfa.PrimaryChallenge
				if errors.As(err, &c) && (c.Message == "" || len(c.Message) > maxChallengeText || strings.ContainsAny(c.Message, "\n\x1b\x00")) {
					t.Fatalf("message %q", c.Message)
				}
				continue
			}
			_, mschap := cred.(mfa.MSCHAPv2)
			if wire.Code(code) != wire.AccessAccept || id.Name.String() == "" || mschap != (id.MSCHAP != nil) || wire.CheckReply(id.Attributes) != nil {
				t.Fatalf("code %d: %+v", code, id)
			}
			for _, a := range id.Attributes {
				if u.dictionary.Use(wire.AttributeType{Vendor: a.Vendor, Type: a.Type}) == wire.UseServer && a.Vendor == 0 && a.Type != wire.TypeVendorSpecific {
					t.Fatalf("attribute %d is passed on", a.Type)
				}
			}
		}
	})
}
