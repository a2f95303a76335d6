package command

import (
	"strings"
	"testing"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
)

// TestUnknownGroups: a group that no primary knows is said, with the one that may
// be meant, by check --connect and before a bypass begins.
func TestUnknownGroups(t *testing.T) {
	s := newShop(t)
	s.write("users.yaml", "users:\n  - {name: anna, password: \"{NT}"+ntRightHorse+"\", groups: [Staff, \"\\u200b\", \"cn=vpn,ou=groups,dc=example,dc=org\"]}\n")
	s.write("radmatch.yaml", `listen:
  radius: ["127.0.0.1:0"]
data_dir: `+s.data+`
primaries:
  - {name: local, type: file, path: users.yaml}
clients:
  - name: vpn
    addresses: [127.0.0.1]
    secret: a-secret-of-good-length-1234
    allow_groups: [staff, "CN=VPN,OU=groups,DC=example,DC=org"]
    exempt: {groups: [stafff, "\u200b"]}
    require: {groups: ["cn=vpn,ou=people,dc=example,dc=org"]}
    group_replies: [{group: all_users, reply: [{Filter-Id: x}]}, {group: guests, reply: [{Filter-Id: y}]}]
`)
	out, errs, code := s.run("", "check", "--connect")
	if code != console.ExitOK {
		t.Fatalf("exit %d\n%s%s; want console.ExitOK", code, out, errs)
	}
	for _, want := range []string{
		`client vpn: warning: exempt.groups: primary local knows no group "stafff"; did you mean "Staff"`,
		`client vpn: warning: require.groups: primary local knows no group "cn=vpn,ou=people,dc=example,dc=org"`,
		`client vpn: warning: exempt.groups: "\u200b" is no name of a group: it holds for no user`,
		`client vpn: warning: group_replies: primary local knows no group "guests"`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	if n := strings.Count(out, "knows no group"); n != 3 {
		t.Errorf("%d unknown groups, want 3\n%s", n, out)
	}
	bypass := func(group string) []string {
		return []string{"bypass", "--group", group, "--for", "1m", "--reason", "test"}
	}
	s.fails(console.ExitFailure, `knows no group "stuff"; did you mean "Staff"`, bypass("stuff")...)
	s.fails(console.ExitFailure, "--literal", bypass("stuff")...)
	if out := s.ok("bypass", "list"); !strings.Contains(out, "no bypass is in force") {
		t.Errorf("got a bypass for no user; want an error:\n%s", out)
	}
	s.ok(bypass("staff")...)
	s.ok(bypass("cn=VPN,ou=groups,dc=example,dc=org")...)
	s.ok(append(bypass("stuff"), "--literal")...)
}
