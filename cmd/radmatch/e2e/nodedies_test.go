package e2e

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/push/pushtest"
	"github.com/radmatch/radmatch/mfa/store/postgrestest"
	"github.com/radmatch/radmatch/radius/wire"
)

// enrollAt enrols a device of alice at a node, and returns when all nodes know it: a command
// waits for them.
func enrollAt(p *serverProcess) *testPhone {
	phone := p.enroll("alice")
	p.cli("user", "unblock", "alice")
	return phone
}

// A device that is connected to one node decides what is asked at the other: a packet that
// is held there is answered, and a denial ends it there.
func TestNodeDecidesForTheOther(t *testing.T) {
	t.Parallel()
	nodes, _, _ := startNodes(t, postgrestest.Start(t), "vpn-a", "vpn-b")
	a, b := nodes[0], nodes[1]
	phone := enrollAt(b)
	sa, sb := a.nasSocket("127.0.0.1"), b.nasSocket("127.0.0.1")

	held := sa.start(signIn("alice", "198.51.100.7"))
	phone.approve()
	sa.gets(held, wire.AccessAccept)

	held = sa.start(signIn("alice", "198.51.100.7"))
	phone.decide(phone.prompt(), device.ActionDeny, "")
	sa.gets(held, wire.AccessReject)
	sb.expect(signIn("alice", "198.51.100.7"), wire.AccessReject) // denied just now, wherever

	counts := a.counts("alice")
	if counts["accept approve_deny"] != 1 || counts["reject push_denied"] != 1 || counts["reject recently_denied"] != 1 {
		t.Errorf("events %v, want an approval, a denial and what the denial refused", counts)
	}
}

// A request at the other node joins the prompt of the first, and each is answered by its own
// node when the device decides.
func TestNodesShareAPrompt(t *testing.T) {
	t.Parallel()
	nodes, _, _ := startNodes(t, postgrestest.Start(t), "vpn-a", "vpn-b")
	a, b := nodes[0], nodes[1]
	phone := enrollAt(a)
	sa, sb := a.nasSocket("127.0.0.1"), b.nasSocket("127.0.0.1")
	first := sa.start(signIn("alice", "198.51.100.7"))
	shown := phone.prompt()
	second := sb.start(signIn("alice", "198.51.100.7"))
	if changed := phone.changed(); changed.ID != shown.ID || len(changed.Requests) != 2 {
		t.Fatalf("the device is shown %+v, want %s with 2 requests", changed, shown.ID)
	}
	phone.decide(shown, device.ActionApprove, "")
	sa.gets(first, wire.AccessAccept)
	sb.gets(second, wire.AccessAccept)
	if counts := a.counts("alice"); counts["accept approve_deny"] != 1 {
		t.Errorf("events %v, want one login", counts)
	}
}

// The first node is killed between a challenge and its answer, and while a packet waits for
// the device: the NAS goes to the other node, and the user notices nothing else.
func TestNodeDies(t *testing.T) {
	t.Parallel()
	nodes, _, _ := startNodes(t, postgrestest.Start(t), "vpn-a", "vpn-b")
	a, b := nodes[0], nodes[1]
	a.addTOTP("bob")
	phone := enrollAt(b)
	sa, sb := a.nasSocket("127.0.0.1"), b.nasSocket("127.0.0.1")
	state := sa.expect(signIn("bob", ""), wire.AccessChallenge).State()
	sa.start(signIn("alice", "198.51.100.7"))
	shown := phone.prompt()
	a.kill()

	right := totp("bob", 0)
	if a := sb.ask(answerTo("bob", state, right)); a.Code != wire.AccessAccept {
		t.Fatalf("the answer at the other node: got %s; events %v", a.Code, b.events("bob"))
	}
	held := sb.start(signIn("alice", "198.51.100.7"))
	if changed := phone.changed(); changed.ID != shown.ID {
		t.Fatalf("the device is shown %s, want the prompt %s", changed.ID, shown.ID)
	}
	phone.decide(shown, device.ActionApprove, "")
	sb.gets(held, wire.AccessAccept)

	// Nothing of it counts twice at the node that comes back. The same answer to the same State
	// gets what it got at the other one.
	a.start()
	sa = a.nasSocket("127.0.0.1")
	sa.expect(answerTo("bob", state, right), wire.AccessAccept)
	state = sa.expect(signIn("bob", ""), wire.AccessChallenge).State()
	sa.expect(answerTo("bob", state, right), wire.AccessReject)
	if n := b.counts("bob")["accept default_otp"] + b.counts("alice")["accept approve_deny"]; n != 2 {
		t.Errorf("%d accepts in the trail, want 2", n)
	}
}

// A number is the same at both nodes, and a wrong code counts at both.
func TestNodesAskTheSame(t *testing.T) {
	t.Parallel()
	nodes, url, keys := startNodes(t, postgrestest.Start(t), "vpn-a", "vpn-b")
	a, b := nodes[0], nodes[1]
	for i, p := range nodes {
		p.write("radmatch.yaml", nodeConfig(url, keys, []string{"vpn-a", "vpn-b"}[i])+strings.Replace(siteClient, "mfa: {", "mfa: {number_in_prompt: true, ", 1)+"lockout: {passcodes: 3}\n")
		p.cli("reload")
	}
	phone := enrollAt(b)
	a.addTOTP("bob")
	sa, sb := a.nasSocket("127.0.0.1"), b.nasSocket("127.0.0.1")
	asked := sa.expect(signIn("alice", "198.51.100.7"), wire.AccessChallenge)
	shown := phone.prompt()
	shows := regexp.MustCompile(`^Type (\d\d)`).FindStringSubmatch(asked.Message())
	if shows == nil {
		t.Fatalf("the prompt is %q, want a number in it", asked.Message())
	}
	held := sb.start(answerTo("alice", asked.State(), ""))
	phone.decide(shown, device.ActionApprove, shows[1])
	if a, _ := sb.answer(held); a.Code != wire.AccessAccept {
		t.Fatalf("%s; events %v", a.Code, b.events("alice"))
	}

	for i, s := range []*nasSocket{sa, sb, sa} {
		state := s.expect(signIn("bob", ""), wire.AccessChallenge).State()
		want := wire.AccessChallenge
		if i == 2 {
			want = wire.AccessReject // the third locks
		}
		s.expect(answerTo("bob", state, "000000"), want)
	}
	state := sb.expect(signIn("bob", ""), wire.AccessChallenge).State() // its entries come when they matter
	sb.expect(answerTo("bob", state, totp("bob", 0)), wire.AccessReject)
	if counts := a.counts("bob"); counts["reject codes_locked"] != 2 {
		t.Errorf("events %v, want that the third wrong code locked, and one login was refused for it", counts)
	}
}

// The node that has notified a phone is killed. The one at which the user dials again notifies
// the phone once more, of the same prompt.
func TestNodeNotifiesAgain(t *testing.T) {
	t.Parallel()
	service := pushtest.NewService(t)
	pg := postgrestest.Start(t)
	url, keys := pg.URL(pg.NewDatabase(t)), t.TempDir()+"/seal.key"
	var nodes []*serverProcess
	for _, name := range []string{"vpn-a", "vpn-b"} {
		p := newServer(t, nodeConfig(url, keys, name)+siteClient+"web: {push_services: [\""+service.Host()+
			"\"], push_ca_file: ca.pem, push_contact: \"mailto:postmaster@example.org\"}\n")
		p.write("ca.pem", string(service.CA()))
		p.start()
		nodes = append(nodes, p)
	}
	a, b := nodes[0], nodes[1]
	phone := enrollAt(b)
	phone.subscribe(service, "alice's phone")
	b.cli("user", "unblock", "alice") // all nodes know the subscription

	a.nasSocket("127.0.0.1").start(signIn("alice", "198.51.100.7"))
	first := service.Next()
	s := b.nasSocket("127.0.0.1")
	one := s.start(signIn("alice", "198.51.100.7")) // joins while the first node lives: nothing is sent
	shown := phone.prompt()
	a.kill()
	b.until("the other nodes take it for dead", func() bool { return b.nodes()["vpn-a"].State != "live" })
	two := s.start(signIn("alice", "198.51.100.7"))
	if next := service.Next(); next.Text != first.Text || !strings.Contains(next.Text, shown.ID) {
		t.Fatalf("notified of %s; want %s again; events %v", next.Text, first.Text, b.events("alice"))
	}
	phone.decide(shown, device.ActionApprove, "")
	s.gets(one, wire.AccessAccept)
	s.gets(two, wire.AccessAccept)
	if n := service.Requests(); n != 2 {
		t.Errorf("%d messages were sent, want 2", n)
	}
}

// Wrong passwords at one node slow down the next one at the other.
func TestNodesCountWrongPasswords(t *testing.T) {
	t.Parallel()
	nodes, _, _ := startNodes(t, postgrestest.Start(t), "vpn-a", "vpn-b")
	sa, sb := nodes[0].nasSocket("127.0.0.1"), nodes[1].nasSocket("127.0.0.1")
	wrong := signIn("alice", "198.51.100.7")
	wrong.Cred = mfa.Password("wrong")
	var sent []request
	for range 3 {
		sent = append(sent, sa.start(wrong))
	}
	for _, r := range sent {
		sa.gets(r, wire.AccessReject)
	}
	begun := time.Now()
	sb.expect(wrong, wire.AccessReject)
	if took := time.Since(begun); took < 1500*time.Millisecond { // the fourth: 2 s, and the first 500 ms
		t.Errorf("rejected after %s, as if it were the first", took)
	}
}
