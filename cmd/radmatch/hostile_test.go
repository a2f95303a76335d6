package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/radius"
)

// wirePacket is a file of testdata/packet: what to send, from a client that must
// sign or need not, and what must come of it.
type wirePacket struct {
	name     string
	optional bool // require no
	expect   string
	bytes    []byte
}

func readPackets(t *testing.T) []wirePacket {
	t.Helper()
	files, err := filepath.Glob("../../testdata/packet/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no packets: %v", err)
	}
	var list []wirePacket
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p := wirePacket{name: strings.TrimSuffix(filepath.Base(file), ".txt")}
		for sc := bufio.NewScanner(bytes.NewReader(text)); sc.Scan(); {
			word, rest, _ := strings.Cut(sc.Text(), " ")
			switch word {
			case "#", "":
			case "require":
				p.optional = rest == "no"
			case "expect":
				p.expect = rest
			default:
				b, err := hex.DecodeString(word)
				if err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				p.bytes = append(p.bytes, b...)
			}
		}
		list = append(list, p)
	}
	return list
}

// The packets of testdata/packet over the wire. What fails intake gets no answer
// and is counted under its reason; everything else gets one answer that verifies,
// and no answer accepts.
func TestHostilePackets(t *testing.T) {
	t.Parallel()
	const secret = "xyzzy5461" // of the RFCs' examples
	p := newServer(t, siteHead+`clients:
  - {name: signs, addresses: [127.0.0.1], secret: `+secret+`, require_message_authenticator: yes}
  - {name: old, addresses: [127.0.0.2], secret: `+secret+`, require_message_authenticator: no}
mfa: {reject_delay: 500ms}
`)
	p.write("users.yaml", `users: [{name: nemo, password: "{NT}18bde74b254f0797bf12431648ba0a34"}]`) // arctangent
	p.start()
	discarded := map[string]uint64{}
	answered := map[*seat]wirePacket{}
	for _, w := range readPackets(t) {
		from := "127.0.0.1"
		if w.optional {
			from = "127.0.0.2"
		}
		s := dialSeat(t, from, p.radius[0], secret)
		s.sendRaw(w.bytes)
		if reason, ok := strings.CutPrefix(w.expect, "discard "); ok {
			discarded[reason]++
			s.silent()
		} else if w.expect == "malformed" {
			s.silent()
		} else {
			answered[s] = w
		}
	}
	if len(discarded) < 8 || len(answered) < 20 {
		t.Fatalf("%d reasons, %d answers: too few packets were read", len(discarded), len(answered))
	}
	for s, w := range answered {
		r := request{id: w.bytes[1], auth: [16]byte(w.bytes[4:20])}
		a, _ := s.answer(r)
		want := radius.AccessReject
		if strings.HasPrefix(w.expect, "status") {
			want = radius.AccessAccept
		}
		if a.Code != want {
			t.Errorf("%s: %s, want %s", w.name, a.Code, want)
		}
	}
	p.until("the counters of the intake", func() bool {
		got := map[string]uint64{}
		for line := range strings.Lines(p.cli("clients", "--json")) {
			var c clientReport
			if err := json.Unmarshal([]byte(line), &c); err != nil {
				t.Fatal(err)
			}
			for reason, n := range c.Refused {
				got[reason] += n
			}
		}
		return fmt.Sprint(got) == fmt.Sprint(discarded)
	})
}

// Datagrams that were RADIUS once do not stop the server.
func TestGarbage(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+`clients:
  - {name: old, addresses: [127.0.0.1], secret: `+testSecret+`, require_message_authenticator: no}
mfa: {reject_delay: 500ms}
`)
	p.addTOTP("alice", "bob")
	s := p.seat("127.0.0.1")
	random := mathrand.New(mathrand.NewPCG(1, 2))
	for range 2000 {
		b := s.build(signIn("alice", "192.0.2.1")).unsigned().packet
		for range 1 + random.IntN(4) {
			b[random.IntN(len(b))] = byte(random.Uint32())
		}
		b[0] = 1
		s.sendRaw(b[:random.IntN(len(b)+1)])
	}
	fence := p.seat("127.0.0.1")
	fence.silent()
	a := fence.expect(signIn("bob", "192.0.2.2"), radius.AccessChallenge)
	fence.expect(answerTo("bob", a.State(), totp("bob", 0)), radius.AccessAccept)
	if log := p.log(); strings.Contains(log, "internal error") {
		t.Error(log)
	}
}

// A wrong shared secret is a line in the log that says so, one an hour. Where
// nothing is signed it shows as passwords that are no text, which are no wrong
// passwords of the user.
func TestWrongSecret(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+`clients:
  - {name: signs, addresses: [127.0.0.1], secret: `+testSecret+`}
  - {name: old, addresses: [127.0.0.2], secret: `+testSecret+`, require_message_authenticator: no}
mfa: {reject_delay: 500ms}
`)
	s := dialSeat(t, "127.0.0.1", p.radius[0], "another-secret-of-32-octets-4711")
	for range 50 {
		s.start(signIn("alice", ""))
	}
	p.seat("127.0.0.1").silent()
	signed := `"client":"signs","source":"127.0.0.1","reason":"wrong_message_authenticator","hint":"probably a wrong shared secret"`

	old := dialSeat(t, "127.0.0.2", p.radius[0], "another-secret-of-32-octets-4711")
	var sent []request
	for range 20 {
		sent = append(sent, old.build(signIn("bob", "")).unsigned())
		old.send(sent[len(sent)-1])
	}
	for _, r := range sent {
		// The answer is signed with the server's secret, which is the only right one.
		raw := old.datagram(r.id)
		a, err := radius.ParseAnswer(raw, r.id, &r.auth, radius.NewSecret([]byte(testSecret)))
		if err != nil || a.Code != radius.AccessReject {
			t.Fatalf("%v, %v; want Access-Reject", a.Code, err)
		}
	}
	unsigned := `"a password is not UTF-8","client":"old","source":"127.0.0.2","hint":"probably a wrong shared secret"`
	p.awaitEvent("bob", "reject unsupported_credential", 20)
	for _, line := range []string{signed, unsigned} {
		p.await("server.log", line)
		if n := strings.Count(p.log(), line); n != 1 {
			t.Errorf("%d lines %s, want 1", n, line)
		}
	}
	for _, ev := range p.events("") {
		if ev.Reason == mfa.ReasonWrongPassword {
			t.Errorf("a wrong secret counts as a wrong password: %+v", ev)
		}
	}
}

// A stranger gets no answer and one line in the log, however much is sent.
func TestUnknownClient(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+siteClient)
	s := p.seat("127.0.0.9")
	for range 50 {
		s.start(signIn("alice", ""))
	}
	const line = `"source":"127.0.0.9","reason":"unknown_client"`
	p.await("server.log", line)
	p.seat("127.0.0.1").silent()
	if n := strings.Count(p.log(), line); n != 1 {
		t.Errorf("%d lines, want 1", n)
	}
	s.conn.SetReadDeadline(time.Now())
	if s.read() {
		t.Error("a stranger got an answer")
	}
	if got := p.events(""); len(got) != 0 {
		t.Errorf("events of a stranger: %+v", got)
	}
}

// An identifier that is used again while the login waits: the NAS gave the old
// packet up, its prompt is joined, and one answer comes, to the new packet.
func TestIdentifierReused(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+`clients:
  - {name: old, addresses: [127.0.0.1], secret: `+testSecret+`, require_message_authenticator: no}
mfa: {reject_delay: 500ms}
`)
	ph := p.enroll("alice")
	s := p.seat("127.0.0.1")
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
	ph.decide(v, push.ActionApprove, "")
	if a, _ := s.answer(second); a.Code != radius.AccessAccept {
		t.Errorf("%s, want Access-Accept", a.Code)
	}
	s.silent()
	got := p.events("alice")
	if len(got) != 1 || got[0].Outcome != mfa.Accept || len(got[0].Requests) != 2 {
		t.Errorf("events %+v, want one accept of two requests", got)
	}
}

// Somebody who knows the password opens 2,000 logins of one user and guesses at
// all challenges at once.
func TestGuessing(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+siteClient)
	p.addTOTP("alice")
	var seats []*seat
	for range 8 {
		seats = append(seats, p.seat("127.0.0.1"))
	}
	flood := func(n int) (states []string) {
		t.Helper()
		sent := map[*seat][]request{}
		for i := range n {
			s := seats[i%len(seats)]
			sent[s] = append(sent[s], s.start(signIn("alice", "")))
		}
		for s, list := range sent {
			for _, a := range s.answerAll(list) {
				if a.Code == radius.AccessChallenge {
					states = append(states, a.State())
				}
			}
		}
		return states
	}
	guess := func(states []string) (next []string) {
		t.Helper()
		sent := map[*seat][]request{}
		for _, state := range states {
			for i := range 64 {
				s := seats[i%len(seats)]
				sent[s] = append(sent[s], s.start(answerTo("alice", state, fmt.Sprintf("%06d", i))))
			}
		}
		for s, list := range sent {
			for _, a := range s.answerAll(list) {
				if a.Code == radius.AccessChallenge {
					next = append(next, a.State())
				}
			}
		}
		return next
	}
	states := flood(2000)
	if len(states) != 3 {
		t.Fatalf("%d challenges are open, want 3", len(states))
	}
	// One answer to a State is examined; the third wrong one ends its login.
	for round, want := range []int{3, 3, 0} {
		if states = guess(states); len(states) != want {
			t.Fatalf("%d challenges after %d guesses at each, want %d", len(states), round+1, want)
		}
	}
	if states = flood(20); len(states) != 3 {
		t.Fatalf("%d challenges are open, want 3", len(states))
	}
	states = append(guess(states[:1]), states[1:]...)
	// Locked: no login gets a challenge, and the right code is not examined.
	s := seats[0]
	sent := []request{s.start(signIn("alice", ""))}
	for _, state := range states {
		sent = append(sent, s.start(answerTo("alice", state, totp("alice", 0))))
	}
	for _, a := range s.answerAll(sent) {
		if a.Code != radius.AccessReject {
			t.Errorf("locked, and got %s", a.Code)
		}
	}
	tries := 0
	for _, ev := range p.events("alice") {
		tries += ev.Tries
	}
	if tries != 10 {
		t.Errorf("%d codes were examined, want as many as lockout.codes", tries)
	}
	if n := p.counts("alice")["reject codes_locked"]; n != 4 {
		t.Errorf("%d events say codes_locked, want 4", n)
	}
	if log := p.log(); strings.Contains(log, "panic") {
		t.Error(log)
	}
	p.cli("user", "unblock", "alice")
	a := s.expect(signIn("alice", ""), radius.AccessChallenge)
	s.expect(answerTo("alice", a.State(), totp("alice", 0)), radius.AccessAccept)
}

// answerAll waits for the answers to all requests. A burst may overflow the
// socket, so that what is missing is sent again, as a NAS does.
func (s *seat) answerAll(sent []request) []radius.Answer {
	s.t.Helper()
	var answers []radius.Answer
	for deadline := time.Now().Add(patience); len(sent) > 0 && time.Now().Before(deadline); {
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

// Somebody who knows the victim's password tries to be let in by the victim's
// own approval.
func TestRideOnPrompt(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+`clients:
  - {name: vpn, addresses: [127.0.0.1], secret: `+testSecret+`, require_message_authenticator: no}
  - {name: other, addresses: [127.0.0.2], secret: `+testSecret+`}
mfa: {reject_delay: 500ms}
`)
	ph := p.enroll("alice")
	victim := p.seat("127.0.0.1")
	waits := victim.start(signIn("alice", "192.0.2.1"))
	v := ph.prompt()

	here, there := p.seat("127.0.0.1"), p.seat("127.0.0.2")
	here.start(signIn("alice", "203.0.113.66"))
	here.start(signIn("alice", ""))
	here.send(here.build(signIn("alice", "192.0.2.1")).unsigned())
	there.start(signIn("alice", "192.0.2.1"))
	p.awaitEvent("alice", "discard prompt_pending", 4)
	wrong := signIn("alice", "192.0.2.1")
	wrong.Cred = mfa.Password("left horse")
	here.expect(wrong, radius.AccessReject)

	if live := ph.live(); len(live) != 1 || len(live[0].Requests) != 1 {
		t.Fatalf("prompts %+v, want the victim's alone", live)
	}
	ph.decide(v, push.ActionApprove, "")
	if a, _ := victim.answer(waits); a.Code != radius.AccessAccept {
		t.Fatalf("the victim got %s", a.Code)
	}
	// The approval is used up: the same seat again is a new prompt.
	again := here.start(signIn("alice", "192.0.2.1"))
	v2 := ph.prompt()
	if v2.ID == v.ID {
		t.Fatal("the prompt is asked twice")
	}
	here.silent()
	there.silent()
	ph.decide(v2, push.ActionDeny, "")
	if a, _ := here.answer(again); a.Code != radius.AccessReject {
		t.Errorf("denied, and got %s", a.Code)
	}
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
	s := p.seat("127.0.0.1")
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
	ph.decide(v, push.ActionApprove, "")
	a, raw := s.answer(r)
	if a.Code != radius.AccessAccept {
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
	if a.Code != radius.AccessAccept {
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
	s, other, hasty := p.seat("127.0.0.1"), p.seat("127.0.0.2"), p.seat("127.0.0.3")
	late := hasty.expect(signIn("bob", ""), radius.AccessChallenge).State()
	state := s.expect(signIn("alice", ""), radius.AccessChallenge).State()

	reject := map[*seat][]request{}
	try := func(s *seat, user, state string) {
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
	mschap, err := radius.NewMSCHAPv2("alice", testPassword)
	if err != nil {
		t.Fatal(err)
	}
	reject[s] = append(reject[s], s.start(radius.Query{Code: radius.AccessRequest, User: "alice", Cred: mschap, State: state}))
	// The right password with a State is an answer, and no login.
	reject[s] = append(reject[s], s.start(answerTo("alice", "x", testPassword)))
	for s, list := range reject {
		for _, a := range s.answerAll(list) {
			if a.Code != radius.AccessReject {
				t.Errorf("%s, want Access-Reject", a.Code)
			}
		}
	}
	p.awaitEvent("bob", "reject challenge_expired", 1)
	hasty.expect(answerTo("bob", late, totp("bob", 0)), radius.AccessReject)

	// None of this used the State up; the right answer does.
	s.expect(answerTo("alice", state, totp("alice", 0)), radius.AccessAccept)
	s.expect(answerTo("alice", state, totp("alice", 1)), radius.AccessReject)
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
	seats := []*seat{p.seat("127.0.0.1"), p.seat("127.0.0.2"), p.seat("127.0.0.1")}
	for _, user := range users {
		right := totp(user, 0)
		var answers []request
		for i, s := range seats {
			a := s.expect(signIn(user, fmt.Sprintf("192.0.2.%d", i+1)), radius.AccessChallenge)
			answers = append(answers, s.build(answerTo(user, a.State(), right)))
		}
		for i, s := range seats {
			s.send(answers[i])
		}
		accepted := 0
		for i, s := range seats {
			if a, _ := s.answer(answers[i]); a.Code == radius.AccessAccept {
				accepted++
			}
		}
		if accepted != 1 {
			t.Fatalf("%s: one code let in %d times", user, accepted)
		}
	}
}

// A full server refuses who comes and serves who waits.
func TestOverload(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+`clients:
  - {name: vpn, addresses: [127.0.0.1], secret: `+testSecret+`}
mfa: {reject_delay: 500ms}
limits: {pending: 10}
`)
	users := p.addUsers("user", 11)
	p.start()
	var phones []*phone
	for _, user := range users {
		phones = append(phones, p.enroll(user))
	}
	s := p.seat("127.0.0.1")
	var waits []request
	var prompts []push.PromptView
	for i, user := range users[:10] {
		waits = append(waits, s.start(signIn(user, "")))
		prompts = append(prompts, phones[i].prompt())
	}
	s.start(signIn(users[10], ""))
	p.await("server.log", `"reason":"overload"`)
	s.silent()
	for i, r := range waits {
		phones[i].decide(prompts[i], push.ActionApprove, "")
		if a, _ := s.answer(r); a.Code != radius.AccessAccept {
			t.Fatalf("%s got %s", users[i], a.Code)
		}
	}
	r := s.start(signIn(users[10], ""))
	phones[10].approve()
	if a, _ := s.answer(r); a.Code != radius.AccessAccept {
		t.Errorf("after the crowd: %s, want Access-Accept", a.Code)
	}
}
