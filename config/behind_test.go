package config

import (
	"fmt"
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
		nas    string
		budget time.Duration
		origin string
		sign   Require
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
		if got := fmt.Sprint(ids, addresses); got != w.nas || cl.Budget != w.budget || cl.Origin("budget") != w.origin || cl.MFA.RequireMA != w.sign {
			t.Errorf("client %s: %s, budget %v (%s), signs %s; want %+v", cl.Name, got, cl.Budget, cl.Origin("budget"), cl.MFA.RequireMA, w)
		}
	}
}
