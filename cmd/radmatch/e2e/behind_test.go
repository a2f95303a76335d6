package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
)

// behindSite is a proxy with two devices behind it, of which one cannot ask.
const behindSite = `listen: {radius: ["127.0.0.1:0"], accounting: ["127.0.0.1:0"], web: "127.0.0.1:0"}
data_dir: data
primaries: [{name: local, type: file, path: users.yaml}]
clients:
  - {name: proxy, addresses: [127.0.0.1], secret: ` + testSecret + `}
  - {name: branch, behind: proxy, nas: [branch-7], prompts: false, append: delimiter}
  - {name: lab, behind: proxy, nas: [10.1.0.0/16]}
mfa: {reject_delay: 500ms, override_number_matching_with_otp: true}
`

// The devices behind a proxy have what their own clients say, by the real program
// and the real radclient.
func TestBehindProxy(t *testing.T) {
	t.Parallel()
	p := newServer(t, behindSite)
	users := p.addUsers("user", 3)
	p.addTOTP(users...)
	p.start()
	ask := func(user, password string, more ...string) string {
		return p.radclient("127.0.0.1", append([]string{fmt.Sprintf("User-Name = %q", user), fmt.Sprintf("User-Password = %q", password)}, more...)...)
	}
	want := func(what, answer, kind string) {
		t.Helper()
		if !strings.HasPrefix(answer, kind) {
			t.Errorf("%s: got %q, want %s", what, answer, kind)
		}
	}
	const branch, lab, other = `NAS-Identifier = "branch-7"`, `NAS-IP-Address = 10.1.2.3`, `NAS-Identifier = "branch-8"`
	want("the proxy asks", ask(users[0], testPassword), "Access-Challenge")
	want("so does an unknown NAS", ask(users[0], testPassword, other), "Access-Challenge")
	want("branch cannot ask", ask(users[0], testPassword, branch), "Access-Reject")
	want("who both are is the identifier's", ask(users[0], testPassword, branch, lab), "Access-Reject")
	accept := ask(users[0], testPassword+","+totp(users[0], 0), branch)
	want("branch appends", accept, "Access-Accept")

	challenge := ask(users[1], testPassword, lab)
	want("lab asks", challenge, "Access-Challenge")
	state := stateOf(t, challenge)
	want("the answer by another NAS", ask(users[1], totp(users[1], 0), other, state), "Access-Reject")
	want("the answer by lab", ask(users[1], totp(users[1], 0), lab, state), "Access-Accept")

	class := ""
	for line := range strings.Lines(accept) {
		if strings.Contains(line, "Class = ") {
			class = strings.TrimSpace(line)
		}
	}
	p.report(fmt.Sprintf("User-Name = %q", users[0]), `Acct-Status-Type = Start`, `Acct-Session-Id = "A1"`, branch, class)
	events := p.events(users[0])
	report := events[len(events)-1]
	if report.Client != "branch" || report.ID == "" || report.ID != events[len(events)-2].ID {
		t.Errorf("the report is %+v", report)
	}

	if got := p.cli("clients"); !strings.Contains(got, "branch (behind proxy)") {
		t.Errorf("radmatch clients:\n%s; want \"branch (behind proxy)\" in it", got)
	}
	if r := p.clientReport("lab"); r.Behind != "proxy" || strings.Join(r.NAS, " ") != "10.1.0.0/16" {
		t.Errorf("%+v", r)
	}
	p.until("the counters are on disk", func() bool { r := p.clientReport("branch"); return r.Accepts == 1 && r.Rejects == 2 })
	if got := p.cli("explain", users[2], "--client", "branch"); !strings.Contains(got, "behind client proxy: signed requests of NAS branch-7") || !strings.Contains(got, "PAP") {
		t.Errorf("radmatch explain:\n%s; want \"behind client proxy: signed requests of NAS branch-7\" in it, \"PAP\" in it", got)
	}
	if got := p.cli("check"); !strings.Contains(got, "behind client proxy as NAS branch-7, profile generic: prompts no (client)") {
		t.Errorf("radmatch check:\n%s; want \"behind client proxy as NAS branch-7, profile generic: prompts no (client)\" in it", got)
	}
	if code, _, errs := p.run("login", "--client", "branch", users[2]); code == console.ExitOK || !strings.Contains(errs, `client "branch" is behind client "proxy"`) {
		t.Errorf("radmatch login: exit %d: %s", code, errs)
	}
}
