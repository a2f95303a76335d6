package store_test

import (
	"encoding/base32"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/hotp"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/postgrestest"
	"github.com/radmatch/radmatch/otp"
	"github.com/radmatch/radmatch/otp/otptest"
)

// TestNodeClock: a node whose clock is off is not ready. Whatever it takes for the time, no
// code lets in twice, and the code of now lets in at the other node.
func TestNodeClock(t *testing.T) {
	for _, off := range []time.Duration{40 * time.Second, -40 * time.Second} {
		t.Run(off.String(), func(t *testing.T) {
			server := postgrestest.Shared(t)
			options := site(t, server.URL(server.NewDatabase(t)), "none")
			wrong := options("b")
			wrong.Now = func() time.Time { return time.Now().Add(off) }
			a, b := openNode(t, options("a")), openNode(t, wrong)
			c := clockCodes{t: t, nodes: []*node{a, b}, token: otp.NewTOTP(mfa.NameOf("anna"))}
			if err := a.AddToken(t.Context(), c.token, mfa.Event{}); err != nil {
				t.Fatal(err)
			}
			at := time.Now()
			c.verifiers = []*otp.Verifier{
				{Store: a.Store, Now: func() time.Time { return at }},
				{Store: b.Store, Now: func() time.Time { return at.Add(off) }},
			}
			now := at.Unix() / int64(c.token.Period)
			for step := now - 4; step <= now+4; step++ {
				if won := c.offer(step); won > 1 || won == 0 && step == now {
					t.Errorf("the code of step %+d: accepted %d times; want once at most, and that of now once", step-now, won)
				}
			}
			for step := now + 4; step >= now-4; step-- {
				if won := c.offer(step); won > 0 {
					t.Errorf("the code of step %+d again: accepted %d times; want none", step-now, won)
				}
			}
			for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
				if err := b.Ready(); err != nil && strings.Contains(err.Error(), "the clock of this machine is ") {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("got %v of the node whose clock is off; want that it says so", b.Ready())
				}
			}
			if err := a.Ready(); err != nil {
				t.Errorf("the other node: got %v; want that it is ready", err)
			}
		})
	}
}

// clockCodes offers codes of a token to nodes.
type clockCodes struct {
	t         *testing.T
	nodes     []*node
	verifiers []*otp.Verifier
	token     otp.Token
}

// offer brings the code of a step to all nodes twice, at once, and returns how often it is
// accepted.
func (c *clockCodes) offer(step int64) int64 {
	code, err := hotp.GenerateCode(base32.StdEncoding.EncodeToString(c.token.Secret), uint64(step))
	if err != nil {
		c.t.Fatal(err)
	}
	var won atomic.Int64
	var wg sync.WaitGroup
	for i := range 2 * len(c.nodes) {
		wg.Go(func() {
			n := i % len(c.nodes)
			if otptest.Login(c.t.Context(), c.verifiers[n], c.nodes[n].Store, code, entry(fmt.Sprint("use-", step, "-", i), "anna")) == nil {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	return won.Load()
}
