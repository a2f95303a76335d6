package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/radius/caller"
	"github.com/radmatch/radmatch/radius/wire"
)

// A server that is killed between challenge and answer, and right after an
// Accept, accepts no login by what it has forgotten.
func TestKilled(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+siteClient)
	p.addTOTP("alice")
	p.start()
	s := p.nasSocket("127.0.0.1")
	state := s.expect(signIn("alice", ""), wire.AccessChallenge).State()
	p.kill()
	p.start()
	s = p.nasSocket("127.0.0.1")
	right := totp("alice", 0)
	s.expect(answerTo("alice", state, right), wire.AccessReject)
	state = s.expect(signIn("alice", ""), wire.AccessChallenge).State()
	s.expect(answerTo("alice", state, right), wire.AccessAccept)
	p.kill()
	p.start()
	s = p.nasSocket("127.0.0.1")
	state = s.expect(signIn("alice", ""), wire.AccessChallenge).State()
	s.expect(answerTo("alice", state, right), wire.AccessReject)
	if n := p.counts("alice")["accept default_otp"]; n != 1 {
		t.Errorf("%d accepts in the trail, want 1", n)
	}
}

// threeWrongCodes is a login that ends because no code was right.
func (s *nasSocket) threeWrongCodes(user string) {
	s.t.Helper()
	a := s.expect(signIn(user, ""), wire.AccessChallenge)
	for _, want := range []wire.Code{wire.AccessChallenge, wire.AccessChallenge, wire.AccessReject} {
		a = s.expect(answerTo(user, a.State(), "000000"), want)
	}
}

// Killing the server forgives neither wrong codes nor denied prompts.
func TestKilledForgivesNothing(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+siteClient+`lockout: {passcodes: 3}
fatigue: {prompts: 1}
`)
	p.addTOTP("alice")
	p.start()
	ph := p.enroll("bob")
	s := p.nasSocket("127.0.0.1")
	s.threeWrongCodes("alice")
	r := s.start(signIn("bob", ""))
	ph.decide(ph.prompt(), device.ActionDeny, "")
	s.answer(r)
	p.kill()
	p.start()
	s = p.nasSocket("127.0.0.1")
	s.expect(signIn("alice", ""), wire.AccessReject)
	s.expect(signIn("bob", ""), wire.AccessReject) // recently denied
	s.expect(signIn("bob", "192.0.2.9"), wire.AccessChallenge)
	if got := p.counts("alice"); got["reject codes_locked"] != 2 { // the third wrong one, and this
		t.Errorf("events of alice %v, want codes_locked", got)
	}
	if !p.enroll("bob").prompt().NumberRequired { // no plain approve/deny any more
		t.Error("got a plain approve/deny for bob; want a number to type")
	}
}

// The second lock is longer than the first, over the death of the server, and the
// first one is reported. A right code in between makes it the first again.
func TestKilledBetweenLocks(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+siteClient+`lockout: {passcodes: 3, window: 1m, for: 5s}
`)
	p.addTOTP("alice")
	lock := func(want int) {
		t.Helper()
		p.start()
		s := p.nasSocket("127.0.0.1")
		s.threeWrongCodes("alice")
		s.expect(signIn("alice", ""), wire.AccessReject)
		var last *mfa.WrongCodes
		reports := strings.Count(p.cli("events", "--json", "--user", "alice"), `"kind":"report"`)
		for _, ev := range p.events("alice") {
			if ev.WrongCodes != nil {
				last = ev.WrongCodes
			}
		}
		if last == nil || last.Locks != want || last.Row != 3*want || last.Until.Sub(last.Since) != 5*time.Second<<(want-1) || reports != 1 {
			t.Fatalf("lock %d: %+v, %d reports", want, last, reports)
		}
		p.kill()
		time.Sleep(time.Until(last.Until))
	}
	lock(1)
	lock(2)
	p.start()
	s := p.nasSocket("127.0.0.1")
	a := s.expect(signIn("alice", ""), wire.AccessChallenge)
	s.expect(answerTo("alice", a.State(), totp("alice", 0)), wire.AccessAccept)
	p.kill()
	p.start()
	s = p.nasSocket("127.0.0.1")
	a = s.expect(signIn("alice", ""), wire.AccessChallenge)
	s.expect(answerTo("alice", a.State(), "000000"), wire.AccessChallenge)
	s.expect(answerTo("alice", s.expect(signIn("alice", ""), wire.AccessChallenge).State(), totp("alice", 1)), wire.AccessAccept)
}

// A wrong code after an unblocking is not forgiven either, though the lock that was
// taken away with it would still hold.
func TestKilledAfterUnblock(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+siteClient+`lockout: {passcodes: 3}
fatigue: {prompts: 1}
`)
	p.addTOTP("alice")
	p.start()
	ph := p.enroll("bob")
	s := p.nasSocket("127.0.0.1")
	for i := range 2 {
		p.cli("user", "unblock", "alice")
		p.cli("user", "unblock", "bob")
		s.threeWrongCodes("alice")
		r := s.start(signIn("bob", fmt.Sprintf("192.0.2.%d", i)))
		ph.decide(ph.prompt(), device.ActionDeny, "")
		s.answer(r)
	}
	p.kill()
	p.start()
	s = p.nasSocket("127.0.0.1")
	s.expect(signIn("alice", ""), wire.AccessReject)
	if got := p.counts("alice"); got["reject codes_locked"] != 3 { // each third wrong one, and this
		t.Errorf("events of alice %v, want codes_locked", got)
	}
	a := s.expect(signIn("bob", "192.0.2.9"), wire.AccessChallenge)
	if !strings.HasPrefix(a.Message(), "Type ") {
		t.Errorf("bob was told %q, and a plain approval would do; want \"Type \" first", a.Message())
	}
}

// storm is many users who sign in at once, each with one code, again and again,
// while the server dies and comes back.
type storm struct {
	p      *serverProcess
	users  []string
	codes  map[string]string
	accept atomic.Int64 // Accepts that reached a NAS

	mu      sync.Mutex
	got     map[string]int // Accepts that reached a NAS, by user
	endUser int
	free    map[string]bool // end-user fields let in by the exempt client
}

const stormClients = `clients:
  - {name: vpn, addresses: [127.0.0.1], secret: ` + testSecret + `}
  - {name: exempt, addresses: [127.0.0.2], secret: ` + testSecret + `, exempt_client: true}
mfa: {reject_delay: 500ms}
`

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
	secret := wire.NewSecret([]byte(testSecret))
	vpn := &caller.Caller{Addr: st.p.radius[0], Local: netip.MustParseAddr("127.0.0.1"), Secret: secret}
	q := signIn(user, "")
	a, err := vpn.Exchange(ctx, &q)
	if err != nil || a.Code != wire.AccessChallenge {
		return
	}
	q = answerTo(user, a.State(), st.codes[user])
	if a, err = vpn.Exchange(ctx, &q); err == nil && a.Code == wire.AccessAccept {
		st.mu.Lock()
		st.got[user]++
		st.mu.Unlock()
		accepted()
	}
	st.mu.Lock()
	st.endUser++
	endUser := fmt.Sprintf("origin-%d", st.endUser)
	st.mu.Unlock()
	exempt := &caller.Caller{Addr: st.p.radius[0], Local: netip.MustParseAddr("127.0.0.2"), Secret: secret}
	q = signIn(user, endUser)
	if a, err = exempt.Exchange(ctx, &q); err == nil && a.Code == wire.AccessAccept {
		st.mu.Lock()
		st.free[endUser] = true
		st.mu.Unlock()
		accepted()
	}
}

// The server is killed in a storm of logins, three times. No code lets in twice,
// and anyone who was let in stands in the trail.
func TestKilledInStorm(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+stormClients)
	st := &storm{p: p, users: p.addUsers("user", 90), codes: map[string]string{}, got: map[string]int{}, free: map[string]bool{}}
	p.addTOTP(st.users...)
	for _, user := range st.users {
		st.codes[user] = totp(user, 1) // the next step's is good for the longest time
	}
	for _, limit := range []int64{20, 50, 40, 0} {
		p.start()
		st.round(limit)
	}
	events, endUsers := map[string]int{}, map[string]int{}
	for _, ev := range p.events("") {
		switch {
		case ev.Outcome != mfa.Accept:
		case ev.Client == "exempt":
			endUsers[ev.EndUser]++
		default:
			events[ev.User.String()]++
		}
	}
	for _, user := range st.users {
		// An Accept may have been lost with the server; then only the event is there.
		if events[user] != 1 || st.got[user] > 1 {
			t.Errorf("%s: %d events of an accept, %d Accepts; want 1 and at most 1", user, events[user], st.got[user])
		}
	}
	for endUser := range st.free {
		if endUsers[endUser] != 1 {
			t.Errorf("%s was let in and has %d events; want 1", endUser, endUsers[endUser])
		}
	}
	if len(st.free) == 0 || len(st.got) == 0 {
		t.Error("got no login that was accepted: the test shows nothing")
	}
}

// Reloads in a storm of logins lose none and let none in twice.
func TestReloadInStorm(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+stormClients)
	st := &storm{p: p, users: p.addUsers("user", 90), codes: map[string]string{}, got: map[string]int{}, free: map[string]bool{}}
	p.addTOTP(st.users...)
	for _, user := range st.users {
		st.codes[user] = totp(user, 1)
	}
	p.start()
	over := make(chan struct{})
	go func() {
		defer close(over)
		st.round(0)
	}()
	reloads := 0
	for going := true; going; reloads++ {
		p.signal(syscall.SIGHUP)
		p.until("reloaded", func() bool { return strings.Count(p.log(), `"msg":"reloaded"`) > reloads })
		select {
		case <-over:
			going = false
		default:
		}
	}
	for _, user := range st.users {
		if st.got[user] != 1 {
			t.Errorf("%s was let in %d times, want 1", user, st.got[user])
		}
	}
	if n := len(st.free); n != len(st.users) {
		t.Errorf("%d logins that need no code were accepted, want %d", n, len(st.users))
	}
	p.stop()
}
