package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/otp"
	"github.com/radmatch/radmatch/radius"
)

// A server that is killed between challenge and answer, and right after an
// Accept, lets nobody in by what it has forgotten.
func TestKilled(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+siteClient)
	p.addTOTP("alice")
	p.start()
	s := p.seat("127.0.0.1")
	state := s.expect(signIn("alice", ""), radius.AccessChallenge).State()
	p.kill()
	p.start()
	s = p.seat("127.0.0.1")
	right := totp("alice", 0)
	s.expect(answerTo("alice", state, right), radius.AccessReject)
	state = s.expect(signIn("alice", ""), radius.AccessChallenge).State()
	s.expect(answerTo("alice", state, right), radius.AccessAccept)
	p.kill()
	p.start()
	s = p.seat("127.0.0.1")
	state = s.expect(signIn("alice", ""), radius.AccessChallenge).State()
	s.expect(answerTo("alice", state, right), radius.AccessChallenge)
	if n := p.counts("alice")["accept default_otp"]; n != 1 {
		t.Errorf("%d accepts in the trail, want 1", n)
	}
}

// storm is many users who sign in at once, each with one code, again and again,
// while the server dies and comes back.
type storm struct {
	p      *serverProcess
	users  []string
	codes  map[string]string
	accept atomic.Int64 // Accepts that reached a NAS

	mu   sync.Mutex
	got  map[string]int // Accepts that reached a NAS, by user
	seat int
	free map[string]bool // end-user fields let in by the exempt client
}

// round lets everybody try once, and kills the server when so many more Accepts
// have come; 0: never.
func (st *storm) round(limit int64) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	end := st.accept.Load() + limit
	kill := sync.OnceFunc(func() {
		st.p.cmd.Process.Kill()
		<-st.p.done
		cancel()
	})
	accepted := func() {
		if st.accept.Add(1) >= end && limit > 0 {
			kill()
		}
	}
	work := make(chan string)
	var w sync.WaitGroup
	for range 32 {
		w.Go(func() {
			for user := range work {
				st.signIn(ctx, user, accepted)
			}
		})
	}
	for _, user := range st.users {
		select {
		case work <- user:
		case <-ctx.Done():
		}
	}
	close(work)
	w.Wait()
	if limit > 0 {
		kill()
	}
}

// signIn is one login by code, and one through the client that needs none.
func (st *storm) signIn(ctx context.Context, user string, accepted func()) {
	secret := radius.NewSecret([]byte(testSecret))
	vpn := &radius.Caller{Addr: st.p.radius[0], Local: netip.MustParseAddr("127.0.0.1"), Secret: secret}
	q := signIn(user, "")
	a, err := vpn.Exchange(ctx, &q)
	if err != nil || a.Code != radius.AccessChallenge {
		return
	}
	q = answerTo(user, a.State(), st.codes[user])
	if a, err = vpn.Exchange(ctx, &q); err == nil && a.Code == radius.AccessAccept {
		st.mu.Lock()
		st.got[user]++
		st.mu.Unlock()
		accepted()
	}
	st.mu.Lock()
	st.seat++
	seat := fmt.Sprintf("seat-%d", st.seat)
	st.mu.Unlock()
	exempt := &radius.Caller{Addr: st.p.radius[0], Local: netip.MustParseAddr("127.0.0.2"), Secret: secret}
	q = signIn(user, seat)
	if a, err = exempt.Exchange(ctx, &q); err == nil && a.Code == radius.AccessAccept {
		st.mu.Lock()
		st.free[seat] = true
		st.mu.Unlock()
		accepted()
	}
}

// The server is killed in a storm of logins, three times. No code lets in twice,
// and whoever was let in stands in the trail.
func TestKilledInStorm(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+`clients:
  - {name: vpn, addresses: [127.0.0.1], secret: `+testSecret+`}
  - {name: exempt, addresses: [127.0.0.2], secret: `+testSecret+`, exempt_client: true}
mfa: {reject_delay: 500ms}
`)
	st := &storm{p: p, users: p.addUsers("user", 90), codes: map[string]string{}, got: map[string]int{}, free: map[string]bool{}}
	p.addTOTP(st.users...)
	for _, user := range st.users {
		st.codes[user] = totp(user, 1) // the next step's is good for the longest time
	}
	for _, limit := range []int64{20, 50, 40, 0} {
		p.start()
		st.round(limit)
	}
	events, seats := map[string]int{}, map[string]int{}
	for _, ev := range p.events("") {
		switch {
		case ev.Outcome != mfa.Accept:
		case ev.Client == "exempt":
			seats[ev.EndUser]++
		default:
			events[ev.User]++
		}
	}
	for _, user := range st.users {
		// An Accept may have been lost with the server; then only the event is there.
		if events[user] != 1 || st.got[user] > 1 {
			t.Errorf("%s: %d events of an accept, %d Accepts; want 1 and at most 1", user, events[user], st.got[user])
		}
	}
	for seat := range st.free {
		if seats[seat] != 1 {
			t.Errorf("%s was let in and has %d events", seat, seats[seat])
		}
	}
	if len(st.free) == 0 || len(st.got) == 0 {
		t.Error("nobody was let in: the test shows nothing")
	}
}

// mount puts a small file system at data_dir.
func (p *serverProcess) mount(size string) {
	p.t.Helper()
	if os.Geteuid() != 0 {
		mustRun(p.t, "only root can mount")
	}
	if err := os.MkdirAll(p.path("data"), 0o700); err != nil {
		p.t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", p.path("data"), "tmpfs", 0, "mode=0700,size="+size); err != nil {
		mustRun(p.t, "mount: "+err.Error())
	}
	p.t.Cleanup(func() {
		if err := unix.Unmount(p.path("data"), unix.MNT_DETACH); err != nil {
			p.t.Error(err)
		}
	})
}

// Where the disk is full nobody gets in, by any plan, and the log says why.
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
	vpn, silent, exempt := p.seat("127.0.0.1"), p.seat("127.0.0.2"), p.seat("127.0.0.3")
	exempt.expect(signIn("alice", ""), radius.AccessAccept)

	fill, err := os.Create(p.path("data/fill"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(fill, zeros{}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk does not fill: %v", err)
	}
	fill.Close()

	right := totp(users[0], 0)
	state := vpn.expect(signIn(users[0], ""), radius.AccessChallenge).State()
	vpn.expect(answerTo(users[0], state, right), radius.AccessReject)
	r := vpn.start(signIn("alice", ""))
	ph.approve()
	if a, _ := vpn.answer(r); a.Code != radius.AccessReject {
		t.Errorf("approved with a full disk, and got %s", a.Code)
	}
	state = silent.expect(signIn(users[1], ""), radius.AccessChallenge).State()
	silent.start(answerTo(users[1], state, totp(users[1], 0)))
	exempt.start(signIn("alice", ""))
	p.await("server.log", `"client":"silent","user":"`+users[1]+`","outcome":"discard","reason":"mfa_error"`)
	p.await("server.log", `"client":"exempt","user":"alice","outcome":"discard","reason":"mfa_error"`)
	silent.silent()
	exempt.silent()
	p.await("server.log", `events could not be written: their logins are not accepted.*(disk is full|no space left)`)

	if err := os.Remove(p.path("data/fill")); err != nil {
		t.Fatal(err)
	}
	// The code was shown to a server that could not note it: it stays used.
	state = vpn.expect(signIn(users[0], ""), radius.AccessChallenge).State()
	state = vpn.expect(answerTo(users[0], state, right), radius.AccessChallenge).State()
	vpn.expect(answerTo(users[0], state, totp(users[0], 1)), radius.AccessAccept)
	exempt.expect(signIn("alice", ""), radius.AccessAccept)
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
		if err := unix.Mount("", p.path("data"), "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
	}
	said := regexp.MustCompile(`(?i)read-?only`)
	refuses := func(args ...string) {
		t.Helper()
		if out, code := p.output(args...); code != exitFailure || !said.MatchString(out) {
			t.Errorf("radmatch %s: exit %d, %s; want an error that says read-only", strings.Join(args, " "), code, out)
		}
	}
	readOnly()
	refuses("serve")
	if err := unix.Mount("", p.path("data"), "", unix.MS_REMOUNT, ""); err != nil {
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
	t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) }) // strace alone would leave it behind
	s := p.seat("127.0.0.1")
	state := s.expect(signIn("alice", ""), radius.AccessChallenge).State()
	r := s.start(answerTo("alice", state, totp("alice", 0)))
	if a, _ := s.answer(r); a.Code != radius.AccessAccept {
		t.Fatalf("%s, want Access-Accept", a.Code)
	}
	answer := fmt.Sprintf(`send(to|msg)\(.*"\\x%02x\\x%02x\\x`, int(radius.AccessAccept), r.id)
	text := p.await("strace.out", answer)
	events := p.events("alice")
	if len(events) != 1 {
		t.Fatalf("events %+v, want one", events)
	}
	tr := trace{event: straceHex(events[0].ID), answer: regexp.MustCompile(answer)}
	if err := tr.check(text); err != nil {
		t.Errorf("%v:\n%s", err, text)
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

// clockRig is the real service on a clock that the test sets.
type clockRig struct {
	t      *testing.T
	p      *serverProcess
	now    atomic.Pointer[time.Time]
	store  *store.Store
	client *mfa.Client
	auth   radius.Authenticator
}

// open opens the store and the service on it, as `serve` does.
func (c *clockRig) open() {
	c.t.Helper()
	a := &app{configFile: c.p.path("radmatch.yaml"), stderr: io.Discard}
	cfg, err := a.loadConfig()
	if err != nil {
		c.t.Fatal(err)
	}
	now := func() time.Time { return *c.now.Load() }
	if c.store, err = store.Open(c.t.Context(), store.Options{Dir: cfg.DataDir, Server: true, Now: now}); err != nil {
		c.t.Fatal(err)
	}
	l, err := newLasting(c.t.Context(), cfg, c.store, zap.NewNop())
	if err != nil {
		c.t.Fatal(err)
	}
	l.codes = &otp.Verifier{Store: c.store, Now: now}
	service, err := newService(cfg, l)
	if err != nil {
		c.t.Fatal(err)
	}
	c.auth = service.Authenticator
	client, ok := service.Table.Lookup(netip.MustParseAddr("127.0.0.1"))
	if !ok {
		c.t.Fatal("no client")
	}
	c.client = client.Policy
}

func (c *clockRig) ask(state, text string) mfa.Decision {
	decided := make(chan mfa.Decision, 1)
	c.auth.Authenticate(c.t.Context(), &mfa.Request{
		Received: time.Now(), Client: c.client, Source: "127.0.0.1:1", Signed: true, User: "alice",
		Cred: mfa.Password(text), State: state, EndUser: "192.0.2.1",
	}, func(d mfa.Decision) { decided <- d })
	return <-decided
}

// expect signs in with a code at a time from the start.
func (c *clockRig) expect(at time.Time, code string, want mfa.Outcome) {
	c.t.Helper()
	c.now.Store(&at)
	d := c.ask("", testPassword)
	if d.Outcome != mfa.Challenge {
		c.t.Fatalf("%s %s", d.Outcome, d.Reason)
	}
	if d = c.ask(d.State, code); d.Outcome != want {
		c.t.Errorf("at %s code %s: %s, want %s", at.Format(time.TimeOnly), code, d.Outcome, want)
	}
}

// A clock that is set back and forth, and a restart in each of its times, makes
// no used code good again.
func TestClockStepped(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+siteClient)
	p.addTOTP("alice")
	start := time.Date(2026, 3, 1, 12, 0, 10, 0, time.UTC)
	c := &clockRig{t: t, p: p}
	c.now.Store(&start)
	at := func(d time.Duration) (time.Time, string) {
		when := start.Add(d)
		return when, passcode(tokenKey("alice"), when.Unix()/30)
	}
	type login struct {
		clock, code time.Duration
		want        mfa.Outcome
	}
	const wrong = mfa.Challenge // it is asked again
	for i, rounds := range [][]login{
		{{0, 0, mfa.Accept}, {0, 0, wrong}, {-time.Hour, 0, wrong}, {-time.Hour, -time.Hour, wrong}},
		{{0, 0, wrong}, {2 * time.Minute, 2 * time.Minute, mfa.Accept}},
		{{24 * time.Hour, 24 * time.Hour, mfa.Accept}, {10 * time.Minute, 10 * time.Minute, wrong}},
		{{10 * time.Minute, 11 * time.Minute, wrong}, {24 * time.Hour, 24 * time.Hour, wrong}},
		{{24*time.Hour + time.Minute, 24*time.Hour + time.Minute, mfa.Accept}},
	} {
		c.open()
		for _, l := range rounds {
			when, _ := at(l.clock)
			_, code := at(l.code)
			c.expect(when, code, l.want)
		}
		entries, err := c.store.Events(t.Context(), store.Query{User: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		accepted := 0
		for _, e := range entries {
			if e.Event.Outcome == mfa.Accept {
				accepted++
			}
		}
		if want := []int{1, 2, 3, 3, 4}[i]; accepted != want {
			t.Errorf("round %d: %d accepts in the trail, want %d", i, accepted, want)
		}
		if err := c.store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A pass is good in its time only, whatever the clock does in between; one for a
// single login stays used.
func TestPassOnSteppedClock(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+siteClient)
	start := time.Date(2026, 3, 1, 12, 0, 10, 0, time.UTC)
	c := &clockRig{t: t, p: p}
	c.now.Store(&start)
	p.addTOTP("alice") // so that a login goes on where the pass is not valid
	issue := func(once bool) string {
		t.Helper()
		pass, text, err := otp.NewPass("alice", start, time.Hour, once)
		if err == nil {
			err = c.store.ReplacePass(t.Context(), pass, mfa.Event{Time: start, Kind: mfa.EventAdmin, User: "alice"})
		}
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	const wrong = mfa.Challenge
	c.open()
	text := issue(false)
	c.expect(start.Add(-time.Minute), text, wrong)
	c.expect(start, text, mfa.Accept)
	c.expect(start.Add(time.Hour), text, wrong)
	c.expect(start.Add(time.Hour-time.Second), text, mfa.Accept)
	once := issue(true)
	c.expect(start.Add(time.Minute), text, wrong)
	c.expect(start.Add(time.Minute), once, mfa.Accept)
	for range 2 {
		c.expect(start.Add(time.Minute), once, wrong)
		c.expect(start, once, wrong)
		if err := c.store.Close(); err != nil {
			t.Fatal(err)
		}
		c.open()
	}
	if err := c.store.Close(); err != nil {
		t.Fatal(err)
	}
}
