package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// detailServer is a real FreeRADIUS that writes the accounting that it gets to the
// file detail.
type detailServer struct {
	p         *serverProcess
	dir, addr string
	program   string
	cmd       *exec.Cmd
}

const detailConfig = `prefix = /usr
confdir = %[1]s
logdir = %[1]s
libdir = /usr/lib/freeradius
pidfile = %[1]s/freeradius.pid
max_request_time = 30
hostname_lookups = no
proxy_requests = no
log {
	destination = files
	file = %[1]s/freeradius.log
}
client radmatch {
	ipaddr = 127.0.0.1
	secret = %[3]s
}
modules {
	detail {
		filename = %[1]s/detail
		permissions = 0600
		header = "%%t"
	}
}
server default {
	listen {
		type = acct
		ipaddr = 127.0.0.1
		port = %[2]s
	}
	accounting {
		detail
	}
}
`

func newDetailServer(t *testing.T, p *serverProcess) *detailServer {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &detailServer{p: p, dir: t.TempDir(), addr: conn.LocalAddr().String(), program: needPeer(t, "freeradius")}
	conn.Close()
	_, port, _ := net.SplitHostPort(d.addr)
	text := fmt.Sprintf(detailConfig, d.dir, port, testSecret)
	if err := os.WriteFile(filepath.Join(d.dir, "radiusd.conf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.kill)
	return d
}

func (d *detailServer) start() {
	d.p.t.Helper()
	log := filepath.Join(d.dir, "freeradius.log")
	os.Remove(log)
	d.cmd = exec.Command(d.program, "-f", "-n", "radiusd", "-d", d.dir)
	if err := d.cmd.Start(); err != nil {
		d.p.t.Fatal(err)
	}
	d.await(log, "Ready to process requests")
}

func (d *detailServer) kill() {
	if d.cmd != nil {
		d.cmd.Process.Kill()
		d.cmd.Wait()
		d.cmd = nil
	}
}

// await waits until a file of FreeRADIUS has all of texts, and returns it.
func (d *detailServer) await(file string, texts ...string) (got string) {
	d.p.t.Helper()
	d.p.until(fmt.Sprintf("%s has %q", file, texts), func() bool {
		b, _ := os.ReadFile(file)
		got = string(b)
		for _, text := range texts {
			if !strings.Contains(got, text) {
				return false
			}
		}
		return true
	})
	return got
}

func (d *detailServer) detail(texts ...string) string {
	d.p.t.Helper()
	return d.await(filepath.Join(d.dir, "detail"), texts...)
}

// report sends an Accounting-Request with the real radclient, and demands its
// acknowledgement.
func (p *serverProcess) report(attributes ...string) {
	p.t.Helper()
	cmd := exec.Command(needPeer(p.t, "radclient"), "-r", "3", "-t", "3", p.accounting, "acct", testSecret)
	cmd.Stdin = strings.NewReader(strings.Join(attributes, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "Received Accounting-Response") {
		p.t.Fatalf("%v: got %s; want no error, \"Received Accounting-Response\" in it", err, out)
	}
}

// Reports reach another server after they were recorded: the second one where the
// first is dead, and later where both are, without the NAS waiting for that.
func TestAccountingForward(t *testing.T) {
	t.Parallel()
	p := newServer(t, "")
	d := newDetailServer(t, p)
	dead, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	p.write("radmatch.yaml", fmt.Sprintf(`listen: {radius: ["127.0.0.1:0"], accounting: ["127.0.0.1:0"], web: "127.0.0.1:0"}
data_dir: data
primaries: [{name: local, type: file, path: users.yaml}]
accounting:
  forward:
    - {name: first, address: "%s", secret: not-the-secret-of-anybody}
    - {name: second, address: "%s", secret: %s}
`, dead.LocalAddr(), d.addr, testSecret)+siteClient)
	d.start()
	p.start()

	p.report(`User-Name = "alice"`, `Acct-Status-Type = Start`, `Acct-Session-Id = "A1"`, `Class = 0x6162`, `Proxy-State = 0x7071`,
		`Acct-Delay-Time = 100`, `Cisco-AVPair = "audit-session-id=7"`)
	got := d.detail(`Acct-Session-Id = "A1"`, `Class = 0x6162`, `User-Name = "alice"`, `Acct-Status-Type = Start`, `Acct-Delay-Time = 100`,
		`Cisco-AVPair = "audit-session-id=7"`)
	if strings.Contains(got, "Proxy-State") {
		t.Errorf("the copy carries the Proxy-State of the NAS:\n%s; want no \"Proxy-State\" in it", got)
	}

	d.kill()
	began := time.Now()
	p.report(`User-Name = "alice"`, `Acct-Status-Type = Stop`, `Acct-Session-Id = "A1"`)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the acknowledgement took %v: it waited for the other server; want at most 2*time.Second", took)
	}
	p.await("server.log", `accounting is not forwarded; will retry.*"server":"second"`)
	d.start()
	got = d.detail(`Acct-Status-Type = Stop`)
	if n := strings.Count(got, `Acct-Status-Type`); n != 2 {
		t.Errorf("%d reports were forwarded, want 2:\n%s", n, got)
	}
	p.stop()
	if n := len(p.events("alice")); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
}

// Reports in a storm are all on disk that were acknowledged, when the server is
// killed in it.
func TestAccountingKilled(t *testing.T) {
	t.Parallel()
	p := newServer(t, `listen: {radius: ["127.0.0.1:0"], accounting: ["127.0.0.1:0"], web: "127.0.0.1:0"}
data_dir: data
primaries: [{name: local, type: file, path: users.yaml}]
`+siteClient)
	p.start()
	var reports strings.Builder
	for n := range 3000 {
		fmt.Fprintf(&reports, "User-Name = \"user%d\"\nAcct-Status-Type = Start\nAcct-Session-Id = \"%05d\"\n\n", n, n)
	}
	p.write("reports", reports.String())
	cmd := exec.Command("stdbuf", "-oL", needPeer(t, "radclient"), "-x", "-p", "64", "-r", "1", "-t", "30", "-f", p.path("reports"), p.accounting, "acct", testSecret)
	out, err := os.Create(p.path("radclient.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.until("reports are acknowledged", func() bool {
		text, _ := os.ReadFile(p.path("radclient.log"))
		return strings.Count(string(text), "Received Accounting-Response") > 200
	})
	p.kill()
	cmd.Process.Kill()
	cmd.Wait()
	text, err := os.ReadFile(p.path("radclient.log"))
	if err != nil {
		t.Fatal(err)
	}
	acknowledged := strings.Count(string(text), "Received Accounting-Response")
	recorded := 0
	for _, ev := range p.events("") {
		if ev.Kind == mfa.EventAccounting {
			recorded++
		}
	}
	if recorded < acknowledged || recorded == 0 {
		t.Errorf("%d acknowledged, %d recorded", acknowledged, recorded)
	}
	t.Logf("%d acknowledged, %d recorded", acknowledged, recorded)
}
