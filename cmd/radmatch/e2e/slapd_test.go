package e2e

import (
	"fmt"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/radmatch/radmatch/mfa/password/passwordtest"
)

type slapdKey struct{}

// scriptSlapd is a real directory for scripts, with the users of passwordtest.Slapd.
func scriptSlapd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: slapd start|hang|resume|kill|restart")
	}
	running, _ := ts.Value(slapdKey{}).(**passwordtest.Slapd)
	s := *running
	if s == nil && args[0] != "start" {
		ts.Fatalf("slapd start must come first")
	}
	switch args[0] {
	case "start":
		dir := ts.MkAbs("slapd")
		ts.Check(os.Mkdir(dir, 0o700))
		s, err := passwordtest.NewSlapd(dir)
		ts.Check(err)
		ts.Defer(s.Close)
		*running = s
		ts.Setenv("LDAP", s.Plain)
		ts.Setenv("LDAPS", s.TLS)
	case "hang":
		ts.Check(s.Hang())
	case "resume":
		ts.Check(s.Resume())
	case "kill":
		s.Kill()
	case "restart":
		ts.Check(s.Start())
	default:
		ts.Fatalf("unknown: slapd %s", args[0])
	}
}

// ldapConfig has the directory beside the users file, which a second client uses.
const ldapConfig = `listen:
  radius: ["127.0.0.1:0"]
  web: "127.0.0.1:0"
data_dir: data
primaries:
  - {name: local, type: file, path: users.yaml}
  - name: directory
    type: ldap
    ca_file: slapd/ca.pem
    bind_dn: cn=reader,dc=example,dc=org
    bind_password_file: reader.secret
    base_dn: dc=example,dc=org
    group_base_dn: ou=groups,dc=example,dc=org
    default_domain: EXAMPLE
    domains: [example.org]
    canonical_domain: example.org
    reply:
      - {attribute: Filter-Id, from: departmentNumber}
%sclients:
  - {name: vpn, addresses: [127.0.0.1], secret: %s, primary: directory}
  - {name: other, addresses: [127.0.0.2], secret: %s, primary: local}
mfa: {reject_delay: 500ms}
`

// scriptLDAPSite writes radmatch.yaml with these keys in the directory's entry.
func scriptLDAPSite(ts *testscript.TestScript, neg bool, args []string) {
	var keys strings.Builder
	for _, a := range args {
		fmt.Fprintf(&keys, "    %s\n", a)
	}
	secret := ts.Getenv("SECRET")
	text := fmt.Sprintf(ldapConfig, keys.String(), secret, secret)
	ts.Check(os.WriteFile(ts.MkAbs("radmatch.yaml"), []byte(text), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("reader.secret"), []byte("reader secret\n"), 0o600))
}
