package e2e

import (
	"fmt"
	"testing"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/radius/wire"
)

// twoListeners is a group of two clients, and two listeners of one server.
const twoListeners = `listen: {radius: ["127.0.0.1:0", "127.0.0.1:0"], web: "127.0.0.1:0"}
data_dir: data
primaries: [{name: local, type: file, path: users.yaml}]
clients:
  - {name: vpn1, addresses: [127.0.0.1], secret: ` + testSecret + `, group: edge}
  - {name: vpn2, addresses: [127.0.0.2], secret: ` + testSecret + `, group: edge}
mfa: {reject_delay: 500ms}
`

// A NAS storms with retransmissions, new identifiers and new source ports, fails
// over to the second listener, and its twin joins in: the device shows one prompt, with
// each request, and one approval answers them all.
func TestStormPromptsOnce(t *testing.T) {
	t.Parallel()
	p := startServer(t, twoListeners)
	ph := p.enroll("alice")
	sockets := []*nasSocket{
		p.nasSocket("127.0.0.1"), p.nasSocket("127.0.0.1"), // another source port
		dialNAS(t, "127.0.0.1", p.radius[1], testSecret), // failover
		p.nasSocket("127.0.0.2"), dialNAS(t, "127.0.0.2", p.radius[1], testSecret),
	}
	var sent [][]request
	for _, s := range sockets {
		var list []request
		for range 3 {
			list = append(list, s.start(signIn("alice", "192.0.2.1")))
		}
		sent = append(sent, list)
	}
	v := ph.prompt()
	p.until("every request is shown", func() bool {
		one := ph.one()
		return one.ID == v.ID && len(one.Requests)+one.More == 15
	})
	for i, s := range sockets {
		for range 5 {
			for _, r := range sent[i] {
				s.send(r)
			}
		}
		s.silent()
	}
	ph.decide(ph.one(), device.ActionApprove, "")
	for i, s := range sockets {
		for _, r := range sent[i] {
			s.gets(r, wire.AccessAccept)
		}
	}
	if got := p.counts("alice"); got["accept approve_deny"] != 1 || len(got) != 1 {
		t.Errorf("got events %v; want 1 accept approve_deny, 1 of them", got)
	}
	if live := ph.live(); len(live) != 0 {
		t.Errorf("live: got %+v; want none", live)
	}
}

// A NAS that tries the next protocol, and the next server, after a denial does
// not send another prompt.
func TestNextProtocolAfterDenial(t *testing.T) {
	t.Parallel()
	p := startServer(t, twoListeners)
	ph := p.enroll("alice")
	s := p.nasSocket("127.0.0.1")
	r := s.start(signIn("alice", "192.0.2.1"))
	ph.decide(ph.prompt(), device.ActionDeny, "")
	s.gets(r, wire.AccessReject)
	mschap, err := wire.NewMSCHAPv2("alice", testPassword)
	if err != nil {
		t.Fatal(err)
	}
	q := signIn("alice", "192.0.2.1")
	q.Cred = mschap
	s.expect(q, wire.AccessReject)
	second := dialNAS(t, "127.0.0.2", p.radius[1], testSecret)
	second.expect(q, wire.AccessReject)
	const chapPassword = 3
	q.Cred = mfa.NoCredential{}
	q.Attributes = append(q.Attributes, mfa.Attribute{Type: chapPassword, Value: make([]byte, 17)})
	s.expect(q, wire.AccessReject)
	second.expect(signIn("alice", "192.0.2.1"), wire.AccessReject)
	if live := ph.live(); len(live) != 0 {
		t.Errorf("got another prompt: %+v; want none", live)
	}
	got := p.counts("alice")
	if got["reject push_denied"] != 1 || got["reject recently_denied"] != 3 || got["reject unsupported_credential"] != 1 {
		t.Error(fmt.Sprint("events ", got))
	}
}
