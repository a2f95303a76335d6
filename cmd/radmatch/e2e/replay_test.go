package e2e

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/radius/wire"
)

// An identifier that is used again while the login waits: the NAS gave the old
// packet up, its prompt is joined, and one answer comes, to the new packet.
func TestIdentifierReused(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+`clients:
  - {name: old, addresses: [127.0.0.1], secret: `+testSecret+`, require_message_authenticator: no}
mfa: {reject_delay: 500ms}
`)
	ph := p.enroll("alice")
	s := p.nasSocket("127.0.0.1")
	first := s.buildAs(9, signIn("alice", "192.0.2.1"))
	s.send(first)
	v := ph.prompt()
	second := s.buildAs(9, signIn("alice", "192.0.2.1"))
	s.send(second)
	if got := ph.changed(); got.ID != v.ID || len(got.Requests) != 2 {
		t.Fatalf("prompt %+v, want %s with two requests", got, v.ID)
	}
	// An unsigned packet takes no signed one's place.
	s.send(s.buildAs(9, signIn("alice", "192.0.2.1")).unsigned())
	s.silent()
	if live := ph.live(); len(live) != 1 {
		t.Fatalf("%d prompts, want 1", len(live))
	}
	ph.decide(v, device.ActionApprove, "")
	s.gets(second, wire.AccessAccept)
	s.silent()
	got := p.events("alice")
	if len(got) != 1 || got[0].Outcome != mfa.Accept || len(got[0].Requests) != 2 {
		t.Errorf("events %+v, want one accept of two requests", got)
	}
}

// Someone who knows the password opens 2,000 logins of one user and guesses at
// all challenges at once.
func TestGuessing(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+siteClient)
	p.addTOTP("alice")
	// flood starts logins of one user, which wait for one another's password check: no
	// more at a time than a slow machine examines before their wait ends in silence.
	flood := func(n int) (states []string) {
		t.Helper()
		const atOnce = 16
		sockets := newSockets(p)
		for n > 0 {
			some := min(n, atOnce)
			n -= some
			states = append(states, sockets.challenges(some, func(int) wire.Query { return signIn("alice", "") })...)
		}
		return states
	}
	guess := func(states []string, each int) (next []string) {
		t.Helper()
		return newSockets(p).challenges(len(states)*each, func(i int) wire.Query {
			return answerTo("alice", states[i/each], fmt.Sprintf("%06d", i%each))
		})
	}
	states := flood(2000)
	// All but three have given way, one answer to a State is examined, and the third
	// wrong one ends its login.
	each := 1
	for round, want := range []int{3, 3, 0} {
		if states = guess(states, each); len(states) != want {
			t.Fatalf("%d challenges after %d guesses at each, want %d", len(states), round+1, want)
		}
		each = 64
	}
	if states = flood(3); len(states) != 3 {
		t.Fatalf("%d challenges are open, want 3", len(states))
	}
	states = append(guess(states[:1], each), states[1:]...)
	// Locked: no login gets a challenge, and the right code is not examined.
	s := p.nasSocket("127.0.0.1")
	sent := []request{s.start(signIn("alice", ""))}
	for _, state := range states {
		sent = append(sent, s.start(answerTo("alice", state, totp("alice", 0))))
	}
	for _, a := range s.answerAll(sent) {
		if a.Code != wire.AccessReject {
			t.Errorf("locked, and got %s", a.Code)
		}
	}
	tries := 0
	for _, ev := range p.events("alice") {
		tries += ev.Tries
	}
	if tries != 10 {
		t.Errorf("%d codes were examined, want as many as lockout.passcodes", tries)
	}
	if n := p.counts("alice")["reject codes_locked"]; n != 4 {
		t.Errorf("%d events say codes_locked, want 4", n)
	}
	if log := p.log(); strings.Contains(log, "panic") {
		t.Error(log)
	}
	p.cli("user", "unblock", "alice")
	a := s.expect(signIn("alice", ""), wire.AccessChallenge)
	s.expect(answerTo("alice", a.State(), totp("alice", 0)), wire.AccessAccept)
}

// nasSockets are sockets of one NAS, so that more than 256 requests fit.
type nasSockets []*nasSocket

// newSockets opens sockets that no late answer comes to.
func newSockets(p *serverProcess) (list nasSockets) {
	for range 8 {
		list = append(list, p.nasSocket("127.0.0.1"))
	}
	return list
}

// challenges sends n requests at once and returns the States of those that are challenged.
func (list nasSockets) challenges(n int, query func(i int) wire.Query) (states []string) {
	list[0].t.Helper()
	sent := map[*nasSocket][]request{}
	for i := range n {
		s := list[i%len(list)]
		sent[s] = append(sent[s], s.start(query(i)))
	}
	for s, requests := range sent {
		for _, a := range s.answerAll(requests) {
			if a.Code == wire.AccessChallenge {
				states = append(states, a.State())
			}
		}
	}
	return states
}

// answerAll waits for the answers to all requests. A burst may overflow the
// socket, so that what is missing is sent again, as a NAS does.
func (s *nasSocket) answerAll(sent []request) []wire.Answer {
	s.t.Helper()
	var answers []wire.Answer
	for deadline := time.Now().Add(testTimeout); len(sent) > 0 && time.Now().Before(deadline); {
		s.conn.SetReadDeadline(time.Now().Add(time.Second))
		for s.read() {
			s.conn.SetReadDeadline(time.Now().Add(time.Second))
			left := len(sent)
			sent = slices.DeleteFunc(sent, func(r request) bool {
				if len(s.inbox[r.id]) == 0 {
					return false
				}
				a, _ := s.answer(r)
				answers = append(answers, a)
				return true
			})
			if left > 0 && len(sent) == 0 {
				return answers
			}
		}
		for _, r := range sent {
			s.send(r)
		}
	}
	s.t.Fatalf("%d requests got no answer", len(sent))
	return nil
}

// Someone who knows the victim's password tries to be let in by the victim's
// own approval.
func TestRideOnPrompt(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+`clients:
  - {name: vpn, addresses: [127.0.0.1], secret: `+testSecret+`, require_message_authenticator: no}
  - {name: other, addresses: [127.0.0.2], secret: `+testSecret+`}
mfa: {reject_delay: 500ms}
`)
	ph := p.enroll("alice")
	victim := p.nasSocket("127.0.0.1")
	waits := victim.start(signIn("alice", "192.0.2.1"))
	v := ph.prompt()

	here, there := p.nasSocket("127.0.0.1"), p.nasSocket("127.0.0.2")
	here.start(signIn("alice", "203.0.113.66"))
	here.start(signIn("alice", ""))
	unsigned := here.build(signIn("alice", "192.0.2.1")).unsigned()
	here.send(unsigned)
	here.gets(unsigned, wire.AccessChallenge) // another request is open
	there.start(signIn("alice", "192.0.2.1"))
	p.awaitEvent("alice", "discard prompt_pending", 3)
	wrong := signIn("alice", "192.0.2.1")
	wrong.Cred = mfa.Password("left horse")
	here.expect(wrong, wire.AccessReject)

	if live := ph.live(); len(live) != 1 || len(live[0].Requests) != 1 {
		t.Fatalf("prompts %+v, want only the victim's", live)
	}
	ph.decide(v, device.ActionApprove, "")
	victim.gets(waits, wire.AccessAccept)
	// The approval is used up: the same origin again is a new prompt.
	again := here.start(signIn("alice", "192.0.2.1"))
	v2 := ph.prompt()
	if v2.ID == v.ID {
		t.Fatal("got the prompt asked twice; want another prompt")
	}
	here.silent()
	there.silent()
	ph.decide(v2, device.ActionDeny, "")
	here.gets(again, wire.AccessReject)
	if n := p.counts("alice")["accept approve_deny"]; n != 1 {
		t.Errorf("%d logins were accepted, want 1", n)
	}
}

// A retransmission is the same login: dropped before the answer, answered with
// the same octets after it, one prompt, one event.
func TestRetransmission(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+siteClient)
	p.addTOTP("bob")
	ph := p.enroll("alice")
	s := p.nasSocket("127.0.0.1")
	again := func(r request, raw []byte) {
		t.Helper()
		for range 3 {
			s.send(r)
			if got := s.datagram(r.id); !bytes.Equal(got, raw) {
				t.Errorf("retransmission got\n%x, want\n%x", got, raw)
			}
		}
		s.silent()
	}

	r := s.start(signIn("alice", "192.0.2.1"))
	v := ph.prompt()
	for range 5 {
		s.send(r)
	}
	s.silent()
	if live := ph.live(); len(live) != 1 || len(live[0].Requests) != 1 {
		t.Errorf("prompts %+v, want one of one request", live)
	}
	ph.decide(v, device.ActionApprove, "")
	a, raw := s.answer(r)
	if a.Code != wire.AccessAccept {
		t.Fatalf("%s, want Access-Accept", a.Code)
	}
	again(r, raw)
	if got := p.events("alice"); len(got) != 1 {
		t.Errorf("%d events, want 1", len(got))
	}

	r = s.start(signIn("bob", ""))
	a, raw = s.answer(r)
	again(r, raw)
	r = s.start(answerTo("bob", a.State(), totp("bob", 0)))
	a, raw = s.answer(r)
	if a.Code != wire.AccessAccept {
		t.Fatalf("%s, want Access-Accept", a.Code)
	}
	again(r, raw)
	r = s.start(answerTo("bob", "no such state", totp("bob", 0)))
	s.send(r)
	_, raw = s.answer(r)
	again(r, raw)
	if got := p.counts("bob"); got["accept default_otp"] != 1 || got["reject state_unknown"] != 1 {
		t.Errorf("events %v, want one accept and one reject", got)
	}
}

// A State is good for its user, its client and one answer.
func TestState(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+`clients:
  - {name: vpn, addresses: [127.0.0.1], secret: `+testSecret+`}
  - {name: other, addresses: [127.0.0.2], secret: `+testSecret+`}
  - {name: hasty, addresses: [127.0.0.3], secret: `+testSecret+`, push_timeout: 1s, challenge_ttl: 1s}
mfa: {reject_delay: 500ms}
`)
	p.addTOTP("alice", "bob")
	s, other, hasty := p.nasSocket("127.0.0.1"), p.nasSocket("127.0.0.2"), p.nasSocket("127.0.0.3")
	late := hasty.expect(signIn("bob", ""), wire.AccessChallenge).State()
	state := s.expect(signIn("alice", ""), wire.AccessChallenge).State()

	reject := map[*nasSocket][]request{}
	try := func(s *nasSocket, user, state string) {
		reject[s] = append(reject[s], s.start(answerTo(user, state, totp("alice", 0))))
	}
	try(s, "bob", state)
	try(s, "", state)
	try(other, "alice", state)
	for _, forged := range []string{
		"x", strings.Repeat("x", 253), state + "x", state[1:], strings.ToUpper(state), strings.ToLower(state), "\x00" + state,
	} {
		if forged != state {
			try(s, "alice", forged)
		}
	}
	mschap, err := wire.NewMSCHAPv2("alice", testPassword)
	if err != nil {
		t.Fatal(err)
	}
	reject[s] = append(reject[s], s.start(wire.Query{Code: wire.AccessRequest, User: "alice", Cred: mschap, State: state}))
	// The right password with a State is an answer, and no login.
	reject[s] = append(reject[s], s.start(answerTo("alice", "x", testPassword)))
	for s, list := range reject {
		for _, a := range s.answerAll(list) {
			if a.Code != wire.AccessReject {
				t.Errorf("%s, want Access-Reject", a.Code)
			}
		}
	}
	p.awaitEvent("bob", "reject challenge_expired", 1)
	hasty.expect(answerTo("bob", late, totp("bob", 0)), wire.AccessReject)

	// None of this used the State up; the right answer does.
	s.expect(answerTo("alice", state, totp("alice", 0)), wire.AccessAccept)
	s.expect(answerTo("alice", state, totp("alice", 1)), wire.AccessReject)
	if n := p.counts("alice")["accept default_otp"]; n != 1 {
		t.Errorf("%d logins were accepted, want 1", n)
	}
}

// One code lets in once, in however many logins it is typed at the same time.
func TestCodeUsedOnce(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+`clients:
  - {name: vpn, addresses: [127.0.0.1], secret: `+testSecret+`}
  - {name: other, addresses: [127.0.0.2], secret: `+testSecret+`}
mfa: {reject_delay: 500ms}
`)
	users := p.addUsers("user", 20)
	p.addTOTP(users...)
	p.start()
	sockets := []*nasSocket{p.nasSocket("127.0.0.1"), p.nasSocket("127.0.0.2"), p.nasSocket("127.0.0.1")}
	for _, user := range users {
		right := totp(user, 0)
		var answers []request
		for i, s := range sockets {
			a := s.expect(signIn(user, fmt.Sprintf("192.0.2.%d", i+1)), wire.AccessChallenge)
			answers = append(answers, s.build(answerTo(user, a.State(), right)))
		}
		for i, s := range sockets {
			s.send(answers[i])
		}
		accepted := 0
		for i, s := range sockets {
			if a, _ := s.answer(answers[i]); a.Code == wire.AccessAccept {
				accepted++
			}
		}
		if accepted != 1 {
			t.Fatalf("%s: one code let in %d times; want 1", user, accepted)
		}
	}
}
