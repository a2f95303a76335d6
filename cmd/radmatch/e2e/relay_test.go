package e2e

import (
	"slices"
	"testing"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// An upstream that asks for a passcode of its own (a second radmatch): its
// question reaches the user, the answer reaches the upstream, and then comes
// what our own policy wants. It is one login with one event.
func TestUpstreamAsks(t *testing.T) {
	t.Parallel()
	up := newServer(t, siteHead+siteClient)
	up.addTOTP("alice", "bob")
	up.start()
	p := startServer(t, `listen: {radius: ["127.0.0.1:0"], web: "127.0.0.1:0"}
data_dir: data
primaries:
  - {name: up, type: radius, servers: [{address: "`+up.radius[0]+`", secret: `+testSecret+`}]}
clients:
  - {name: vpn, addresses: [127.0.0.1], secret: `+testSecret+`}
  - {name: dumb, addresses: [127.0.0.2], secret: `+testSecret+`, prompts: false}
  - {name: other, addresses: [127.0.0.3], secret: `+testSecret+`}
mfa: {reject_delay: 500ms}
`)
	ph := p.enroll("alice")
	vpn, dumb, other := p.nasSocket("127.0.0.1"), p.nasSocket("127.0.0.2"), p.nasSocket("127.0.0.3")

	asked := vpn.expect(signIn("alice", ""), wire.AccessChallenge)
	if got := asked.Message(); got != "Enter your verification code." || !asked.Echo() {
		t.Errorf("the user reads %q; want \"Enter your verification code.\", Echo true", got)
	}
	// A wrong answer: the upstream asks again, and so do we.
	again := vpn.expect(answerTo("alice", asked.State(), "000000"), wire.AccessChallenge)
	// The State is worth nothing to others, and was used up by its owner.
	other.expect(answerTo("alice", again.State(), totp("alice", 0)), wire.AccessReject)
	vpn.expect(answerTo("bob", again.State(), totp("bob", 0)), wire.AccessReject)
	vpn.expect(answerTo("alice", asked.State(), totp("alice", 0)), wire.AccessReject)
	// The right one: now the prompt is sent.
	r := vpn.start(answerTo("alice", again.State(), totp("alice", 0)))
	ph.approve()
	a, _ := vpn.answer(r)
	filter := slices.ContainsFunc(a.Attributes(), func(x mfa.Attribute) bool { return x.Type == 11 && string(x.Value) == "employees" })
	if a.Code != wire.AccessAccept || !filter {
		t.Errorf("got %s with %v", a.Code, a.Attributes())
	}

	// A wrong answer that ends the upstream's dialog is a wrong password.
	state := vpn.expect(signIn("bob", ""), wire.AccessChallenge).State()
	state = vpn.expect(answerTo("bob", state, "000000"), wire.AccessChallenge).State()
	state = vpn.expect(answerTo("bob", state, "000001"), wire.AccessChallenge).State()
	vpn.expect(answerTo("bob", state, "000002"), wire.AccessReject)
	// Where it cannot be shown, the login is rejected.
	dumb.expect(signIn("bob", ""), wire.AccessReject)

	want := map[string]int{"approve_deny": 2, "wrong_password": 3, "primary_challenge": 0}
	for _, ev := range append(p.events("alice"), p.events("bob")...) {
		if ev.Kind != mfa.EventLogin || ev.Reason == mfa.ReasonStateUnknown {
			continue
		}
		rounds, ok := want[string(ev.Reason)]
		if !ok || ev.Rounds != rounds {
			t.Errorf("event %s has %d rounds", ev.Reason, ev.Rounds)
		}
		delete(want, string(ev.Reason))
	}
	if len(want) != 0 {
		t.Errorf("no events of %v; want none", want)
	}
}
