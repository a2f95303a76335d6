package e2e

import (
	"fmt"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/radmatch/radmatch/mfa/password/passwordtest"
)

type freeradiusKey struct{}

// upstreamSecret is the secret of the servers of scripts.
const upstreamSecret = "secret-of-radmatch-and-upstream"

// scriptFreeRADIUS is real servers for scripts to have as primary.
func scriptFreeRADIUS(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: freeradius start|hang|resume|kill|restart NAME")
	}
	servers := ts.Value(freeradiusKey{}).(map[string]*passwordtest.FreeRADIUS)
	what, name := args[0], args[1]
	f := servers[name]
	if f == nil && what != "start" {
		ts.Fatalf("freeradius start %s must come first", name)
	}
	switch what {
	case "start":
		dir := ts.MkAbs("freeradius-" + name)
		ts.Check(os.Mkdir(dir, 0o700))
		f, err := passwordtest.NewFreeRADIUS(dir, "../../../testdata/freeradius", upstreamSecret)
		ts.Check(err)
		ts.Defer(f.Close)
		servers[name] = f
		ts.Setenv(name, f.Addr)
	case "hang":
		ts.Check(f.Hang())
	case "resume":
		ts.Check(f.Resume())
	case "kill":
		f.Kill()
	case "restart":
		ts.Check(f.Start())
	default:
		ts.Fatalf("unknown: freeradius %s", what)
	}
}

// upstreamConfig has the upstream beside the users file, which a second client uses.
const upstreamConfig = `listen:
  radius: ["127.0.0.1:0"]
  web: "127.0.0.1:0"
data_dir: data
primaries:
  - {name: local, type: file, path: others.yaml}
  - name: upstream
    type: radius
    timeout: 2s
    servers:
%sclients:
  - {name: vpn, addresses: [127.0.0.1], secret: %[2]s, primary: upstream}
  - {name: plain, addresses: [127.0.0.2], secret: %[2]s, primary: upstream, exempt_client: true}
  - {name: door, addresses: [127.0.0.3], secret: %[2]s, primary: local, exempt_client: true}
mfa:
  reject_delay: 500ms
`

func scriptUpstreamSite(ts *testscript.TestScript, neg bool, args []string) {
	var servers, keys strings.Builder
	for _, a := range args {
		if strings.Contains(a, ": ") {
			fmt.Fprintf(&keys, "    %s\n", a)
		} else {
			fmt.Fprintf(&servers, "      - {address: %q, secret_file: upstream.secret}\n", ts.Getenv(a))
		}
	}
	// No user of the upstream: two primaries share no user.
	ts.Check(os.WriteFile(ts.MkAbs("others.yaml"), []byte("users: [{name: dave, password: \"{NT}"+rightHorse+"\"}]\n"), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("upstream.secret"), []byte(upstreamSecret+"\n"), 0o600))
	text := fmt.Sprintf(upstreamConfig, servers.String()+keys.String(), ts.Getenv("SECRET"))
	ts.Check(os.WriteFile(ts.MkAbs("radmatch.yaml"), []byte(text), 0o600))
}
