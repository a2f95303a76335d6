package command

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/providers"
	"github.com/radmatch/radmatch/cmd/radmatch/site"
	"github.com/radmatch/radmatch/radius/profile"
)

// TestProfilesCommand: every profile has a row, its quirks, and a section of the
// documentation.
func TestProfilesCommand(t *testing.T) {
	code, out, _ := command(t, "config", "profiles")
	if code != console.ExitOK {
		t.Fatalf("exit: got %d; want %d", code, console.ExitOK)
	}
	for _, p := range profile.All() {
		if !strings.Contains(out, "\n"+p.Name+" ") || !strings.Contains(out, "  set:   "+p.Raise+"\n") {
			t.Errorf("profile %s is not in\n%s", p.Name, out)
		}
		if page := readPage(t, p.Page); !strings.Contains(page, "\n## "+p.Name+"\n") && !p.NoPassword { // which has a page of its own
			t.Errorf("docs/%s: got no section %s; want one", p.Page, p.Name)
		}
	}
}

// TestProfileSettings: what a profile says to set is what its section shows, with
// which TestClients signs in.
func TestProfileSettings(t *testing.T) {
	setting := regexp.MustCompile(`^[a-z_-]+( = | |=|: )[0-9a-z]+$`)
	for _, name := range []string{"openvpn", "ocserv", "strongswan", "pppd"} {
		p, err := profile.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		_, section, _ := strings.Cut(readPage(t, p.Page), "\n## "+name+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		section = strings.Join(strings.Fields(section), " ")
		n := 0
		for _, what := range regexp.MustCompile(`[;,] |\.(conf|cnf): `).Split(p.Raise, -1) {
			if !setting.MatchString(what) {
				continue
			}
			n++
			if !strings.Contains(section, what) {
				t.Errorf("%s: %q is not in its section", name, what)
			}
		}
		if n < 2 {
			t.Errorf("%s: no settings in %q; want at least 2", name, p.Raise)
		}
	}
}

// TestClientOverProfile: a key of the client wins over its profile, and `check`
// shows which does.
func TestClientOverProfile(t *testing.T) {
	text := strings.Replace(goodConfig, "clients:\n", `clients:
  - name: gate
    addresses: [192.0.2.1]
    secret: 8-PtwkGzXq2vNc4LrT-gate
    profile: strongswan
  - name: glued
    addresses: [192.0.2.2]
    secret: 8-PtwkGzXq2vNc4LrT-glued
    profile: strongswan
    prompts: true
    end_user: [Tunnel-Client-Endpoint]
    address_attribute: []
    nas_timeout: 1m
`, 1)
	if text == goodConfig {
		t.Fatal("got the same configuration after the replacement; want one with other clients")
	}
	dir := t.TempDir()
	file := writeFile(t, filepath.Join(dir, "radmatch.yaml"), text)
	writeFile(t, filepath.Join(dir, "users.yaml"), "users: []\n")
	code, out, _ := command(t, "check", "-c", file)
	for _, want := range []string{
		"client gate:   profile strongswan: prompts no, shows Reply-Message no, end user Calling-Station-Id, address Calling-Station-Id, waits 14s as delivered\n",
		"client glued:  profile strongswan: prompts yes (client), shows Reply-Message no, end user Tunnel-Client-Endpoint (client), address none (client), waits 1m0s (client)\n",
	} {
		if code != console.ExitOK || !strings.Contains(out, want) {
			t.Errorf("exit %d, want %s\n%s", code, want, out)
		}
	}
	cfg, err := site.ReadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	p, err := providers.NewProfile(&cfg.Clients[1])
	if err != nil {
		t.Fatal(err)
	}
	if !p.Prompts || !p.PortInEndUser || p.AddressAttribute != nil || p.EndUser[0].String() != "Tunnel-Client-Endpoint" || p.NASTimeout.Seconds() != 60 {
		t.Errorf("profile %+v", p)
	}
	if base, err := profile.Lookup("strongswan"); err != nil || base.Prompts || len(base.AddressAttribute) != 1 {
		t.Errorf("the profile itself has changed: got %+v, %v; want no error, Prompts false, 1 AddressAttribute", base, err)
	}
}
