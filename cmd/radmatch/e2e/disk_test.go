package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// needRoot skips a test that only root can run, but with CI=true it fails it.
func needRoot(t testing.TB, reason string) {
	t.Helper()
	if os.Geteuid() != 0 {
		mustRun(t, reason)
	}
}

// mount puts a small file system at data_dir.
func (p *serverProcess) mount(size string) {
	p.t.Helper()
	needRoot(p.t, "only root can mount")
	if err := os.MkdirAll(p.path("data"), 0o700); err != nil {
		p.t.Fatal(err)
	}
	unmount, err := mountTmpfs(p.path("data"), "mode=0700,size="+size)
	if err != nil {
		mustRun(p.t, "mount: "+err.Error())
	}
	p.t.Cleanup(func() {
		if err := unmount(); err != nil {
			p.t.Error(err)
		}
	})
}

// Where the disk is full no login is accepted, by any plan, and the log says why.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+`clients:
  - {name: vpn, addresses: [127.0.0.1], secret: `+testSecret+`, on_mfa_error: reject}
  - {name: silent, addresses: [127.0.0.2], secret: `+testSecret+`}
  - {name: exempt, addresses: [127.0.0.3], secret: `+testSecret+`, exempt_client: true}
mfa: {reject_delay: 500ms}
`)
	users := p.addUsers("user", 2)
	p.mount("4m")
	p.addTOTP(users...)
	p.start()
	ph := p.enroll("alice")
	vpn, silent, exempt := p.nasSocket("127.0.0.1"), p.nasSocket("127.0.0.2"), p.nasSocket("127.0.0.3")
	exempt.expect(signIn("alice", ""), wire.AccessAccept)

	empty := p.fill()

	right := totp(users[0], 0)
	state := vpn.expect(signIn(users[0], ""), wire.AccessChallenge).State()
	vpn.expect(answerTo(users[0], state, right), wire.AccessReject)
	vpn.expect(signIn("alice", ""), wire.AccessReject) // a prompt that cannot be noted is not shown
	if shown := ph.live(); len(shown) != 0 {
		t.Errorf("the device is shown %+v, want nothing", shown)
	}
	state = silent.expect(signIn(users[1], ""), wire.AccessChallenge).State()
	silent.start(answerTo(users[1], state, totp(users[1], 0)))
	exempt.start(signIn("alice", ""))
	p.await("server.log", `"client":"silent","user":"`+users[1]+`","outcome":"discard","reason":"mfa_error"`)
	p.await("server.log", `"client":"exempt","user":"alice","outcome":"discard","reason":"mfa_error"`)
	p.await("server.log", `events could not be written: their logins are not accepted.*(disk is full|no space left)`)

	empty()
	p.awaitState(http.StatusOK, "ok\n")
	silent.silent() // a probe of it had no answer before
	exempt.silent()
	// The code was shown to a server that could not note it: it stays used.
	state = vpn.expect(signIn(users[0], ""), wire.AccessChallenge).State()
	vpn.expect(answerTo(users[0], state, right), wire.AccessReject)
	state = vpn.expect(signIn(users[0], ""), wire.AccessChallenge).State()
	vpn.expect(answerTo(users[0], state, totp(users[0], 1)), wire.AccessAccept)
	exempt.expect(signIn("alice", ""), wire.AccessAccept)
	accepted := 0
	for _, ev := range p.events("") {
		if ev.Outcome == mfa.Accept {
			accepted++
		}
	}
	if accepted != 3 {
		t.Errorf("%d accepts in the trail, want 3", accepted)
	}
}

// zeros is endless.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// A data_dir that cannot be written stops the start and every change, with a
// text that says so.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+siteClient)
	p.mount("4m")
	readOnly := func() {
		t.Helper()
		if err := remount(p.path("data"), true); err != nil {
			t.Fatal(err)
		}
	}
	said := regexp.MustCompile(`(?i)read-?only`)
	refuses := func(args ...string) {
		t.Helper()
		if out, code := p.output(args...); code != console.ExitFailure || !said.MatchString(out) {
			t.Errorf("radmatch %s: exit %d, %s; want an error that says read-only", strings.Join(args, " "), code, out)
		}
	}
	readOnly()
	refuses("serve")
	if err := remount(p.path("data"), false); err != nil {
		t.Fatal(err)
	}
	p.addTOTP("alice")
	p.start()
	p.stop()
	readOnly()
	refuses("serve")
	refuses("totp", "add", "bob")
}

// One login under strace: the Accept is sent after a sync has returned that was
// begun after the event was written.
func TestSyncedBeforeAccept(t *testing.T) {
	t.Parallel()
	strace := needPeer(t, "strace")
	needRoot(t, "only root can look into a process that forbids core files")
	p := newServer(t, siteHead+siteClient)
	p.addTOTP("alice")
	p.start(strace, "-f", "-s", "5000", "-xx", "-o", p.path("strace.out"), "-e", "trace=pwrite64,fsync,fdatasync,sendto,sendmsg")
	traced, err := os.ReadFile(p.path("data/lock"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(traced)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) }) // the end of strace does not end it
	s := p.nasSocket("127.0.0.1")
	state := s.expect(signIn("alice", ""), wire.AccessChallenge).State()
	r := s.start(answerTo("alice", state, totp("alice", 0)))
	s.gets(r, wire.AccessAccept)
	answer := fmt.Sprintf(`send(to|msg)\(.*"\\x%02x\\x%02x\\x`, int(wire.AccessAccept), r.id)
	text := p.await("strace.out", answer)
	events := p.events("alice")
	if len(events) != 1 {
		t.Fatalf("events %+v, want one", events)
	}
	tr := trace{event: straceHex(events[0].ID), answer: regexp.MustCompile(answer)}
	if err := tr.check(text); err != nil {
		t.Errorf("%v:\n%s; want no error", err, text)
	}
}

// straceHex is how strace -xx shows a text.
func straceHex(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, `\x%02x`, c)
	}
	return b.String()
}

// trace looks for three things in their order: the event is written to a file,
// a sync of that file returns, and the answer is sent.
type trace struct {
	event  string
	answer *regexp.Regexp

	file   string          // that the event was written to
	begun  map[string]bool // threads in a sync of file that began after the write
	synced bool
}

var (
	straceWrite  = regexp.MustCompile(`^(\d+) +pwrite64\((\d+), "([^"]*)`)
	straceSync   = regexp.MustCompile(`^(\d+) +f(?:data)?sync\((\d+)(.*)$`)
	straceResume = regexp.MustCompile(`^(\d+) +<\.\.\. f(?:data)?sync resumed>\) += 0$`)
)

func (tr *trace) check(text string) error {
	tr.begun = map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if m := straceWrite.FindStringSubmatch(line); m != nil && strings.Contains(m[3], tr.event) {
			tr.file, tr.synced = m[2], false
		}
		if m := straceSync.FindStringSubmatch(line); m != nil && tr.file != "" && m[2] == tr.file {
			tr.begun[m[1]] = true
			tr.synced = tr.synced || strings.HasSuffix(m[3], "= 0")
		}
		if m := straceResume.FindStringSubmatch(line); m != nil && tr.begun[m[1]] {
			tr.synced = true
		}
		if tr.answer.MatchString(line) {
			if !tr.synced {
				return fmt.Errorf("the Accept is sent; event written: %v, synced: %v", tr.file != "", tr.synced)
			}
			return nil
		}
	}
	return errors.New("no Accept is sent")
}
