package e2e

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/serve"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/radius/wire"
)

// tenMistakes is a configuration with so many.
func tenMistakes(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../testdata/config/bad/tenmistakes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A file with ten mistakes is ten lines, exit code 3, and no server.
func TestBrokenConfigStops(t *testing.T) {
	t.Parallel()
	p := newServer(t, tenMistakes(t))
	out, code := p.output("serve")
	if code != console.ExitConfig {
		t.Errorf("exit %d, want %d", code, console.ExitConfig)
	}
	if n := strings.Count(out, p.path("radmatch.yaml")+":"); n != 10 {
		t.Errorf("%d lines, want 10:\n%s", n, out)
	}
	if _, err := os.Stat(p.path("data")); err == nil {
		t.Error("data_dir was made: got no error; want one")
	}
}

// A reload with a broken file changes nothing and says every problem; one with a
// good file swaps clients and users, and keeps what waits.
func TestReload(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+siteClient)
	p.addTOTP("bob")
	p.start()
	ph := p.enroll("alice")
	gone, waiting := p.nasSocket("127.0.0.1"), p.nasSocket("127.0.0.1")
	waits := waiting.start(signIn("alice", ""))
	v := ph.prompt()
	state := gone.expect(signIn("bob", ""), wire.AccessChallenge).State()

	p.write("radmatch.yaml", tenMistakes(t))
	p.signal(syscall.SIGHUP)
	for _, key := range []string{"listen.radius", `clients\[0\].secrte`, "lockout.passcodes"} {
		p.await("server.log", `reload failed, the old configuration stays.*`+key)
	}
	gone.expect(signIn("carol", ""), wire.AccessReject)
	p.write("radmatch.yaml", siteHead+siteClient)
	p.write("users.yaml", "users: [{name: alice, password: plain}]\n")
	p.signal(syscall.SIGHUP)
	p.await("server.log", `reload failed, the old configuration stays.*users.yaml`)

	p.write("users.yaml", scriptUsers+`  - {name: dora, password: "{NT}`+rightHorse+`"}`+"\n")
	p.signal(syscall.SIGHUP)
	p.await("server.log", `"msg":"reloaded"`)
	gone.expect(answerTo("bob", state, totp("bob", 0)), wire.AccessAccept)

	p.write("radmatch.yaml", siteHead+`clients:
  - {name: new, addresses: [127.0.0.2], secret: `+testSecret+`, exempt_client: true}
mfa: {reject_delay: 500ms}
`)
	p.signal(syscall.SIGHUP)
	p.await("server.log", `"msg":"reloaded","clients":1[^$]*"msg":"reloaded"`)
	p.nasSocket("127.0.0.2").expect(signIn("dora", ""), wire.AccessAccept)
	gone.start(signIn("alice", "192.0.2.9"))
	p.await("server.log", `"source":"127.0.0.1","reason":"unknown_client"`)

	// The push from before belongs to the old client, which asked in time.
	ph.decide(v, device.ActionApprove, "")
	waiting.gets(waits, wire.AccessAccept)
	p.stop()
}

// SIGTERM lets those who wait end, repeats answers, and takes no new request.
func TestDrain(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+siteClient)
	alice, bob := p.enroll("alice"), p.enroll("bob")
	s := p.nasSocket("127.0.0.1")
	first := s.start(signIn("alice", ""))
	v := alice.prompt()
	last := s.start(signIn("bob", ""))
	v2 := bob.prompt()
	p.signal(syscall.SIGTERM)
	p.await("server.log", `"msg":"stopping"`)
	alice.decide(v, device.ActionApprove, "")
	a, raw := s.answer(first)
	if a.Code != wire.AccessAccept {
		t.Errorf("%s, want Access-Accept", a.Code)
	}
	s.send(first)
	if again := s.datagram(first.id); !bytes.Equal(again, raw) {
		t.Errorf("retransmission got %x, want %x", again, raw)
	}
	s.start(wire.Query{Code: wire.StatusServer})
	late := s.start(signIn("alice", ""))
	p.awaitEvent("alice", "discard overload", 1)
	bob.decide(v2, device.ActionDeny, "")
	s.gets(last, wire.AccessReject)
	if code := p.exited(); code != 0 {
		t.Errorf("exit %d; server.log:\n%s; want 0", code, p.log())
	}
	if len(s.inbox[late.id]) > 0 || len(s.inbox[late.id-1]) > 0 {
		t.Error("a server that stops answers someone new")
	}
	for _, user := range []string{"alice", "bob"} {
		for _, ev := range p.events(user) {
			if ev.Reason == mfa.ReasonShutdown {
				t.Errorf("%+v was given up", ev)
			}
		}
	}
}

// A login that is not decided when the time to stop has come gets no answer, so that the
// NAS asks another server, and an event.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+siteClient)
	ph := p.enroll("alice")
	s := p.nasSocket("127.0.0.1")
	r := s.start(signIn("alice", ""))
	ph.prompt()
	began := time.Now()
	p.signal(syscall.SIGTERM)
	if code := p.exited(); code != 0 {
		t.Errorf("exit %d; server.log:\n%s; want 0", code, p.log())
	}
	if took := time.Since(began); took < serve.DrainTime {
		t.Errorf("given up after %v", took)
	}
	s.conn.SetReadDeadline(time.Now())
	for s.read() {
	}
	if n := len(s.inbox[r.id]); n > 0 {
		t.Error("a login that was given up has an answer")
	}
	if got := p.counts("alice"); got["discard shutdown"] != 1 || len(got) != 1 {
		t.Errorf("events %v, want one discard for shutdown", got)
	}
}

// A key that needs a restart is named at each reload until the file says again
// what the server runs with, and not after that.
func TestReloadNamesWhatNeedsRestart(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+siteClient)
	reloaded := func(config string, times int) (warnings int) {
		p.write("radmatch.yaml", config)
		p.signal(syscall.SIGHUP)
		p.until("reloaded", func() bool { return strings.Count(p.log(), `"msg":"reloaded"`) == times })
		return strings.Count(p.log(), `"key":"limits"`)
	}
	changed := siteHead + siteClient + "limits: {attributes: 100}\n"
	for i, step := range []struct {
		config string
		want   int
	}{{changed, 1}, {changed, 2}, {siteHead + siteClient, 2}} {
		if got := reloaded(step.config, i+1); got != step.want {
			t.Errorf("reload %d: %d warnings so far, want %d", i+1, got, step.want)
		}
	}
	p.stop()
}

// SIGHUP while the server stops must not kill it, and with it who still waits.
func TestReloadWhileStopping(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+siteClient)
	alice := p.enroll("alice")
	s := p.nasSocket("127.0.0.1")
	waits := s.start(signIn("alice", ""))
	v := alice.prompt()
	p.signal(syscall.SIGTERM)
	p.await("server.log", `"msg":"stopping"`)
	p.signal(syscall.SIGHUP)
	alice.decide(v, device.ActionApprove, "")
	s.gets(waits, wire.AccessAccept)
	if code := p.exited(); code != 0 {
		t.Errorf("exit %d; server.log:\n%s; want 0", code, p.log())
	}
}

// One server a data_dir.
func TestSecondServer(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+siteClient)
	if out, code := p.output("serve"); code != console.ExitFailure || !strings.Contains(out, "data_dir is in use by another server") {
		t.Errorf("exit %d: got %s; want console.ExitFailure, \"data_dir is in use by another server\" in it", code, out)
	}
	p.nasSocket("127.0.0.1").silent()
	p.kill()
	p.start() // the lock of a dead process blocks no other
}

// Listeners: IPv6, and a wildcard that answers from the address that was asked.
func TestListeners(t *testing.T) {
	t.Parallel()
	p := startServer(t, `listen: {radius: ["[::1]:0", "0.0.0.0:0"], web: "127.0.0.1:0"}
data_dir: data
primaries: [{name: local, type: file, path: users.yaml}]
clients:
  - {name: six, addresses: ["::1"], secret: `+testSecret+`, exempt_client: true}
  - {name: four, addresses: [127.0.0.0/8], secret: `+testSecret+`, exempt_client: true}
mfa: {reject_delay: 500ms}
`)
	six := dialNAS(t, "::1", p.radius[0], testSecret)
	six.expect(signIn("alice", ""), wire.AccessAccept)
	_, port, _ := strings.Cut(p.radius[1], ":")
	for _, to := range []string{"127.0.0.1", "127.0.0.2"} {
		// A connected socket takes no datagram from another address.
		four := dialNAS(t, "127.0.0.3", to+":"+port, testSecret)
		four.expect(signIn("alice", ""), wire.AccessAccept)
	}
}

// A signed request is answered with the secret that it was signed with, while a
// secret is changed; Status-Server is answered too, and an unsigned Proxy-State
// never is.
func TestSecretsRotated(t *testing.T) {
	t.Parallel()
	const next = "the-next-secret-of-32-octets-4711"
	p := startServer(t, siteHead+`clients:
  - {name: vpn, addresses: [127.0.0.1], secret: [`+testSecret+`, `+next+`], exempt_client: true, require_message_authenticator: no}
mfa: {reject_delay: 500ms}
`)
	for _, secret := range []string{testSecret, next} {
		s := dialNAS(t, "127.0.0.1", p.radius[0], secret)
		s.expect(signIn("alice", ""), wire.AccessAccept)
		s.expect(wire.Query{Code: wire.StatusServer}, wire.AccessAccept)
	}
	s := p.nasSocket("127.0.0.1")
	q := signIn("alice", "")
	q.Attributes = append(q.Attributes, mfa.Attribute{Type: 33, Value: []byte("proxy")})
	s.send(s.build(q).unsigned())
	s.silent()
	p.await("server.log", `unsigned_proxy_state`)
	a := s.expect(q, wire.AccessAccept)
	found := false
	for _, attribute := range a.Attributes() {
		found = found || attribute.Type == 33 && string(attribute.Value) == "proxy"
	}
	if !found {
		t.Error("got no Proxy-State in the answer; want that of the request")
	}
}

// auto: who has signed once must sign, also after a restart, until unlatched. Our own
// tools do not count, nor a signed test at the address of a device that does not sign.
func TestLatch(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+`clients:
  - {name: vpn, addresses: [127.0.0.0/24], secret: `+testSecret+`, exempt_client: true}
mfa: {reject_delay: 500ms}
`)
	p.start()
	s, other := p.nasSocket("127.0.0.3"), p.nasSocket("127.0.0.2")
	unsigned := func(s *nasSocket) request {
		r := s.build(signIn("alice", "")).unsigned()
		s.send(r)
		return r
	}
	accepted := func(s *nasSocket) {
		t.Helper()
		s.gets(unsigned(s), wire.AccessAccept)
	}
	tool := p.command(nil, "login", "--server", p.radius[0], "alice")
	tool.Stdin = strings.NewReader(testPassword + "\n")
	if out, err := tool.CombinedOutput(); err != nil || !strings.Contains(string(out), "from 127.0.0.1 as client vpn") {
		t.Fatalf("%v: got %s; want no error, \"from 127.0.0.1 as client vpn\" in it", err, out)
	}
	mixed := p.nasSocket("127.0.0.1")
	accepted(mixed)
	for range 2 {
		mixed.silent() // a signed Status-Server, which latches nothing
		accepted(mixed)
		mixed.expect(signIn("alice", ""), wire.AccessAccept)
		accepted(mixed)
		p.await("server.log", `signs and does not sign.*"source":"127.0.0.1"`)
		p.until("it is shown", func() bool {
			return strings.Contains(p.cli("clients"), "vpn: mixed, signed and unsigned, and so let in unsigned: 127.0.0.1\n")
		})
		p.stop() // it is remembered over a restart
		p.start()
		mixed, s, other = p.nasSocket("127.0.0.1"), p.nasSocket("127.0.0.3"), p.nasSocket("127.0.0.2")
	}
	s.expect(signIn("alice", ""), wire.AccessAccept)
	unsigned(s)
	s.silent()
	accepted(other)
	p.await("server.log", `"source":"127.0.0.3","reason":"unsigned","hint":"[^"]*clients unlatch`)
	p.until("the latch on disk", func() bool { return strings.Contains(p.cli("clients"), "must sign (has signed before): 127.0.0.3\n") })
	p.kill()
	p.start()
	s = p.nasSocket("127.0.0.3")
	unsigned(s)
	s.silent()
	p.cli("clients", "unlatch", "vpn", "127.0.0.3")
	accepted(s)
	p.until("one line of refused packets a start", func() bool {
		return strings.Count(p.log(), `"source":"127.0.0.3","reason":"unsigned"`) == 2
	})
}

// events --follow shows the logins of a running server as they end.
func TestEventsFollowServer(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+`clients:
  - {name: vpn, addresses: [127.0.0.1], secret: `+testSecret+`, exempt_client: true}
mfa: {reject_delay: 500ms}
`)
	s := p.nasSocket("127.0.0.1")
	s.expect(signIn("alice", "before"), wire.AccessAccept)
	out, err := os.Create(p.path("follow"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := p.command(nil, "events", "--follow", "--json", "--user", "alice")
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	p.await("follow", `"end_user":"before"`)
	s.expect(signIn("bob", "other"), wire.AccessAccept)
	s.expect(signIn("ALICE", "after"), wire.AccessAccept)
	text := p.await("follow", `"user":"alice","end_user":"after"`)
	if strings.Contains(text, "bob") || strings.Count(text, "\n") != 2 {
		t.Errorf("two events of alice are due:\n%s; want no \"bob\" in it, 2 times \"\n\"", text)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
