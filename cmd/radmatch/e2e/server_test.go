package e2e

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/radmatch/radmatch/cmd/radmatch/command"
	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/serve"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
)

// testTimeout bounds every wait of a test for something that must come.
const testTimeout = 90 * time.Second

// What the Go tests that start the program share: users whose password is
// testPassword, and one shared secret.
const (
	testPassword = "right horse"
	testSecret   = "testing-secret-of-32-octets-4711"
)

// siteHead begins radmatch.yaml; clients and mfa follow.
const siteHead = `listen: {radius: ["127.0.0.1:0"], web: "127.0.0.1:0"}
data_dir: data
primaries: [{name: local, type: file, path: users.yaml}]
`

// siteClient is one client at 127.0.0.1.
const siteClient = `clients:
  - {name: vpn, addresses: [127.0.0.1], secret: ` + testSecret + `}
mfa: {reject_delay: 500ms}
`

// serverProcess is a folder with radmatch.yaml, users.yaml and data_dir, and the
// real program that serves it. It is used by one goroutine at a time, except
// cli and events.
type serverProcess struct {
	t          testing.TB
	dir        string
	radius     []string // addresses of the running server
	accounting string   // the first of its addresses
	web        string
	program    string // empty: this version of radmatch
	cmd        *exec.Cmd
	done       chan struct{}
	err        error // of the process, once done is closed
}

// newServer writes the files. Nothing runs yet, so that methods are registered fast.
func newServer(t testing.TB, config string) *serverProcess {
	t.Helper()
	p := &serverProcess{t: t, dir: t.TempDir()}
	p.write("radmatch.yaml", config)
	p.write("users.yaml", scriptUsers)
	return p
}

// buildProgram builds the program as `make build` does, with more flags, for a serverProcess
// that is not to run the program of the tests.
func buildProgram(t *testing.T, flags ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "radmatch")
	build := exec.CommandContext(t.Context(), "go", append(append([]string{"build", "-buildvcs=false", "-trimpath"}, flags...), "-o", program, ".")...)
	build.Dir, build.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// startServer writes the files and starts the program.
func startServer(t testing.TB, config string) *serverProcess {
	t.Helper()
	p := newServer(t, config)
	p.start()
	return p
}

func (p *serverProcess) path(name string) string { return filepath.Join(p.dir, name) }

func (p *serverProcess) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(p.path(name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// addUsers adds users NAME00 and so on, n of them, and returns their names.
func (p *serverProcess) addUsers(name string, n int) []string {
	p.t.Helper()
	text, err := os.ReadFile(p.path("users.yaml"))
	if err != nil {
		p.t.Fatal(err)
	}
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("%s%02d", name, i))
		text = fmt.Appendf(text, "  - {name: %s, password: \"{NT}%s\"}\n", names[i], rightHorse)
	}
	p.write("users.yaml", string(text))
	return names
}

// tokenKey is the TOTP secret of a user.
func tokenKey(user string) []byte {
	sum := sha1.Sum([]byte("token of " + user))
	return sum[:]
}

// totp is the user's code that many steps from now.
func totp(user string, steps int64) string {
	return passcode(tokenKey(user), time.Now().Unix()/30+steps)
}

// addTOTP registers a token for each of users.
func (p *serverProcess) addTOTP(users ...string) {
	p.t.Helper()
	var csv strings.Builder
	csv.WriteString("upn,serial number,secret key,time interval,manufacturer,model\n")
	for _, user := range users {
		fmt.Fprintf(&csv, "%s,no-%s,%s,30,Test,T1\n", user, user, base32.StdEncoding.EncodeToString(tokenKey(user)))
	}
	p.write("tokens.csv", csv.String())
	p.cli("totp", "import", p.path("tokens.csv"))
}

// command is the real program with arguments behind -c, under wrapper if that is
// not empty.
func (p *serverProcess) command(wrapper []string, args ...string) *exec.Cmd {
	p.t.Helper()
	program := p.program
	if program == "" {
		var err error
		if program, err = exec.LookPath("radmatch"); err != nil {
			p.t.Fatal(err)
		}
	}
	argv := append(append([]string{}, wrapper...), program, "-c", p.path("radmatch.yaml"))
	cmd := exec.Command(argv[0], append(argv[1:], args...)...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "OVERRIDE_NUMBER_MATCHING_WITH_OTP=", "GORACE=atexit_sleep_ms=0")
	return cmd
}

// start starts the server, under wrapper if there is one, and waits until it is ready.
func (p *serverProcess) start(wrapper ...string) {
	p.t.Helper()
	ready := p.path("ready")
	os.Remove(ready)
	log, err := os.OpenFile(p.path("server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	p.cmd = p.command(wrapper, "serve", "--ready-file", ready)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	cmd, done := p.cmd, make(chan struct{})
	p.done = done
	go func() {
		p.err = cmd.Wait()
		close(done)
	}()
	p.t.Cleanup(func() {
		cmd.Process.Kill()
		<-done
	})
	var text []byte
	p.until("ready", func() bool {
		select {
		case <-done:
			p.t.Fatalf("the server has ended: %v; server.log:\n%s", p.err, p.log())
		default:
		}
		text, _ = os.ReadFile(ready)
		return bytes.HasSuffix(text, []byte("end\n"))
	})
	p.radius = nil
	for line := range strings.Lines(string(text)) {
		switch name, addr, _ := strings.Cut(strings.TrimSpace(line), " "); name {
		case "radius":
			p.radius = append(p.radius, addr)
		case "accounting":
			p.accounting = addr
		case "web":
			p.web = addr
		}
	}
}

// signal sends the server a signal. A stop is waited for: until the kernel has stopped
// each thread, one of them may still read a packet.
func (p *serverProcess) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
	if s != syscall.SIGSTOP {
		return
	}
	p.until("stopped", func() bool {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid))
		return len(threads) > 0 && !slices.ContainsFunc(threads, func(name string) bool {
			stat, err := os.ReadFile(name)
			_, state, _ := bytes.Cut(stat, []byte(") "))
			return err == nil && !bytes.HasPrefix(state, []byte("T"))
		})
	})
}

// kill ends the server as a loss of power does, except for what the kernel has
// taken over already.
func (p *serverProcess) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	<-p.done
}

// exited waits until the server has ended by itself and returns its exit code.
func (p *serverProcess) exited() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(serve.DrainTime + testTimeout):
		p.t.Fatalf("the server does not end; server.log:\n%s", p.log())
		return 0
	}
}

// stop ends the server by SIGTERM, and demands that it ends well.
func (p *serverProcess) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.exited(); code != 0 {
		p.t.Fatalf("exit code %d; server.log:\n%s; want 0", code, p.log())
	}
}

func (p *serverProcess) log() string {
	text, err := os.ReadFile(p.path("server.log"))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

// await waits until a file matches and returns it: another process writes it, so
// that there is nothing else to wait on.
func (p *serverProcess) await(file, pattern string) string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	var text []byte
	p.until(fmt.Sprintf("%s has a match for %q", file, pattern), func() bool {
		text, _ = os.ReadFile(p.path(file))
		return re.Match(text)
	})
	return string(text)
}

// until polls for a condition.
func (p *serverProcess) until(what string, f func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(testTimeout); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(p.path("server.log"))
			p.t.Fatalf("not in time: %s; server.log:\n%s", what, log)
		}
	}
}

// Run runs a command line beside the server, in this process, and returns exit
// code and output.
func (p *serverProcess) run(args ...string) (code int, stdout, stderr string) {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	var out, errs bytes.Buffer
	code = command.Run(ctx, append([]string{"-c", p.path("radmatch.yaml")}, args...), strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// output runs the real program with arguments until it ends, and returns what it
// printed and its exit code.
func (p *serverProcess) output(args ...string) (string, int) {
	p.t.Helper()
	cmd := p.command(nil, args...)
	late := time.AfterFunc(testTimeout, func() { cmd.Process.Kill() })
	defer late.Stop()
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// cli runs a command line that must succeed, and returns its output.
func (p *serverProcess) cli(args ...string) string {
	p.t.Helper()
	code, out, errs := p.run(args...)
	if code != console.ExitOK {
		p.t.Fatalf("radmatch %s: exit %d: got %s; want console.ExitOK", strings.Join(args, " "), code, errs)
	}
	return out
}

// events returns the newest logins and unclaimed approvals in the trail, of one user or,
// for "", of all.
func (p *serverProcess) events(user string) []mfa.Event {
	p.t.Helper()
	return p.listEvents("--limit", "10000", "--user", user)
}

// trail returns all of them.
func (p *serverProcess) trail() []mfa.Event {
	p.t.Helper()
	return p.listEvents("--since", "24h")
}

func (p *serverProcess) listEvents(args ...string) []mfa.Event {
	p.t.Helper()
	var list []mfa.Event
	dec := json.NewDecoder(strings.NewReader(p.cli(append([]string{"events", "--json"}, args...)...)))
	for {
		var ev mfa.Event
		err := dec.Decode(&ev)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			p.t.Fatal(err)
		}
		if ev.Kind != mfa.EventAdmin && ev.Kind != mfa.EventReport {
			list = append(list, ev)
		}
	}
}

// counts says how often each outcome and reason stands in the trail of a user,
// with the sums resolved.
func (p *serverProcess) counts(user string) map[string]int {
	p.t.Helper()
	n := map[string]int{}
	for _, ev := range p.events(user) {
		n[fmt.Sprintf("%s %s", ev.Outcome, ev.Reason)] += max(1, ev.Count)
	}
	return n
}

// awaitEvent waits until n events of a user have an outcome and reason.
func (p *serverProcess) awaitEvent(user, event string, n int) {
	p.t.Helper()
	p.until(fmt.Sprintf("%d events %q of %s", n, event, user), func() bool { return p.counts(user)[event] == n })
}

// testPhone is a device of a user, over the real protocol, that a test decides with.
type testPhone struct {
	*device.Phone
	p       *serverProcess
	notices chan device.Notice
}

// invite returns the token of a new invitation.
func (p *serverProcess) invite(user string) string {
	p.t.Helper()
	_, token, _ := strings.Cut(strings.Fields(p.cli("device", "invite", user, "--no-qr"))[0], "#")
	return token
}

// enroll invites and enrols a device of user.
func (p *serverProcess) enroll(user string) *testPhone {
	p.t.Helper()
	dev, err := device.Enroll(context.Background(), device.InvitationLink("http://"+p.web, p.invite(user)), user+"'s", device.MaxVersion, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.connect(dev)
}

// connect has a device, perhaps one from before a restart, watch what happens.
func (p *serverProcess) connect(d *device.Phone) *testPhone {
	dev := &device.Phone{Server: "http://" + p.web, Device: d.Device, User: d.User, Name: d.Name, Version: d.Version, Key: d.Key}
	ctx, cancel := context.WithCancel(context.Background())
	ph := &testPhone{dev, p, make(chan device.Notice, 1000)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		dev.Watch(ctx, false, func(n device.Notice) error {
			ph.notices <- n
			return nil
		})
	}()
	p.t.Cleanup(func() {
		cancel()
		<-ended
	})
	return ph
}

// prompt waits for the next prompt.
func (ph *testPhone) prompt() device.PromptView {
	ph.p.t.Helper()
	return ph.notice(func(n device.Notice) *device.PromptView { return n.New })
}

// changed waits until a prompt has changed.
func (ph *testPhone) changed() device.PromptView {
	ph.p.t.Helper()
	return ph.notice(func(n device.Notice) *device.PromptView { return n.Changed })
}

func (ph *testPhone) notice(f func(device.Notice) *device.PromptView) device.PromptView {
	ph.p.t.Helper()
	timeout := time.After(testTimeout)
	for {
		select {
		case n := <-ph.notices:
			if v := f(n); v != nil {
				return *v
			}
		case <-timeout:
			ph.p.t.Fatalf("nothing came to the phone of %s; server.log:\n%s", ph.User, ph.p.log())
		}
	}
}

// live asks which prompts there are now.
func (ph *testPhone) live() []device.PromptView {
	ph.p.t.Helper()
	list, err := ph.Prompts(context.Background())
	if err != nil {
		ph.p.t.Fatal(err)
	}
	return list.Prompts
}

// decide sends a decision that must be taken.
func (ph *testPhone) decide(v device.PromptView, action device.Action, number string) {
	ph.p.t.Helper()
	if _, err := ph.Decide(context.Background(), v, action, number); err != nil {
		ph.p.t.Fatal(err)
	}
}

// approve waits for the next prompt and approves it.
func (ph *testPhone) approve() {
	ph.p.t.Helper()
	ph.decide(ph.prompt(), device.ActionApprove, "")
}
