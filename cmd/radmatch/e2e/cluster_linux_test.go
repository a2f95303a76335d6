package e2e

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa/password/passwordtest"
	"github.com/radmatch/radmatch/radius/wire"
)

// clusterSite is the configuration beside the network: standby says what a failover leads to.
func clusterSite(database, keys, standby string) func(n *clusterNode) string {
	return func(n *clusterNode) string {
		return fmt.Sprintf(`store: {type: postgres, url: "%s", standby: %s}
seal: {key_file: %s}
clients:
  - {name: vpn, addresses: [%s], secret: %s}
mfa: {reject_delay: 500ms}
limits: {pending: 5000}
`, n.url(database), standby, keys, hubAddress, testSecret)
	}
}

// TestCluster has two nodes in network namespaces, a client with both in its list, and an
// attacker who tries each accepted code again at the other node. RADMATCH_SOAK, a time, has the
// faults come again and again for that long.
//
// It is not parallel: its clients give a node up that is slow.
func TestCluster(t *testing.T) {
	passwordtest.InHost(t, func(t *testing.T) {
		f := newClusterFaults(t)
		c, a := f.c, f.c.nodes[0]
		users := a.addUsers("user", 4)
		blocked := a.addUsers("blocked", 24)
		load := a.addUsers("load", 450)
		text, err := os.ReadFile(a.path("users.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range c.nodes[1:] {
			n.write("users.yaml", string(text))
		}
		a.addTOTP(slices.Concat(users, blocked, load)...)
		for _, n := range c.nodes {
			n.start()
		}
		t.Run("challenge of one, answer at the other", func(t *testing.T) { clusterAnswer(t, c, users[0]) })
		t.Run("the first node dies in between", func(t *testing.T) { clusterDeath(t, c, users[1]) })
		t.Run("block", func(t *testing.T) { clusterBlock(t, c, blocked) })
		t.Run("faults", func(t *testing.T) { f.run(t, load, users[2:]) })
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
