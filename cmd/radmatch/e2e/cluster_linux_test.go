package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password/passwordtest"
	"github.com/radmatch/radmatch/mfa/store/postgrestest"
	"github.com/radmatch/radmatch/radius/wire"
)

const clusterClients = `clients:
  - {name: vpn, addresses: [` + hubAddress + `], secret: ` + testSecret + `}
mfa: {reject_delay: 500ms}
limits: {pending: 5000}
`

// TestCluster has two nodes in network namespaces, and a client with both in its list.
//
// It is not parallel: its clients give a node up that is slow.
func TestCluster(t *testing.T) {
	passwordtest.InHost(t, func(t *testing.T) {
		pg := postgrestest.Start(t)
		c := newCluster(t, pg, pg.NewDatabase(t), "none", clusterClients, "vpn-a", "vpn-b")
		a, b := c.nodes[0], c.nodes[1]
		users := a.addUsers("user", 4)
		blocked := a.addUsers("blocked", 60)
		load := a.addUsers("load", 300)
		text, err := os.ReadFile(a.path("users.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		b.write("users.yaml", string(text))
		a.addTOTP(slices.Concat(users, blocked, load)...)
		a.start()
		b.start()
		t.Run("challenge of one, answer at the other", func(t *testing.T) { clusterAnswer(t, c, users[0]) })
		t.Run("the first node dies in between", func(t *testing.T) { clusterDeath(t, c, users[1]) })
		t.Run("block", func(t *testing.T) { clusterBlock(t, c, blocked) })
		t.Run("load", func(t *testing.T) { clusterLoad(t, c, fmt.Sprintf("127.0.0.1:%d", pg.Port), load) })
	})
}

// clusterAnswer signs in with the challenge of one node and the answer to the other. The
// same answer again is no second login, at neither.
func clusterAnswer(t *testing.T, c *cluster, user string) {
	n := c.nas(t)
	n.first = 0
	state := expectFrom(t, n, signIn(user, ""), wire.AccessChallenge, 0).State()
	n.first = 1
	expectFrom(t, n, answerTo(user, state, totp(user, 0)), wire.AccessAccept, 1)
	for first := range c.nodes {
		n.first = first
		state := expectFrom(t, n, signIn(user, ""), wire.AccessChallenge, first).State()
		expectFrom(t, n, answerTo(user, state, totp(user, 0)), wire.AccessReject, first)
	}
}

// clusterDeath kills the node that gave the challenge: the client asks the other one.
func clusterDeath(t *testing.T, c *cluster, user string) {
	n := c.nas(t)
	n.first = 0
	state := expectFrom(t, n, signIn(user, ""), wire.AccessChallenge, 0).State()
	time.Sleep(time.Second) // the user reads the code: a challenge of the last milliseconds would be lost
	c.nodes[0].kill()
	begun := time.Now()
	expectFrom(t, n, answerTo(user, state, totp(user, 0)), wire.AccessAccept, 1)
	t.Logf("accepted by the other node %s after the first was killed, in try %d", time.Since(begun).Round(time.Millisecond), n.used)
	c.nodes[0].start()
}

// expectFrom demands an answer of this kind from this node.
func expectFrom(t *testing.T, n *nasList, q wire.Query, want wire.Code, node int) wire.Answer {
	t.Helper()
	a, from, err := n.ask(q)
	if err != nil || a.Code != want || from != node {
		t.Fatalf("%s: got %v from node %d, %v; want %v from node %d", q.User, a.Code, from, err, want, node)
	}
	return a
}

// clusterBlock blocks users by a command beside one node while they sign in at both: no login
// is accepted that began after the command had returned.
func clusterBlock(t *testing.T, c *cluster, users []string) {
	var work sync.WaitGroup
	var before, after, refused atomic.Int64
	commands := make(chan struct{}, 3) // each opens connections of its own
	for _, user := range users {
		time.Sleep(50 * time.Millisecond) // an offered rate, whatever the answers take
		var returned atomic.Bool
		for first := range c.nodes {
			work.Go(func() {
				n := c.nas(t)
				n.first = first
				for steps := int64(-1); steps <= 1; steps++ {
					late := returned.Load()
					switch ok, err := n.login(user, totp(user, steps)); {
					case err != nil && !errors.Is(err, errNoNode):
						t.Errorf("%s: %v", user, err)
					case !ok:
						refused.Add(1)
					case late:
						after.Add(1)
					default:
						before.Add(1)
					}
				}
			})
		}
		work.Go(func() {
			commands <- struct{}{}
			defer func() { <-commands }()
			c.nodes[int(user[len(user)-1])%2].cli("user", "block", user)
			returned.Store(true)
		})
	}
	work.Wait()
	t.Logf("block: accepted before %d, refused %d, accepted that began after the command had returned %d", before.Load(), refused.Load(), after.Load())
	if after.Load() > 0 || refused.Load() == 0 {
		t.Errorf("got %d accepted after their block, %d refused; want none accepted, and some refused", after.Load(), refused.Load())
	}
}

// login signs in with a passcode, and reports whether the client was told to let the user in.
func (n *nasList) login(user, code string) (accepted bool, err error) {
	a, _, err := n.ask(signIn(user, ""))
	if err != nil || a.Code != wire.AccessChallenge {
		return false, err
	}
	a, _, err = n.ask(answerTo(user, a.State(), code))
	return a.Code == wire.AccessAccept, err
}

// clusterLoad signs users in at both nodes while these are killed, stopped and cut off, with an
// attacker who tries each code again at the other node.
func clusterLoad(t *testing.T, c *cluster, pg string, users []string) {
	a, b := c.nodes[0], c.nodes[1]
	var l clusterTally
	queue := make(chan string, len(users))
	for _, user := range users {
		queue <- user
	}
	close(queue)
	var work sync.WaitGroup
	for i := range 12 {
		work.Go(func() {
			n, attacker := c.nas(t), c.nas(t)
			for user := range queue {
				n.first, attacker.first = i%2, (i+1)%2
				l.signIn(t, n, attacker, user)
			}
		})
	}
	faults := []struct {
		name        string
		begin, mend func()
	}{
		{"kill -9", a.kill, a.start},
		{"SIGSTOP", func() { b.signal(syscall.SIGSTOP) }, func() { b.signal(syscall.SIGCONT) }},
		{"cut off", a.unplug, a.plug},
		{"no database", func() { b.db.lead("") }, func() { b.db.lead(pg) }},
	}
	for _, f := range faults {
		before := l.accepted.Load()
		l.await(t, before+60)
		f.begin()
		l.await(t, before+120) // by the other node
		f.mend()
		t.Logf("%s: %d logins accepted meanwhile", f.name, l.accepted.Load()-before-60)
	}
	work.Wait()
	for _, n := range c.nodes {
		n.awaitReady()
	}
	l.check(t, a)
}

// clusterTally is what the clients were told.
type clusterTally struct {
	logins, accepted, lost, replayed, again atomic.Int64

	mu    sync.Mutex
	users map[string]int64 // accepted logins
}

// signIn signs a user in three times, each with a code of its own, and again where the client
// was told nothing good: the user types the next code.
func (l *clusterTally) signIn(t *testing.T, n, attacker *nasList, user string) {
	for steps := int64(-1); steps <= 1; steps++ {
		code := totp(user, steps)
		l.logins.Add(1)
		ok, err := n.login(user, code)
		switch {
		case err != nil && !errors.Is(err, errNoNode):
			t.Errorf("%s: %v", user, err)
		case !ok:
			l.lost.Add(1)
			continue
		}
		l.accepted.Add(1)
		l.mu.Lock()
		if l.users == nil {
			l.users = map[string]int64{}
		}
		l.users[user]++
		l.mu.Unlock()
		l.replayed.Add(1)
		if ok, _ := attacker.login(user, code); ok {
			l.again.Add(1)
			t.Errorf("%s: the code %d steps from now was accepted for two logins", user, steps)
		}
	}
}

// await waits until so many logins were accepted since the beginning.
func (l *clusterTally) await(t *testing.T, accepted int64) {
	t.Helper()
	for end := time.Now().Add(testTimeout); l.accepted.Load() < accepted; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("got %d accepted logins in %s, want %d", l.accepted.Load(), testTimeout, accepted)
		}
	}
}

// check reads the log: each Accept has its event, no code served two logins, and no login ended
// twice.
func (l *clusterTally) check(t *testing.T, p *clusterNode) {
	events, codes, ends := map[string]int64{}, map[string]int{}, map[string]int{}
	for _, ev := range p.events("") {
		if !strings.HasPrefix(ev.User.String(), "load") {
			continue
		}
		if ev.Kind == mfa.EventLogin && ev.ID != "" {
			ends[ev.ID]++
		}
		if ev.Outcome == mfa.Accept {
			events[ev.User.String()]++
			codes[fmt.Sprintf("%s %d", ev.Token, ev.Step)]++
		}
	}
	without, twice, ended := int64(0), 0, 0
	for user, n := range l.users {
		without += max(0, n-events[user])
	}
	for _, n := range codes {
		if n > 1 {
			twice++
		}
	}
	for _, n := range ends {
		if n > 1 {
			ended++
		}
	}
	t.Logf("load: logins %d, Accepts %d, without event %d, codes twice %d, logins with two ends %d, replays refused %d of %d, not accepted at the first code %d",
		l.logins.Load(), l.accepted.Load(), without, twice, ended, l.replayed.Load()-l.again.Load(), l.replayed.Load(), l.lost.Load())
	if without > 0 || twice > 0 || ended > 0 || l.accepted.Load() == 0 {
		t.Error("got another log than the clients have seen; want each Accept with its event, each code once, each login with one end")
	}
}

// awaitReady waits until the node says that it could accept a login.
func (n *clusterNode) awaitReady() {
	n.t.Helper()
	n.until("/readyz", func() bool {
		resp, err := http.Get("http://" + n.address + ":8080/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}
