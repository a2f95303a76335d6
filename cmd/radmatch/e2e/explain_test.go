package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/cmd/radmatch/explain"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/radius/wire"
)

const explainSite = siteHead + `clients:
  - {name: vpn, addresses: [127.0.0.1], secret: ` + testSecret + `}
  - {name: appends, addresses: [127.0.0.2], secret: ` + testSecret + `, prompts: false, append: delimiter}
  - {name: both, addresses: [127.0.0.3], secret: ` + testSecret + `, append: delimiter, override_number_matching_with_otp: true}
  - {name: openvpn, addresses: [127.0.0.4], secret: ` + testSecret + `, profile: openvpn, require_user_match: false}
  - {name: exempt, addresses: [127.0.0.5], secret: ` + testSecret + `, exempt_client: true}
mfa: {reject_delay: 500ms}
lockout: {passcodes: 100}
fatigue: {prompts: 100, total: 1000}
`

// explainUsers says how the users of TestExplainAgrees are registered, by name.
var explainUsers = []struct {
	name string
	set  func(p *serverProcess, name string)
}{
	{"nothing", func(*serverProcess, string) {}},
	{"token", func(p *serverProcess, name string) { p.addTOTP(name) }},
	{"device", func(*serverProcess, string) {}}, // enrolled by the test
	{"device-token", func(p *serverProcess, name string) { p.addTOTP(name) }},
	{"default-otp", func(p *serverProcess, name string) { p.addTOTP(name); p.cli("method", "default", name, "otp") }},
	{"pass", func(p *serverProcess, name string) { p.cli("tap", "issue", name) }},
	{"blocked", func(p *serverProcess, name string) { p.addTOTP(name); p.cli("user", "block", name) }},
}

// TestExplainAgrees signs in each kind of user at each kind of client in each way, and
// compares the plan and the reason in the trail with what explain has said before.
func TestExplainAgrees(t *testing.T) {
	t.Parallel()
	p := newServer(t, explainSite)
	users := scriptUsers
	for _, u := range explainUsers {
		users += fmt.Sprintf("  - {name: %s, password: \"{NT}%s\"}\n", u.name, rightHorse)
	}
	p.write("users.yaml", users)
	p.start()
	for _, u := range explainUsers {
		var ph *testPhone
		if strings.Contains(u.name, "device") || u.name == "default-otp" {
			ph = p.enroll(u.name)
		}
		u.set(p, u.name)
		compared := 0
		for at, e := range p.explain(u.name) {
			s := p.nasSocket(fmt.Sprintf("127.0.0.%d", at+1))
			for _, l := range e.Logins {
				from := fmt.Sprintf("%s/%s/%s", u.name, e.Client, l.Credential)
				s.signInAs(u.name, l, e.Client == "openvpn", from, ph)
				ev := p.eventFrom(u.name, from)
				if ev.Plan != l.Plan || ev.Reason != l.Reason && ev.Reason != mfa.ReasonWrongCode {
					t.Errorf("%s: the login was %s (%s), explain said %s (%s)", from, ev.Plan, ev.Reason, l.Plan, l.Reason)
				}
				compared++
			}
		}
		if compared < 10 {
			t.Errorf("%s: only %d logins were explained; want at least 10", u.name, compared)
		}
	}
}

// explain returns what explain says of a user at each client, in their order.
func (p *serverProcess) explain(user string) (list []explain.Report) {
	p.t.Helper()
	dec := json.NewDecoder(strings.NewReader(p.cli("explain", user, "--json")))
	for dec.More() {
		var e explain.Report
		if err := dec.Decode(&e); err != nil {
			p.t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

// signInAs signs in as explained. The code of who is asked for one is wrong, so
// that none is used up.
func (s *nasSocket) signInAs(user string, l explain.Login, static bool, from string, ph *testPhone) {
	s.t.Helper()
	q := signIn(user, from)
	switch l.Credential {
	case "MS-CHAPv2":
		c, err := wire.NewMSCHAPv2(user, testPassword)
		if err != nil {
			s.t.Fatal(err)
		}
		q.Cred = c
	case "PAP with a passcode":
		code := "000000"
		if user == "pass" {
			code = "K7MPQ-3X9DR" // of that form
		}
		q.Cred = mfa.Password(testPassword + "," + code)
		if static {
			b64 := base64.StdEncoding.EncodeToString
			q.Cred = mfa.Password("SCRV1:" + b64([]byte(testPassword)) + ":" + b64([]byte(code)))
		}
	}
	r := s.start(q)
	if l.Plan == mfa.PlanPush {
		ph.decide(ph.prompt(), device.ActionApprove, "")
	}
	a, _ := s.answer(r)
	for a.Code == wire.AccessChallenge {
		again := answerTo(user, a.State(), "000000")
		again.Attributes = q.Attributes
		a = s.ask(again)
	}
}

// eventFrom returns the one event of a user's login from there.
func (p *serverProcess) eventFrom(user, from string) mfa.Event {
	p.t.Helper()
	var found []mfa.Event
	for _, ev := range p.events(user) {
		if ev.EndUser == from {
			found = append(found, ev)
		}
	}
	if len(found) != 1 {
		p.t.Fatalf("%d events of %s, want 1", len(found), from)
	}
	return found[0]
}
