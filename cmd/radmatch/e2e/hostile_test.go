package e2e

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/cmd/radmatch/report"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/radius/wire"
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
	files, err := filepath.Glob("../../../testdata/packet/*.txt")
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
					t.Fatalf("%s: got error %v; want none", file, err)
				}
				p.bytes = append(p.bytes, b...)
			}
		}
		list = append(list, p)
	}
	return list
}

// The packets of testdata/packet over the wire. A packet that fails intake gets no answer
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
	answered := map[*nasSocket]wirePacket{}
	for _, w := range readPackets(t) {
		from := "127.0.0.1"
		if w.optional {
			from = "127.0.0.2"
		}
		s := dialNAS(t, from, p.radius[0], secret)
		s.sendRaw(w.bytes)
		if reason, ok := strings.CutPrefix(w.expect, "discard "); ok {
			discarded[reason]++
			s.silent()
		} else if w.expect == "malformed" {
			discarded["malformed"]++
			s.silent()
		} else {
			answered[s] = w
		}
	}
	if len(discarded) < 8 || len(answered) < 20 {
		t.Fatalf("got %d reasons, %d answers: too few packets were read; want at least 8 of them, at least 20 of them", len(discarded), len(answered))
	}
	for s, w := range answered {
		r := request{id: w.bytes[1], auth: [16]byte(w.bytes[4:20])}
		a, _ := s.answer(r)
		want := wire.AccessReject
		if strings.HasPrefix(w.expect, "status") {
			want = wire.AccessAccept
		}
		if a.Code != want {
			t.Errorf("%s: %s, want %s", w.name, a.Code, want)
		}
	}
	p.until("the counters of the intake", func() bool {
		got := map[string]uint64{}
		for line := range strings.Lines(p.cli("clients", "--json")) {
			var c report.Client
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
	s := p.nasSocket("127.0.0.1")
	random := mathrand.New(mathrand.NewPCG(1, 2))
	for range 2000 {
		b := s.build(signIn("alice", "192.0.2.1")).unsigned().packet
		for range 1 + random.IntN(4) {
			b[random.IntN(len(b))] = byte(random.Uint32())
		}
		b[0] = 1
		s.sendRaw(b[:random.IntN(len(b)+1)])
	}
	fence := p.nasSocket("127.0.0.1")
	fence.silent()
	a := fence.expect(signIn("bob", "192.0.2.2"), wire.AccessChallenge)
	fence.expect(answerTo("bob", a.State(), totp("bob", 0)), wire.AccessAccept)
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
	s := dialNAS(t, "127.0.0.1", p.radius[0], "another-secret-of-32-octets-4711")
	for range 50 {
		s.start(signIn("alice", ""))
	}
	p.nasSocket("127.0.0.1").silent()
	signed := `"client":"signs","source":"127.0.0.1","reason":"wrong_message_authenticator","hint":"probably a wrong shared secret"`

	old := dialNAS(t, "127.0.0.2", p.radius[0], "another-secret-of-32-octets-4711")
	var sent []request
	for range 20 {
		sent = append(sent, old.build(signIn("bob", "")).unsigned())
		old.send(sent[len(sent)-1])
	}
	for _, r := range sent {
		// The answer is signed with the server's secret, which is the only right one.
		raw := old.datagram(r.id)
		a, err := wire.ParseAnswer(raw, r.id, &r.auth, wire.NewSecret([]byte(testSecret)))
		if err != nil || a.Code != wire.AccessReject {
			t.Fatalf("%v, %v; want Access-Reject", a.Code, err)
		}
	}
	unsigned := `"a password is not UTF-8","client":"old","source":"127.0.0.2","hint":"probably a wrong shared secret; `
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

// An unknown caller gets no answer and one line in the log, however much is sent.
func TestUnknownClient(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+siteClient)
	s := p.nasSocket("127.0.0.9")
	for range 50 {
		s.start(signIn("alice", ""))
	}
	const line = `"source":"127.0.0.9","reason":"unknown_client"`
	p.await("server.log", line)
	p.nasSocket("127.0.0.1").silent()
	if n := strings.Count(p.log(), line); n != 1 {
		t.Errorf("%d lines, want 1", n)
	}
	s.conn.SetReadDeadline(time.Now())
	if s.read() {
		t.Error("an unknown client got an answer")
	}
	if got := p.events(""); len(got) != 0 {
		t.Errorf("events of an unknown client: got %+v; want none", got)
	}
}

// A full server refuses who comes and serves who waits.
func TestOverload(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+`clients:
  - {name: vpn, addresses: [127.0.0.1], secret: `+testSecret+`}
mfa: {reject_delay: 500ms}
limits: {pending: 10, pending_per_client: 10}
`)
	users := p.addUsers("user", 11)
	p.start()
	var phones []*testPhone
	for _, user := range users {
		phones = append(phones, p.enroll(user))
	}
	s := p.nasSocket("127.0.0.1")
	var waits []request
	var prompts []device.PromptView
	for i, user := range users[:10] {
		waits = append(waits, s.start(signIn(user, "")))
		prompts = append(prompts, phones[i].prompt())
	}
	s.start(signIn(users[10], ""))
	p.await("server.log", `"reason":"overload"`)
	s.silent()
	for i, r := range waits {
		phones[i].decide(prompts[i], device.ActionApprove, "")
		s.gets(r, wire.AccessAccept)
	}
	r := s.start(signIn(users[10], ""))
	phones[10].approve()
	s.gets(r, wire.AccessAccept)
}
