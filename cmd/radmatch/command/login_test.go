package command

import (
	"bytes"
	"context"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius"
	"github.com/radmatch/radmatch/radius/listen"
	"github.com/radmatch/radmatch/radius/profile"
	"github.com/radmatch/radmatch/radius/wire"
)

const loginConfig = `
listen: {radius: ["127.0.0.1:1812"]}
primaries: [{name: local, type: file, path: users.yaml}]
clients:
  - {name: wide, addresses: [127.0.0.0/8], secret: wide-secret}
  - {name: here, addresses: [127.0.0.1], secret: [new-secret, old-secret]}
  - {name: alias, addresses: [127.0.0.9], secret: alias-secret}
  - {name: far, addresses: [192.0.2.1], secret: far-secret-1}
`

// loginServer answers as the clients of loginConfig expect.
func loginServer(t *testing.T, a radius.Authenticator) string {
	t.Helper()
	kind, err := profile.Lookup("generic")
	if err != nil {
		t.Fatal(err)
	}
	var clients []radius.Client
	for prefix, secret := range map[string]string{"127.0.0.0/8": "wide-secret", "127.0.0.1/32": "new-secret", "127.0.0.9/32": "alias-secret"} {
		clients = append(clients, radius.Client{
			Name: secret, Prefixes: []netip.Prefix{netip.MustParsePrefix(prefix)}, Secrets: [][]byte{[]byte(secret)},
			Profile: kind, Policy: &mfa.Client{},
		})
	}
	table, err := radius.NewTable(clients)
	if err != nil {
		t.Fatal(err)
	}
	server := &radius.Server{}
	server.Swap(radius.Service{Table: table, Authenticator: a})
	sockets := &listen.UDP{Server: server}
	if err := sockets.Open(t.Context(), []string{"127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		server.Shutdown(ctx)
	})
	return sockets.Addrs()[0].String()
}

type authenticatorFunc func(r *mfa.Request, reply func(mfa.Decision))

func (f authenticatorFunc) Authenticate(_ context.Context, r *mfa.Request, reply func(mfa.Decision)) {
	f(r, reply)
}

func TestLogin(t *testing.T) {
	// MD4(MD4("clientPass")) of RFC 2759 §9.2
	hash, err := hex.DecodeString("41C00C584BD2D91C4017A2A12FA59F3F")
	if err != nil {
		t.Fatal(err)
	}
	addr := loginServer(t, authenticatorFunc(func(r *mfa.Request, reply func(mfa.Decision)) {
		password, _ := r.Cred.(mfa.Password)
		switch {
		case r.State == "" && password == "right":
			reply(mfa.Decision{Outcome: mfa.Challenge, State: "s", Message: "Code: "})
		case r.State == "s" && password == "123456", r.User.String() == "User":
			filter, _ := wire.StandardDictionary().ParseAttribute("Filter-Id", "from "+r.EndUser)
			keys := &mfa.MSCHAPKeys{NTHashHash: [16]byte(hash), Name: r.User.String()}
			reply(mfa.Decision{Outcome: mfa.Accept, Identity: &mfa.Identity{Attributes: []mfa.Attribute{filter}, MSCHAP: keys}})
		case password != "silence":
			reply(mfa.Decision{Message: "Sign-in failed."})
		}
	}))
	dead := "127.0.0.1:1"
	file := filepath.Join(t.TempDir(), "radmatch.yaml")
	if err := os.WriteFile(file, []byte(loginConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, stdin string
		args        []string
		exit        int
		want        string // in either output
	}{
		{"challenge and accept", "right\n123456\n", []string{"--server", addr}, console.ExitOK, `Filter-Id = "from 127.0.0.1"`},
		{"challenge is shown", "right\n123456\n", []string{"--server", addr}, console.ExitOK, `Reply-Message = "Code: "`},
		{"without the last line feed", "right\r\n123456", []string{"--server", addr}, console.ExitOK, "Access-Accept"},
		{"another end user", "right\n123456\n", []string{"--server", addr, "--from", "198.51.100.1"}, console.ExitOK, "from 198.51.100.1"},
		{"wrong password", "wrong\n", []string{"--server", addr}, console.ExitRejected, `Reply-Message = "Sign-in failed."`},
		{"wrong code", "right\n654321\n", []string{"--server", addr}, console.ExitRejected, "Access-Reject"},
		{"no line for the challenge", "right\n", []string{"--server", addr}, console.ExitFailure, "as another line"},
		{"no password", "", []string{"--server", addr}, console.ExitUsage, "no password"},
		{"MS-CHAPv2", "clientPass\n", []string{"--server", addr, "--mschapv2"}, console.ExitOK, "Access-Accept"},
		{"MS-CHAPv2, server without the password", "clientpass\n", []string{"--server", addr, "--mschapv2"}, console.ExitFailure, "does not prove"},
		{"another loopback address", "right\n123456\n", []string{"--server", addr, "--client", "alias"}, console.ExitOK, "from 127.0.0.9"},
		{"client elsewhere", "", []string{"--server", addr, "--client", "far"}, console.ExitUsage, "radmatch explain User"},
		{"unknown client", "", []string{"--server", addr, "--client", "nosuch"}, console.ExitUsage, `no client is named "nosuch"`},
		{"nobody listens", "right\n", []string{"--server", dead}, console.ExitNoAnswer, "is the server running"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			user := "alice"
			if strings.Contains(strings.Join(tt.args, " "), "mschap") || tt.exit == console.ExitUsage {
				user = "User"
			}
			var out, errs bytes.Buffer
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			code := Run(ctx, append([]string{"login", user, "-c", file}, tt.args...), strings.NewReader(tt.stdin), &out, &errs)
			if all := out.String() + errs.String(); code != tt.exit || !strings.Contains(all, tt.want) {
				t.Errorf("exit %d, want %d with %q:\n%s", code, tt.exit, tt.want, all)
			}
			if strings.Contains(out.String()+errs.String(), "123456") {
				t.Error("got the typed passcode on the screen or in an error; want it nowhere")
			}
		})
	}
}
