package mfa

import (
	"strings"
	"testing"
)

func TestDNForm(t *testing.T) {
	const same = `cn="vpn users",ou="groups",dc="example",dc="org"`
	for text, want := range map[string]string{
		"cn=vpn users,ou=groups,dc=example,dc=org":                                                  same,
		"CN=VPN  Users,OU=Groups,DC=Example,DC=org":                                                 same,
		" cn = vpn users , ou = groups ; dc=example, dc=org ":                                       same,
		"2.5.4.3=vpn users,organizationalUnitName=groups,dc=example,0.9.2342.19200300.100.1.25=org": same,
		`cn=vpn\20users,ou=groups,dc=example,dc=org`:                                                same,
		`cn=\ vpn users\ ,ou=groups,dc=example,dc=org`:                                              same, // blanks at the ends count for nothing, as in a name
		`cn=a\,ou\=b,dc=x`:        `cn="a,ou=b",dc="x"`,
		`cn=a\2cou\3db,dc=x`:      `cn="a,ou=b",dc="x"`,
		`cn=a,ou=b,dc=x`:          `cn="a",ou="b",dc="x"`,
		`cn=a\"\,b,dc=x`:          `cn="a\",b",dc="x"`,
		`cn=a+uid=b,dc=x`:         `cn="a"+uid="b",dc="x"`,
		`uid=b+cn=a,dc=x`:         `cn="a"+uid="b",dc="x"`,
		`cn=a\+uid\=b,dc=x`:       `cn="a+uid=b",dc="x"`,
		`cn=Gr\c3\bc\c3\9fe,dc=x`: `cn="grüße",dc="x"`,
		"cn=a":                    "", // in nothing
		"vpn users":               "",
		"a=b=c":                   "",
		"cn=,dc=x":                "",
		"cn=a,,dc=x":              "",
		"cn=a,dc=x,":              "",
		",cn=a,dc=x":              "",
		"=a,dc=x":                 "",
		"c n=a,dc=x":              "",
		`cn=a\,dc=x`:              "",
		`cn=a,dc=x\`:              "",
		`cn=a\4,dc=x`:             "",
		`cn="a",dc=x`:             "",
		"cn=a\x00,dc=x":           "",
		"cn=" + strings.Repeat("a", maxDN) + ",dc=x": "",
		"": "",
	} {
		if got, ok := dnForm(text); ok != (want != "") || ok && got != want {
			t.Errorf("%q: got %q, %t; want %q", text, got, ok, want)
		}
	}
}

func FuzzDNForm(f *testing.F) {
	for _, s := range []string{"cn=a,dc=x", `cn=a\,b+uid=c;dc=x`, `cn=\c3\bc,dc=x`, `a=\\,b=c`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if form, ok := dnForm(s); ok && (form == "" || !strings.Contains(form, ",")) {
			t.Errorf("%q: %q", s, form)
		}
	})
}

// TestGroupsByDN: a DN in a list is that group and no other, and no name is taken for it.
func TestGroupsByDN(t *testing.T) {
	const dn = "cn=admins,ou=groups,dc=example,dc=org"
	list := GroupsOf("staff", dn)
	for _, tt := range []struct {
		name  string
		group Group
		want  string
	}{
		{"its DN, spelled otherwise", GroupIn("admins", "CN=Admins,OU=Groups,DC=example,DC=org"), dn},
		{"only its name", GroupOf("admins"), ""},
		{"the same name elsewhere", GroupIn("admins", "cn=admins,ou=people,dc=example,dc=org"), ""},
		{"a name that looks like the DN", GroupIn(dn, "cn=x,ou=people,dc=example,dc=org"), ""},
		{"a name that looks like the DN, without one", GroupIn(dn, ""), ""},
		{"the DN in a users file", GroupOf(dn), dn},
		{"a name of a list", GroupIn("Staff", "cn=staff,ou=people,dc=example,dc=org"), "staff"},
		{"a DN that is called like a name of the list", GroupOf("cn=staff,dc=example,dc=org"), ""},
		{"no DN", GroupIn("admins", "admins"), ""},
	} {
		if got := MatchGroup(list, []Group{tt.group}).String(); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	if GroupIn(AllUsers, "cn=all_users,dc=x").DN() == "" || GroupOf("cn=all_users,dc=x").Everyone() {
		t.Error("got a DN that means everyone; want only the name all_users to do so")
	}
}

// TestNoGroup: what is no name of a group matches no user, and hides no other of the list.
func TestNoGroup(t *testing.T) {
	blank := GroupsOf("\u00ad", "\u200b", " ")
	if g := MatchGroup(append(blank, GroupOf("staff")), append(blank, GroupOf("Staff"))); g.String() != "staff" {
		t.Errorf("a member of staff matches %q; want \"staff\"", g)
	}
	if inGroup(blank, blank) {
		t.Error("got members of what is no group; want none")
	}
}
