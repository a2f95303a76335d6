package e2e

import (
	"cmp"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// backend is a primary elsewhere that is killed, or takes what it is sent and
// never answers.
type backend struct {
	address string
	close   func()
}

// hungTCP accepts connections and says nothing.
func hungTCP(t *testing.T) backend {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
		}
	}()
	return backend{l.Addr().String(), func() { l.Close() }}
}

// hungUDP has a socket that nobody reads.
func hungUDP(t *testing.T) backend {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return backend{c.LocalAddr().String(), func() { c.Close() }}
}

// A primary that is killed and one that hangs: each client gets what its
// on_primary_error says, before it gives up, and anyone who signs in by another
// primary notices nothing.
func TestPrimaryFails(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]struct {
		open     func(t *testing.T) backend
		settings string
	}{
		"ldap":   {hungTCP, `type: ldap, url: "ldap://ADDRESS", insecure_plaintext: true, base_dn: "dc=example,dc=org", connect_timeout: 500ms, timeout: 1s`},
		"radius": {hungUDP, `type: radius, timeout: 3500ms, servers: [{address: "ADDRESS", secret: ` + testSecret + `}]`},
	} {
		for _, how := range []string{"hung", "killed"} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				b := kind.open(t)
				if how == "killed" {
					b.close()
				}
				testPrimaryFails(t, strings.ReplaceAll(kind.settings, "ADDRESS", b.address))
			})
		}
	}
}

func testPrimaryFails(t *testing.T, settings string) {
	p := startServer(t, `listen: {radius: ["127.0.0.1:0"], web: "127.0.0.1:0"}
data_dir: data
primaries:
  - {name: local, type: file, path: users.yaml}
  - {name: far, `+settings+`}
clients:
  - {name: near, addresses: [127.0.0.1], secret: `+testSecret+`, primary: local, exempt_client: true}
  - {name: silent, addresses: [127.0.0.2], secret: `+testSecret+`, primary: far}
  - {name: strict, addresses: [127.0.0.3], secret: `+testSecret+`, primary: far, on_primary_error: reject}
  - {name: hasty, addresses: [127.0.0.4], secret: `+testSecret+`, primary: far, on_primary_error: reject, nas_timeout: 2s}
mfa: {reject_delay: 500ms}
`)
	near, silent, strict, hasty := p.nasSocket("127.0.0.1"), p.nasSocket("127.0.0.2"), p.nasSocket("127.0.0.3"), p.nasSocket("127.0.0.4")
	began := time.Now()
	silent.start(signIn("alice", ""))
	late, soon := strict.start(signIn("alice", "")), hasty.start(signIn("alice", ""))
	slowest := time.Duration(0)
	for range 20 {
		start := time.Now()
		near.expect(signIn("alice", ""), wire.AccessAccept)
		slowest = max(slowest, time.Since(start))
	}
	if slowest > time.Second {
		t.Errorf("a login by another primary took %s; want at most %s", slowest, time.Second)
	}
	for s, r := range map[*nasSocket]request{hasty: soon, strict: late} {
		s.gets(r, wire.AccessReject)
	}
	p.await("server.log", `"client":"hasty",.*"outcome":"reject","reason":"primary_error"`)
	p.await("server.log", `"client":"strict",.*"outcome":"reject","reason":"primary_error"`)
	p.await("server.log", `"client":"silent",.*"outcome":"discard","reason":"primary_error"`)
	silent.silent()
	if took := time.Since(began); took > testTimeout/2 {
		t.Errorf("it took %s", took)
	}
	for _, ev := range p.events("") {
		if ev.Kind != mfa.EventLogin || ev.Client == "near" {
			continue
		}
		// 2 s less the margin, and 3.5 s: the rest is for a machine that is busy.
		limit := cmp.Or(map[string]time.Duration{"hasty": 2 * time.Second}[ev.Client], 5*time.Second)
		if ev.Reason != mfa.ReasonPrimaryError || ev.Total > limit {
			t.Errorf("event of %s: %s after %s; want Reason mfa.ReasonPrimaryError, Total at most limit", ev.Client, ev.Reason, ev.Total)
		}
	}
}

// A push provider's server that is killed and one that hangs: no login is accepted, each
// client hears of it in time, and anyone who has a passcode notices nothing. One that
// is not there is what on_mfa_error is for; one that took the prompt may have shown it,
// so that the user's time is waited for.
func TestPushServerFails(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]string{
		"ntfy":    `type: ntfy, topic_key_file: key`,
		"webhook": `type: webhook, secret_file: key`,
	} {
		t.Run(name+" hung", func(t *testing.T) {
			t.Parallel()
			b := hungTCP(t)
			p, silent, strict := pushServerFails(t, settings, b)
			p.await("server.log", `"client":"silent",.*"outcome":"reject","reason":"push_no_response"`)
			p.await("server.log", `"client":"strict",.*"outcome":"reject","reason":"push_no_response"`)
			silent(wire.AccessReject)
			strict(wire.AccessReject)
		})
		t.Run(name+" killed", func(t *testing.T) {
			t.Parallel()
			b := hungTCP(t)
			b.close()
			p, silent, strict := pushServerFails(t, settings, b)
			p.await("server.log", `"client":"silent",.*"outcome":"discard","reason":"mfa_error"`)
			p.await("server.log", `"client":"strict",.*"outcome":"reject","reason":"mfa_error"`)
			silent(0)
			strict(wire.AccessReject)
		})
	}
}

// pushServerFails signs in at two clients, and tells what they get; 0 is nothing.
func pushServerFails(t *testing.T, settings string, b backend) (p *serverProcess, silent, strict func(wire.Code)) {
	p = newServer(t, `listen: {radius: ["127.0.0.1:0"], web: "127.0.0.1:0"}
web: {public_url: "http://localhost:8080"}
data_dir: data
primaries: [{name: local, type: file, path: users.yaml}]
push: [{name: far, `+settings+`, timeout: 1s, url: "http://`+b.address+`"}]
clients:
  - {name: silent, addresses: [127.0.0.2], secret: `+testSecret+`}
  - {name: strict, addresses: [127.0.0.3], secret: `+testSecret+`, on_mfa_error: reject}
mfa: {reject_delay: 500ms, push_timeout: 6s}
`)
	p.write("key", strings.Repeat("k", 32)+"\n")
	users := p.addUsers("user", 2)
	p.addTOTP("bob")
	p.start()
	gets := make([]func(wire.Code), 2)
	for i, from := range []string{"127.0.0.2", "127.0.0.3"} {
		p.cli("device", "add", users[i], "--provider", "far")
		s := p.nasSocket(from)
		r := s.start(signIn(users[i], ""))
		gets[i] = func(want wire.Code) {
			if want == 0 {
				s.silent()
				return
			}
			s.gets(r, want)
		}
	}
	other := p.nasSocket("127.0.0.3")
	state := other.expect(signIn("bob", ""), wire.AccessChallenge).State()
	other.expect(answerTo("bob", state, totp("bob", 0)), wire.AccessAccept)
	return p, gets[0], gets[1]
}
