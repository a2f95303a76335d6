package e2e

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/radmatch/radmatch/cmd/radmatch/command"
	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/mfa/password/passwordtest"
	"github.com/radmatch/radmatch/radius/wire"
)

// The scripts in testdata/script are whole sessions: the real program as a
// process of its own, on ports that the system chose, and the real radclient.
//
// Besides testscript's own commands they have:
//
//	site [KEY: VALUE]...     write radmatch.yaml with these lines under mfa:
//	serve [ARG]...           start the server in the background and wait until it is ready;
//	                         sets $RADIUS, $ACCOUNTING and $WEB, logs to server.log
//	shutdown | crash | hup   SIGTERM and wait for exit code 0 | SIGKILL | SIGHUP (stop and kill are
//	                         testscript's own: stop ends the script)
//	exec nas ATTRIBUTES...   one request by radclient: prints the packet type and the
//	                         attributes; exit 0 accept, 3 challenge, 4 reject, 5 no answer.
//	                         All that radclient says goes to the file nas.log as it comes
//	capture VAR REGEXP       set VAR to the first group in the last stdout
//	code VAR SECRET [STEPS]  set VAR to the TOTP code that many steps from now
//	until FILE REGEXP        wait until FILE has a match
//	lines N REGEXP           the last stdout has so many lines that match
//	mschap USER PASSWORD     set $CHALLENGE and $RESPONSE to those of a new MS-CHAPv2 login
//	slapd start              start a real OpenLDAP server in the folder slapd, see passwordtest.Slapd;
//	                         sets $LDAP and $LDAPS. slapd hang | resume | kill | restart do that
//	ldapsite KEY: VALUE...   write radmatch.yaml with that directory and these keys in its entry
//	freeradius start NAME    start a real FreeRADIUS server, see passwordtest.FreeRADIUS; sets $NAME
//	                         to its address. freeradius hang | resume | kill | restart NAME do that
//	upstreamsite NAME... [KEY: VALUE]...
//	                         write radmatch.yaml with these servers and keys in its entry
//	pushsite KEY: VALUE... [-- KEY: VALUE...]
//	                         write radmatch.yaml with these keys in an entry of push, and under mfa:
//	receiver                 write receiver.py from docs/push-providers.md and set $PYTHON
//	exec ntfyd, exec tap     an ntfy server and the user who taps, see ntfyMain and tapMain
func TestScripts(t *testing.T) {
	t.Parallel()
	needPeer(t, "radclient")
	needPeer(t, "slapd")
	needPeer(t, "freeradius")
	needPython(t)
	t.Cleanup(func() { scriptExplain.check(t) })
	testscript.Run(t, scriptParams("../../../testdata/script"))
}

// scriptParams is for the scripts of a folder.
func scriptParams(dir string) testscript.Params {
	return testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Values[serverKey{}] = &server{}
			e.Defer(func() { compareForetold(e) }) // after the server's end
			e.Values[slapdKey{}] = new(*passwordtest.Slapd)
			e.Values[freeradiusKey{}] = map[string]*passwordtest.FreeRADIUS{}
			e.Setenv("SECRET", "testing-secret-of-32-octets-4711")
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("GORACE", "atexit_sleep_ms=0")
			return os.WriteFile(filepath.Join(e.WorkDir, "users.yaml"), []byte(scriptUsers), 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"site": scriptSite, "serve": scriptServe, "shutdown": scriptStop, "crash": scriptKill, "hup": scriptHup,
			"capture": scriptCapture, "code": scriptCode, "until": scriptUntil, "lines": scriptLines,
			"slapd": scriptSlapd, "ldapsite": scriptLDAPSite, "mschap": scriptMSCHAP,
			"freeradius": scriptFreeRADIUS, "upstreamsite": scriptUpstreamSite,
			"pushsite": scriptPushSite, "receiver": scriptReceiver,
		},
	}
}

func TestMain(m *testing.M) {
	// The tests of the program wait more than they work: for the delay of a
	// rejection, for the end of a drain. -parallel wins.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){"radmatch": func() { os.Exit(command.Main()) }, "nas": runNAS, "ntfyd": ntfyMain, "tap": tapMain})
}

// scriptUsers is users.yaml where a script has none of its own. All passwords
// are "right horse"; the hashes are {NT}, so that MS-CHAPv2 works.
const scriptUsers = `users:
  - name: alice
    password: "{NT}` + rightHorse + `"
    groups: [staff]
    reply:
      - {Filter-Id: employees}
      - {Class: alice-class}
  - {name: bob, password: "{NT}` + rightHorse + `", groups: [staff]}
  - {name: carol, password: "{NT}` + rightHorse + `", disabled: true}
`

// rightHorse is the NT hash of "right horse".
const rightHorse = "394f0bdba25738b048920d45059e48f5"

const scriptConfig = `listen:
  radius: ["127.0.0.1:0"]
  web: "127.0.0.1:0"
data_dir: data
primaries:
  - {name: local, type: file, path: users.yaml}
clients:
  - name: vpn
    addresses: [127.0.0.1]
    secret: %s
mfa:
  reject_delay: 500ms
%s`

func scriptSite(ts *testscript.TestScript, neg bool, args []string) {
	var mfa strings.Builder
	for _, a := range args {
		fmt.Fprintf(&mfa, "  %s\n", a)
	}
	text := fmt.Sprintf(scriptConfig, ts.Getenv("SECRET"), mfa.String())
	ts.Check(os.WriteFile(ts.MkAbs("radmatch.yaml"), []byte(text), 0o600))
}

type serverKey struct{}

// server is the program under test, at most one a script.
type server struct {
	cmd  *exec.Cmd
	done chan error
}

func scriptServer(ts *testscript.TestScript) *server { return ts.Value(serverKey{}).(*server) }

func scriptServe(ts *testscript.TestScript, neg bool, args []string) {
	s := scriptServer(ts)
	log, err := os.OpenFile(ts.MkAbs("server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer log.Close()
	ready := ts.MkAbs("ready")
	os.Remove(ready)
	program, err := exec.LookPath("radmatch")
	ts.Check(err)
	s.cmd = exec.Command(program, append([]string{"serve", "--ready-file", ready}, args...)...)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = ts.MkAbs("."), log, log
	for _, name := range []string{"PATH", "HOME", "GORACE", "OVERRIDE_NUMBER_MATCHING_WITH_OTP"} {
		s.cmd.Env = append(s.cmd.Env, name+"="+ts.Getenv(name))
	}
	ts.Check(s.cmd.Start())
	s.done = make(chan error, 1)
	go func(cmd *exec.Cmd, done chan error) { done <- cmd.Wait() }(s.cmd, s.done)
	ts.Defer(func() { s.end(syscall.SIGKILL) })
	text := waitFor(ts, ready, regexp.MustCompile(`(?m)^end$`))
	for line := range strings.Lines(text) {
		if name, addr, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			ts.Setenv(strings.ToUpper(name), addr)
		}
	}
}

// end sends a signal to the server, if it runs, and waits for it.
func (s *server) end(sig syscall.Signal) error {
	if s.cmd == nil {
		return nil
	}
	s.cmd.Process.Signal(sig)
	err := <-s.done
	s.cmd = nil
	return err
}

func scriptStop(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(scriptServer(ts).end(syscall.SIGTERM))
}

func scriptKill(ts *testscript.TestScript, neg bool, args []string) {
	scriptServer(ts).end(syscall.SIGKILL)
}

// scriptHup returns when the server goes on with the new configuration, or says
// that it stays with the old one.
func scriptHup(ts *testscript.TestScript, neg bool, args []string) {
	const reload = `"msg":"reload`
	before := strings.Count(ts.ReadFile("server.log"), reload)
	ts.Check(scriptServer(ts).cmd.Process.Signal(syscall.SIGHUP))
	waitFor(ts, ts.MkAbs("server.log"), regexp.MustCompile(`(?s)`+strings.Repeat(reload+`.*`, before+1)))
}

func scriptCapture(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: capture VAR REGEXP")
	}
	m := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) < 2 {
		ts.Fatalf("no match for %q in stdout", args[1])
	}
	ts.Setenv(args[0], m[1])
}

func scriptCode(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: code VAR SECRET [STEPS]")
	}
	offset := 0
	if len(args) > 2 {
		var err error
		offset, err = strconv.Atoi(args[2])
		ts.Check(err)
	}
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(args[1])
	ts.Check(err)
	ts.Setenv(args[0], passcode(key, time.Now().Unix()/30+int64(offset)))
}

// passcode is RFC 6238 with SHA-1 and six digits, independent of package otp.
func passcode(key []byte, step int64) string {
	mac := hmac.New(sha1.New, key)
	binary.Write(mac, binary.BigEndian, step)
	sum := mac.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1000000)
}

func scriptUntil(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: until FILE REGEXP")
	}
	waitFor(ts, ts.MkAbs(args[0]), regexp.MustCompile(args[1]))
}

// waitFor polls a file that another process writes: there is nothing else to
// wait on.
func waitFor(ts *testscript.TestScript, file string, re *regexp.Regexp) string {
	deadline := time.Now().Add(90 * time.Second)
	for {
		text, _ := os.ReadFile(file)
		if re.Match(text) {
			return string(text)
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(ts.MkAbs("server.log"))
			ts.Fatalf("%s has no match for %q; it says:\n%s\nserver.log:\n%s", file, re, text, log)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func scriptLines(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: lines N REGEXP")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	re, got := regexp.MustCompile(args[1]), 0
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		if re.MatchString(line) {
			got++
		}
	}
	if got != want {
		ts.Fatalf("%d lines match %q, want %d", got, args[1], want)
	}
}

func scriptMSCHAP(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: mschap USER PASSWORD")
	}
	c, err := wire.NewMSCHAPv2(args[0], args[1])
	ts.Check(err)
	ts.Setenv("CHALLENGE", fmt.Sprintf("0x%x", c.AuthChallenge))
	ts.Setenv("RESPONSE", fmt.Sprintf("0x%02x00%x%016x%x", c.Ident, c.PeerChallenge, 0, c.NTResponse)) // RFC 2548 §2.3.2
}

// runNAS is the program nas of that name in the scripts. Attributes are as radclient
// reads them; -from ADDRESS sends from there, -retry N retransmits, -timeout
// SECONDS waits so long for each answer, -secret S uses that one, -type acct sends
// to $ACCOUNTING.
func runNAS() {
	from, secret, retry, timeout, kind := "", os.Getenv("SECRET"), "1", "20", "auth"
	args := os.Args[1:]
	for len(args) > 1 && strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "-from":
			from = args[1]
		case "-retry":
			retry = args[1]
		case "-timeout":
			timeout = args[1]
		case "-secret":
			secret = args[1]
		case "-type":
			kind = args[1]
		}
		args = args[2:]
	}
	attributes := strings.Join(args, "\n") + "\n"
	if kind == "auth" && !strings.Contains(attributes, "Message-Authenticator") && !strings.Contains(attributes, "Unsigned") {
		attributes += "Message-Authenticator = 0x00\n"
	}
	attributes = strings.ReplaceAll(attributes, "Unsigned\n", "")
	if from != "" {
		attributes += "Packet-Src-IP-Address = " + from + "\n"
	}
	server := os.Getenv("RADIUS")
	if kind == "acct" {
		server = os.Getenv("ACCOUNTING")
	}
	var said *foretold
	if kind == "auth" && attributeIn(attributes, "State") == "" {
		f := foretell(attributes)
		said = &f
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	// A line of the log comes when it is written, not when the buffer is full.
	cmd := exec.CommandContext(ctx, "stdbuf", "-oL", "radclient", "-x", "-r", retry, "-t", timeout, server, kind, secret)
	cmd.Stdin = strings.NewReader(attributes)
	log, err := os.Create("nas.log")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var out bytes.Buffer
	cmd.Stdout = io.MultiWriter(&out, log)
	cmd.Stderr = cmd.Stdout
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if said != nil {
		said.note(out.String())
	}
	_, answer, ok := strings.Cut(out.String(), "Received ")
	if !ok {
		fmt.Println("no answer")
		fmt.Fprintln(os.Stderr, out.String())
		os.Exit(console.ExitNoAnswer)
	}
	fmt.Print(answer)
	for kind, code := range map[string]int{"Access-Accept": console.ExitOK, "Accounting-Response": console.ExitOK, "Access-Challenge": 3, "Access-Reject": console.ExitRejected} {
		if strings.HasPrefix(answer, kind) {
			os.Exit(code)
		}
	}
	os.Exit(1)
}
