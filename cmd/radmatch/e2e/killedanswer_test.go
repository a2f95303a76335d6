package e2e

import (
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/radius/wire"
)

const patientClient = `clients:
  - {name: vpn, addresses: [127.0.0.1], secret: ` + testSecret + `, nas_timeout: 45s}
mfa: {reject_delay: 500ms}
`

// again is the same socket of the NAS after the server's restart, whose port may
// be another.
func (s *nasSocket) again(p *serverProcess) *nasSocket {
	s.t.Helper()
	local := s.conn.LocalAddr().(*net.UDPAddr)
	s.conn.Close()
	to, err := net.ResolveUDPAddr("udp", p.radius[0])
	if err != nil {
		s.t.Fatal(err)
	}
	conn, err := net.DialUDP("udp", local, to)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	return &nasSocket{t: s.t, conn: conn, secret: s.secret, id: s.id, inbox: map[byte][][]byte{}}
}

// startDoomed starts the server so that it dies in the moment in which it would send
// its first answer.
func (p *serverProcess) startDoomed() {
	p.t.Helper()
	strace := needPeer(p.t, "strace")
	needRoot(p.t, "only root can look into a process that forbids core files")
	p.start(strace, "-f", "-o", p.path("strace.out"), "-e", "trace=sendto,sendmsg", "-e", "inject=sendto,sendmsg:error=EIO:signal=KILL:when=1")
	traced, err := os.ReadFile(p.path("data/lock"))
	if err != nil {
		p.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(traced)))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		select {
		case <-p.done:
		default:
			syscall.Kill(pid, syscall.SIGKILL) // the end of strace does not end it
		}
	})
}

// The server is killed between the commit of an accept and its answer. The NAS sends
// its packet again, which the next server answers: no second prompt is sent, and
// the login has one event. Any other packet needs a prompt of its own.
func TestKilledBetweenCommitAndAnswer(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+patientClient)
	p.startDoomed()
	ph := p.enroll("alice")
	s := p.nasSocket("127.0.0.1")
	r := s.start(signIn("alice", "192.0.2.1"))
	_, _ = ph.Decide(t.Context(), ph.prompt(), device.ActionApprove, "") // its answer may be lost too
	p.exited()
	s.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := s.conn.Read(make([]byte, 4096)); err == nil {
		t.Fatalf("the answer has left: %d octets; want an error", n)
	}
	if got := p.counts("alice"); got["accept approve_deny"] != 1 || len(got) != 1 {
		t.Fatalf("got events %v; want 1 accept approve_deny, 1 of them", got)
	}
	p.start()
	s, ph = s.again(p), p.connect(ph.Phone)
	s.send(r)
	a, _ := s.answer(r)
	if a.Code != wire.AccessAccept || len(a.Attributes()) == 0 {
		t.Fatalf("got %s with %d attributes", a.Code, len(a.Attributes()))
	}
	s.send(r)
	s.gets(r, wire.AccessAccept)
	if live := ph.live(); len(live) > 0 {
		t.Errorf("got another prompt: %+v; want none", live)
	}
	// The same user, address and identifier, but a packet of its own.
	other := s.buildAs(r.id, signIn("alice", "192.0.2.1"))
	s.send(other)
	shown := ph.prompt()
	if got := p.counts("alice"); got["accept approve_deny"] != 1 || len(got) != 1 {
		t.Errorf("events %v, want one accept", got)
	}
	ph.decide(shown, device.ActionApprove, "")
	s.gets(other, wire.AccessAccept)
	if got := p.counts("alice"); got["accept approve_deny"] != 2 || len(got) != 1 {
		t.Errorf("events %v, want two accepts", got)
	}
}

// An Accept was lost, and the server restarted: the packet that comes again is let in
// unless something has changed since.
func TestRestartAfterLostAccept(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		stop    func(p *serverProcess)
		between func(p *serverProcess, ph *testPhone)
		want    wire.Code
		event   string
	}{
		"stopped in order": {stop: (*serverProcess).stop, want: wire.AccessAccept, event: "accept approve_deny"},
		"blocked":          {between: func(p *serverProcess, _ *testPhone) { p.cli("user", "block", "alice") }, want: wire.AccessReject, event: "reject user_blocked"},
		"device removed": {
			between: func(p *serverProcess, ph *testPhone) { p.cli("device", "remove", "alice", ph.Device) },
			want:    wire.AccessReject, event: "reject not_registered",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startServer(t, siteHead+patientClient)
			ph := p.enroll("alice")
			s := p.nasSocket("127.0.0.1")
			r := s.start(signIn("alice", "192.0.2.1"))
			ph.approve()
			s.gets(r, wire.AccessAccept)
			before := p.counts("alice")
			if tt.stop != nil {
				tt.stop(p)
			} else {
				p.kill()
			}
			if tt.between != nil {
				tt.between(p, ph)
			}
			p.start()
			s = s.again(p)
			s.send(r)
			s.gets(r, tt.want)
			got := p.counts("alice")
			if tt.want == wire.AccessAccept {
				if got[tt.event] != 1 || len(got) != len(before) {
					t.Errorf("events %v, before %v", got, before)
				}
				return
			}
			p.until("the event", func() bool { return p.counts("alice")[tt.event] == 1 })
			if got["accept approve_deny"] != 1 {
				t.Errorf("got events %v; want 1 accept approve_deny", got)
			}
		})
	}
}
