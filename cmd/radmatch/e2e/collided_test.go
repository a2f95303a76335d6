package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/radius/wire"
)

// TestNamesThatCollided does what docs/users.md says of names that collided: the
// server and check say which, the user is blocked, the other's device counts for no user, and
// user unblock removes it.
func TestNamesThatCollided(t *testing.T) {
	t.Parallel()
	needPeer(t, "sqlite3")
	p := newServer(t, siteHead+strings.Replace(siteClient, "mfa: {", "mfa: {require_user_match: false, ", 1))
	p.addTOTP("bob")
	p.start()
	phone := p.enroll("alice")
	p.stop()
	// A database from before names had a form: alice's device is another bob's.
	sql := "UPDATE meta SET value = 0 WHERE key = 'names'; UPDATE devices SET usr = 'bob\u00a0' WHERE usr = 'alice'"
	if out, err := exec.Command("sqlite3", p.path("data/radmatch.db"), sql).CombinedOutput(); err != nil {
		t.Fatalf("%v: got %s; want no error", err, out)
	}
	for range 2 { // at each start
		p.start()
		var line struct {
			Level, User string
			Others      []string
		}
		for text := range strings.Lines(p.await("server.log", `radmatch user unblock.*\n`)) {
			if strings.Contains(text, "radmatch user unblock") {
				if err := json.Unmarshal([]byte(text), &line); err != nil || line.Level != "warn" || line.User != "bob" || fmt.Sprint(line.Others) != "[bob\u00a0]" {
					t.Errorf("the log says %s", text)
				}
			}
		}
		p.nasSocket("127.0.0.1").expect(signIn("bob", ""), wire.AccessReject)
		p.stop()
		p.write("server.log", "")
	}
	p.start()
	if n := p.counts("bob")["reject user_blocked"]; n != 2 {
		t.Errorf("%d logins were refused because the user is blocked: got %v; want 2", n, p.counts("bob"))
	}
	if out, _ := p.output("check", "--connect"); !strings.Contains(out, `user bob was kept apart from ["bob\u00a0"]`) {
		t.Errorf("check --connect: %s", out)
	}
	if out := p.cli("events", "--user", "bob", "--json"); !strings.Contains(out, `(tokens: 0, devices: 1)`) {
		t.Errorf("the event of the block: %s", out)
	}
	if out := p.cli("device", "list"); strings.Contains(out, "alice's") {
		t.Errorf("device list: got %s; want no \"alice's\" in it", out)
	}
	if _, err := phone.Prompts(t.Context()); err == nil {
		t.Error("the device of the other bob is still one: got no error; want one")
	}
	p.cli("user", "unblock", "bob")
	if out, _ := p.output("check", "--connect"); strings.Contains(out, "kept apart") {
		t.Errorf("check --connect after user unblock: got %s; want no \"kept apart\" in it", out)
	}
	s := p.nasSocket("127.0.0.1")
	a := s.expect(signIn("bob", "198.51.100.9"), wire.AccessChallenge)
	s.expect(answerTo("bob", a.State(), totp("bob", 0)), wire.AccessAccept)
	p.stop()
	if out, err := exec.Command("sqlite3", p.path("data/radmatch.db"), "SELECT count(*) FROM devices").CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "0" {
		t.Errorf("devices that stay: %s, %v", out, err)
	}
}
