package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/radius/wire"
)

// Anyone who has only a device and has denied prompts is asked for a number then,
// which nobody approves by accident; never more than fatigue.total prompts are sent.
func TestFatigueAsksForNumber(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+siteClient+"fatigue: {prompts: 2, total: 3}\n")
	ph := p.enroll("alice")
	s := p.nasSocket("127.0.0.1")
	for i := range 2 {
		r := s.start(signIn("alice", fmt.Sprintf("192.0.2.%d", i+1)))
		ph.decide(ph.prompt(), device.ActionDeny, "")
		s.gets(r, wire.AccessReject)
	}
	a := s.expect(signIn("alice", "192.0.2.3"), wire.AccessChallenge)
	number := regexp.MustCompile(`\d\d`).FindString(a.Message())
	v := ph.prompt()
	if _, err := ph.Decide(t.Context(), v, device.ActionApprove, ""); err == nil {
		t.Error("approved without the number: got no error; want one")
	}
	ph.decide(v, device.ActionApprove, number)
	s.expect(answerTo("alice", a.State(), ""), wire.AccessAccept)
	// By MS-CHAPv2 no number can be shown, and three prompts were sent by now.
	q := signIn("alice", "192.0.2.4")
	s.expect(q, wire.AccessReject)
	p.awaitEvent("alice", "accept push_limited", 1)
	p.awaitEvent("alice", "reject push_limited", 1)
	p.cli("user", "unblock", "alice")
	r := s.start(q)
	ph.approve()
	s.gets(r, wire.AccessAccept)
}

// reports returns the events of kind report.
func (p *serverProcess) reports(user string) (list []mfa.Event) {
	p.t.Helper()
	for line := range strings.Lines(p.cli("events", "--json", "--user", user)) {
		var ev mfa.Event
		if err := json.Unmarshal([]byte(line), &ev); err != nil {
			p.t.Fatal(err)
		}
		if ev.Kind == mfa.EventReport {
			if strings.Contains(line, `"outcome"`) || strings.Contains(line, `"plan"`) {
				p.t.Errorf("a report counts as a login: %s", line)
			}
			list = append(list, ev)
		}
	}
	return list
}

// "This was not me" stops push for that user and group at once, also over kill
// -9, and leaves an event of its own; with the option it blocks the user.
func TestNotMe(t *testing.T) {
	t.Parallel()
	const twoClients = `clients:
  - {name: vpn, addresses: [127.0.0.1], secret: ` + testSecret + `}
  - {name: mail, addresses: [127.0.0.2], secret: ` + testSecret + `}
mfa: {reject_delay: 500ms}
`
	for _, blocks := range []bool{false, true} {
		t.Run(fmt.Sprint("not_me_blocks_user ", blocks), func(t *testing.T) {
			t.Parallel()
			p := startServer(t, siteHead+twoClients+fmt.Sprintf("fatigue: {not_me_blocks_user: %t}\n", blocks))
			p.addTOTP("alice")
			p.cli("method", "default", "alice", "push")
			ph := p.enroll("alice")
			s := p.nasSocket("127.0.0.1")
			r := s.start(signIn("alice", "192.0.2.1"))
			ph.decide(ph.prompt(), device.ActionNotMe, "")
			s.gets(r, wire.AccessReject)
			for range 2 { // before and after kill -9
				s = p.nasSocket("127.0.0.1")
				mail := p.nasSocket("127.0.0.2")
				want, elsewhere := wire.AccessChallenge, "accept approve_deny"
				if blocks {
					want, elsewhere = wire.AccessReject, "reject user_blocked"
				}
				s.expect(signIn("alice", "192.0.2.2"), want)
				before := p.counts("alice")[elsewhere]
				if r := mail.start(signIn("alice", "192.0.2.3")); blocks {
					mail.answer(r)
				} else {
					ph.approve()
					mail.answer(r)
				}
				p.awaitEvent("alice", elsewhere, before+1)
				p.kill()
				p.start()
				if !blocks { // a blocked user cannot enrol
					ph = p.enroll("alice")
				}
			}
			list := p.reports("alice")
			if len(list) != 1 || list[0].Client != "vpn" || list[0].EndUser != "192.0.2.1" || list[0].Reason != mfa.ReasonNotMe || list[0].BlocksUser != blocks {
				t.Errorf("reports %+v", list)
			}
			p.cli("user", "unblock", "alice")
			if blocks {
				ph = p.enroll("alice")
			}
			s = p.nasSocket("127.0.0.1")
			r = s.start(signIn("alice", "192.0.2.4"))
			ph.approve()
			s.gets(r, wire.AccessAccept)
		})
	}
}

// A wrong password never causes a prompt, in no protocol, and not while a prompt
// of the same origin is open either.
func TestWrongPasswordSendsNoPrompt(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+siteClient)
	ph := p.enroll("alice")
	s := p.nasSocket("127.0.0.1")
	wrong := func() {
		t.Helper()
		for _, cred := range []mfa.Credential{mfa.Password("wrong horse"), mfa.Password(testPassword + " "), mfa.Password(""), mfa.MSCHAPv2{}} {
			q := signIn("alice", "192.0.2.1")
			q.Cred = cred
			s.expect(q, wire.AccessReject)
		}
	}
	wrong()
	if live := ph.live(); len(live) != 0 {
		t.Errorf("got %d prompts after wrong passwords; want 0", len(live))
	}
	r := s.start(signIn("alice", "192.0.2.1"))
	v := ph.prompt()
	wrong()
	if live := ph.live(); len(live) != 1 || live[0].ID != v.ID || len(live[0].Requests)+live[0].More != 1 {
		t.Errorf("after wrong passwords beside a prompt the device shows %+v", live)
	}
	ph.decide(v, device.ActionApprove, "")
	s.gets(r, wire.AccessAccept)
	if n := p.counts("alice")["accept approve_deny"]; n != 1 {
		t.Errorf("got %d accepts; want 1", n)
	}
}
