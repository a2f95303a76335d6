package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A client behind a proxy is told by its NAS, signs as the proxy must, and waits no
// longer than it.
func TestBehind(t *testing.T) {
	c, err := Load("../testdata/config/ok/behind.yaml", testKnown())
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		nas        string
		nasTimeout time.Duration
		origin     string
		sign       Require
	}{
		{"[] [10.8.0.5/32]", 8 * time.Second, "client proxy", RequireYes},
		{"[] []", 8 * time.Second, "client proxy", RequireYes},
		{"[branch-7 branch/9] [10.7.0.0/16 2001:db8::/32]", 8 * time.Second, "client proxy", RequireYes},
		{"[lab] []", 5 * time.Second, "client lab", RequireYes},
		{"[] []", 0, "default", RequireAuto},
		{"[lab] []", 90 * time.Second, "client elsewhere", RequireAuto},
	}
	for i, w := range want {
		cl := &c.Clients[i]
		ids, addresses := cl.ByNAS()
		if got := fmt.Sprint(ids, addresses); got != w.nas || cl.NASTimeout != w.nasTimeout || cl.Origin("nas_timeout") != w.origin || cl.MFA.RequireMessageAuthenticator != w.sign {
			t.Errorf("client %s: %s, NAS timeout %v (%s), signs %s; want %+v", cl.Name, got, cl.NASTimeout, cl.Origin("nas_timeout"), cl.MFA.RequireMessageAuthenticator, w)
		}
	}
}

// TestNearAddress: what was meant as an address is not taken for a NAS-Identifier.
func TestNearAddress(t *testing.T) {
	head := "primaries: [{name: local, type: file, path: users.yaml}]\nclients:\n  - {name: proxy, addresses: [203.0.113.1], secret: hunter2-hunter2-hunter2}\n"
	for text, good := range map[string]bool{
		"10.0.0.300": false, "10.0.0": false, "10.0.0.1.2": false, "10.0.0.5.": false, "010.0.0.1": false, "10.0/16": false, "10/8": false, "10.0.0.1-9": false,
		"10.0.0.*": false, "10.0.0.x": false, "10.0.0.5:1812": false, "10.0.0.0/255.255.0.0": false, " 10.0.0.5": false, "10.0.0.5 ": false,
		"2001:db8::g": false, "[2001:db8::1]": false, "2001:db8::1/129": false, "branch-7 ": false, "\u00a0branch-7": false,
		"10.0.0.5": true, "10.0.0.0/8": true, "2001:db8::/32": true, "branch-7": true, "branch/9": true, "7": true, "7.1": true, "7-1": true, "v10.0.0.1": true,
		"00-11-22-33-44-55": true, "00:11:22:33:44:55": true, "0011.2233.4455": true, "sw1.example.org": true, "10.example.org": true,
	} {
		path := filepath.Join(t.TempDir(), "radmatch.yaml")
		if err := os.WriteFile(path, fmt.Appendf(nil, "%s  - {name: branch, behind: proxy, nas: [%q]}\n", head, text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path, testKnown()); (err == nil) != good || err != nil && !strings.Contains(err.Error(), "clients[1].nas[0]") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
