package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/store/postgrestest"
	"github.com/radmatch/radmatch/mfa/store/seal"
	"github.com/radmatch/radmatch/otp"
)

// node is a store that notes what Follow tells.
type node struct {
	*store.Store
	mu   sync.Mutex
	told map[string][]string // the ids of the entries of each user
}

func openNode(t *testing.T, opt store.Options) *node {
	t.Helper()
	s, err := store.Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{Store: s, told: make(map[string][]string)}
	s.Follow(func(ev mfa.Event) {
		n.mu.Lock()
		defer n.mu.Unlock()
		key := ev.User.Key().String()
		n.told[key] = append(n.told[key], ev.ID)
	})
	t.Cleanup(func() { s.Close() })
	return n
}

func (n *node) toldOf(user string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.told[user])
}

// site are options for the nodes of one site, which share the file of the sealing key.
func site(t *testing.T, url, standby string) func(name string) store.Options {
	t.Helper()
	keys := filepath.Join(t.TempDir(), "seal.key")
	return func(name string) store.Options {
		return store.Options{Dir: t.TempDir(), Keys: seal.KeysAt(keys), Server: true, URL: url, Standby: standby, Node: name}
	}
}

func entry(id, user string) mfa.Event {
	return mfa.Event{ID: id, Kind: mfa.EventLogin, Origin: mfa.Origin{User: mfa.NameOf(user), Client: "vpn"}, Plan: mfa.PlanOTP, Reason: mfa.ReasonDefaultOTP, Outcome: mfa.Accept}
}

func versionOf(t *testing.T, s *store.Store, user string) mfa.Version {
	t.Helper()
	u, err := s.User(t.Context(), mfa.NameOf(user))
	if err != nil {
		t.Fatal(err)
	}
	return u.Version
}

// TestGuess: a wrong password at one node is told to the other. It is in nobody's log, and no
// line of the trail.
func TestGuess(t *testing.T) {
	server := postgrestest.Shared(t)
	options := site(t, server.URL(server.NewDatabase(t)), "none")
	a, b := openNode(t, options("a")), openNode(t, options("b"))
	before := versionOf(t, b.Store, "anna")
	ev := mfa.Event{ID: "wrong", Kind: mfa.EventGuess, Origin: mfa.Origin{User: mfa.NameOf("anna"), Client: "vpn", EndUser: "198.51.100.7"}}
	if err := a.Record(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); len(b.toldOf("anna")) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the other node: got nothing; want the entry")
		}
	}
	if at := versionOf(t, b.Store, "anna"); at != before || len(a.toldOf("anna")) != 0 {
		t.Errorf("got version %v, and %v told at its own node; want %v and nothing", at, a.toldOf("anna"), before)
	}
	if entries, err := b.Events(t.Context(), store.Query{Limit: store.MaxLimit}); err != nil || len(entries) != 0 {
		t.Errorf("got %v, %v in the trail; want nothing", entries, err)
	}
}

// TestStatsOfNodes: the statistics of clients are those of all nodes, and a node that starts
// again clears its own only.
func TestStatsOfNodes(t *testing.T) {
	server := postgrestest.Shared(t)
	options := site(t, server.URL(server.NewDatabase(t)), "none")
	a, optionsOfB := openNode(t, options("a")), options("b")
	b := openNode(t, optionsOfB)
	save := func(n *node, c store.ClientStats) {
		t.Helper()
		if err := n.SaveStats(t.Context(), []store.ClientStats{c}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(c store.ClientStats) {
		t.Helper()
		got, err := a.ClientStats(t.Context())
		if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], c) {
			t.Errorf("got %+v, %v; want %+v", got, err, c)
		}
	}
	early, late := time.Unix(1000, 0).UTC(), time.Unix(2000, 0).UTC()
	from := func(at time.Time) []store.UnsignedSource {
		return []store.UnsignedSource{{Addr: netip.MustParseAddr("192.0.2.1"), At: at}}
	}
	save(a, store.ClientStats{Client: "vpn", Packets: 4, Accepts: 3, Mean: 1000, Max: 5, Last: late, UnsignedFrom: from(early)})
	save(b, store.ClientStats{Client: "vpn", Packets: 2, Rejects: 1, Mean: 5000, Max: 9, Last: early, UnsignedFrom: from(late), Refused: map[string]uint64{"signature": 2}})
	want(store.ClientStats{Client: "vpn", Packets: 6, Accepts: 3, Rejects: 1, Mean: 2000, Max: 9, Last: late, UnsignedFrom: from(late), Refused: map[string]uint64{"signature": 2}})

	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	save(openNode(t, optionsOfB), store.ClientStats{Client: "vpn", Packets: 1, Accepts: 1, Mean: 1000})
	want(store.ClientStats{Client: "vpn", Packets: 5, Accepts: 4, Mean: 1000, Max: 5, Last: late, UnsignedFrom: from(early)})
}

// TestLatchesOfNodes: that an address signs, and that this is forgotten, holds at all nodes.
func TestLatchesOfNodes(t *testing.T) {
	server := postgrestest.Shared(t)
	options := site(t, server.URL(server.NewDatabase(t)), "none")
	a, b := openNode(t, options("a")), openNode(t, options("b"))
	addr := netip.MustParseAddr("192.0.2.1")
	until := func(what string, n *node, want bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); n.Latched("vpn", addr) != want; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: got latched %t; want %t", what, !want, want)
			}
		}
	}
	a.Latch("vpn", addr, time.Now())
	until("at the other node", b, true)
	if _, err := b.Unlatch(t.Context(), "vpn", addr, mfa.Event{Kind: mfa.EventAdmin}); err != nil {
		t.Fatal(err)
	}
	until("unlatched there", b, false)
	until("at the first", a, false)
}

// TestTwoNodes appends to the logs of the same users at two nodes at once.
func TestTwoNodes(t *testing.T) {
	server := postgrestest.Shared(t)
	options := site(t, server.URL(server.NewDatabase(t)), "none")
	nodes := []*node{openNode(t, options("a")), openNode(t, options("b"))}
	users := []string{"anna", "bob", "carol"}
	const rounds = 60
	var kept, stale atomic.Int64
	var wg sync.WaitGroup
	for at, n := range nodes {
		for _, user := range users {
			wg.Go(func() {
				for i := range rounds {
					ev := entry(fmt.Sprintf("%s-%d-%d", user, at, i), user)
					if rand.N(2) == 0 {
						ev.Kind, ev.Plan = mfa.EventJoin, mfa.PlanPush // other nodes are told at once
					}
					for {
						err := n.Append(t.Context(), versionOf(t, n.Store, user), ev)
						if err == nil {
							kept.Add(1)
							break
						}
						if !errors.Is(err, mfa.ErrStale) {
							t.Error(err)
							return
						}
						stale.Add(1)
					}
				}
			})
		}
	}
	wg.Wait()
	if want := int64(len(nodes) * len(users) * rounds); kept.Load() != want || stale.Load() == 0 {
		t.Errorf("got %d entries, %d stale; want %d and some", kept.Load(), stale.Load(), want)
	}
	for _, user := range users {
		var orders [][]string
		for _, n := range nodes {
			if err := n.Site().Fresh(t.Context(), mfa.NameOf(user)); err != nil {
				t.Fatal(err)
			}
			if v := versionOf(t, n.Store, user); v.N != 2*rounds {
				t.Errorf("%s: got version %d; want %d", user, v.N, 2*rounds)
			}
			orders = append(orders, n.toldOf(user))
		}
		if len(orders[0]) != 2*rounds || !slices.Equal(orders[0], orders[1]) {
			t.Errorf("%s: the nodes were told of other entries, or in another order\n%v\n%v", user, orders[0], orders[1])
		}
	}
	// What a node folds entry by entry is what it reads at its start.
	third := openNode(t, options("c"))
	for _, user := range users {
		if v := versionOf(t, third.Store, user); v.N != 0 {
			continue // it has an account
		}
		if err := third.Append(t.Context(), versionOf(t, third.Store, user), entry("late", user)); !errors.Is(err, mfa.ErrStale) {
			t.Errorf("%s: on the version of a node that has read nothing: got %v; want ErrStale", user, err)
		}
		if v := versionOf(t, third.Store, user); v.N != 2*rounds {
			t.Errorf("%s: a node that starts has version %d; want %d", user, v.N, 2*rounds)
		}
	}
}

// TestCodeOnceAtTwoNodes offers each code to both nodes at once.
func TestCodeOnceAtTwoNodes(t *testing.T) {
	server := postgrestest.Shared(t)
	options := site(t, server.URL(server.NewDatabase(t)), "none")
	a, b := openNode(t, options("a")), openNode(t, options("b"))
	token := otp.NewTOTP(mfa.NameOf("anna"))
	if err := a.AddToken(t.Context(), token, mfa.Event{}); err != nil {
		t.Fatal(err)
	}
	// The step as package otp compares it, on the version that it was read under.
	use := func(n *node, step int64) error {
		for {
			base := versionOf(t, n.Store, "anna")
			tokens, err := n.Tokens(t.Context(), mfa.NameOf("anna"))
			if err != nil {
				return err
			}
			if len(tokens) == 0 || step < tokens[0].Next {
				return otp.ErrUsed
			}
			ev := entry(fmt.Sprint("use-", step), "anna")
			ev.Take(mfa.Use{Method: "totp", Token: token.ID, Step: step})
			if err := n.Append(t.Context(), base, ev); !errors.Is(err, mfa.ErrStale) {
				return err
			}
		}
	}
	for step := int64(100); step < 160; step++ {
		var won, used atomic.Int64
		var wg sync.WaitGroup
		for _, n := range []*node{a, b, a, b} {
			wg.Go(func() {
				switch err := use(n, step); {
				case err == nil:
					won.Add(1)
				case errors.Is(err, otp.ErrUsed):
					used.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || used.Load() != 3 {
			t.Fatalf("step %d: accepted %d times, used %d times; want 1 and 3", step, won.Load(), used.Load())
		}
	}
	// The row of the token has it too, once it is folded, for a node that starts.
	c := openNode(t, options("c"))
	if err := use(c, 159); !errors.Is(err, otp.ErrUsed) {
		t.Errorf("at a node that starts: got %v; want ErrUsed", err)
	}
}

// TestCommandAtNodes: what a command has changed is in force at each node when it returns.
func TestCommandAtNodes(t *testing.T) {
	server := postgrestest.Shared(t)
	options := site(t, server.URL(server.NewDatabase(t)), "none")
	nodes := []*node{openNode(t, options("a")), openNode(t, options("b"))}
	command := options("")
	command.Server = false
	c := openNode(t, command)
	base := []mfa.Version{versionOf(t, nodes[0].Store, "eve"), versionOf(t, nodes[1].Store, "eve")}
	if err := c.SetBlocked(t.Context(), mfa.NameOf("eve"), true, mfa.Event{}); err != nil {
		t.Fatal(err)
	}
	for i, n := range nodes {
		if u, err := n.User(t.Context(), mfa.NameOf("eve")); err != nil || !u.Blocked {
			t.Errorf("node %d: got %+v, %v; want blocked", i, u, err)
		}
		if err := n.Append(t.Context(), base[i], entry("late", "eve")); !errors.Is(err, mfa.ErrStale) {
			t.Errorf("node %d: decided before the block: got %v; want ErrStale", i, err)
		}
	}
	if _, err := c.BeginBypass(t.Context(), mfa.Bypass{Group: mfa.GroupOf("staff"), Reason: "test"}, time.Minute, mfa.Event{}); err != nil {
		t.Fatal(err)
	}
	for i, n := range nodes {
		if list := n.Bypasses(); len(list) != 1 {
			t.Errorf("node %d: got %d bypasses; want the one", i, len(list))
		}
	}
}

// TestSilentNode: a command says which node has not taken over what it has changed.
func TestSilentNode(t *testing.T) {
	server := postgrestest.Shared(t)
	database := server.NewDatabase(t)
	options := site(t, server.URL(database), "none")
	openNode(t, options("a"))
	server.Exec(t, database, `INSERT INTO nodes (name, beat) VALUES ('vpn-b', now() + interval '1 minute'), ('vpn-c', now() - interval '1 minute')`)
	command := options("")
	command.Server = false
	err := openNode(t, command).SetBlocked(t.Context(), mfa.NameOf("eve"), true, mfa.Event{})
	if !errors.Is(err, store.ErrNotSeen) || !strings.Contains(err.Error(), "vpn-b") || strings.Contains(err.Error(), "vpn-c") {
		t.Errorf("got %v; want ErrNotSeen that names vpn-b, and not one that has ended", err)
	}
}

// TestTurnStates: the tables of challenges are emptied in turn, and none that is open goes.
func TestTurnStates(t *testing.T) {
	server := postgrestest.Shared(t)
	database := server.NewDatabase(t)
	s := openNode(t, site(t, server.URL(database), "none")("a"))
	states := s.Site()
	keep := func(expires time.Duration) string {
		state := mfa.OpenState{State: states.NewState(), User: mfa.NameOf("anna").Key(), Login: "l1", Expires: time.Now().Add(expires)}
		states.KeepState(state)
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
			if server.Count(t, database, `SELECT count(*) FROM (SELECT run FROM states0 UNION ALL SELECT run FROM states1) s`) > 0 {
				break
			}
		}
		return state.State
	}
	open := keep(time.Hour)
	for range 3 { // the table that is not written is empty, then has what is open
		if err := s.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := states.FindState(t.Context(), open); err != nil || found == nil {
		t.Errorf("got %v, %v; want the open challenge", found, err)
	}
	server.Exec(t, database, `UPDATE states0 SET expires = 0`)
	server.Exec(t, database, `UPDATE states1 SET expires = 0`)
	for range 2 {
		if err := s.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := server.Count(t, database, `SELECT count(*) FROM (SELECT run FROM states0 UNION ALL SELECT run FROM states1) s`); n != 0 {
		t.Errorf("got %d challenges that are over; want none", n)
	}
}

// TestSiteStates: a challenge that one node gives out is found at the other one.
func TestSiteStates(t *testing.T) {
	server := postgrestest.Shared(t)
	options := site(t, server.URL(server.NewDatabase(t)), "none")
	a, b := openNode(t, options("a")).Site(), openNode(t, options("b")).Site()
	state := mfa.OpenState{State: a.NewState(), User: mfa.NameOf("anna").Key(), Login: "l1", Tries: 1, Expires: time.Now().Add(time.Minute).Truncate(time.Microsecond).UTC(), Data: []byte("secret")}
	if len(state.State) != 32 || state.State == b.NewState() {
		t.Errorf("got State %q; want 32 octets of its own", state.State)
	}
	a.KeepState(state)
	var found *mfa.OpenState
	var err error
	for end := time.Now().Add(10 * time.Second); found == nil && err == nil && time.Now().Before(end); {
		found, err = b.FindState(t.Context(), state.State)
	}
	if err != nil || found == nil || fmt.Sprint(*found) != fmt.Sprint(state) {
		t.Fatalf("got %+v, %v; want %+v", found, err, state)
	}
	guess := []byte(state.State)
	if guess[31]++; guess[31] > 'Z' {
		guess[31] = 'A'
	}
	for _, other := range []string{string(guess), "", "x", b.NewState()} {
		if got, err := b.FindState(t.Context(), other); got != nil || err != nil {
			t.Errorf("State %q: got %v, %v; want none", other, got, err)
		}
	}
	if string(a.Derive("number", "l1")) != string(b.Derive("number", "l1")) || string(a.Derive("number", "l1")) == string(a.Derive("numbe", "rl1")) {
		t.Error("derived values: got others at the nodes, or the same of other data")
	}
}

// TestStatesAtTheEnd: a challenge that a node gives out in its last moment goes on at another.
func TestStatesAtTheEnd(t *testing.T) {
	server := postgrestest.Shared(t)
	options := site(t, server.URL(server.NewDatabase(t)), "none")
	a, b := openNode(t, options("a")), openNode(t, options("b")).Site()
	var given []string
	for i := range 20 {
		at := a.Site()
		state := mfa.OpenState{State: at.NewState(), User: mfa.NameOf("anna").Key(), Login: fmt.Sprint("l", i), Expires: time.Now().Add(time.Minute), Data: []byte("secret")}
		at.KeepState(state)
		given = append(given, state.State)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	for i, state := range given {
		if found, err := b.FindState(t.Context(), state); err != nil || found == nil {
			t.Errorf("challenge %d: got %v, %v; want it", i, found, err)
		}
	}
}

// load appends entries for users at a node until stop, and notes which were acknowledged.
type load struct {
	n      *node
	mu     sync.Mutex
	acked  map[string]bool
	failed map[string]bool
	wg     sync.WaitGroup
	stop   context.CancelFunc
	count  atomic.Int64
}

func begin(t *testing.T, n *node, users int) *load {
	ctx, stop := context.WithCancel(context.Background())
	l := &load{n: n, acked: make(map[string]bool), failed: make(map[string]bool), stop: stop}
	for u := range users {
		user := fmt.Sprint("user", u)
		l.wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				ev := entry(fmt.Sprintf("%s-%d", user, i), user)
				for ctx.Err() == nil {
					at, err := n.User(context.Background(), mfa.NameOf(user))
					if err == nil {
						err = n.Append(context.Background(), at.Version, ev)
					}
					if errors.Is(err, mfa.ErrStale) {
						continue
					}
					l.mu.Lock()
					if err == nil {
						l.acked[ev.ID] = true
					} else {
						l.failed[ev.ID] = true
					}
					l.mu.Unlock()
					l.count.Add(1)
					break
				}
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) end() { l.stop(); l.wg.Wait() }

// await returns when that many more entries were appended.
func (l *load) await(t *testing.T, more int64) {
	t.Helper()
	from := l.count.Load()
	for end := time.Now().Add(40 * time.Second); l.count.Load() < from+more; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("got %d entries within 40 s; want %d", l.count.Load()-from, more)
		}
	}
}

// check compares the trail with what was acknowledged. lost is how many may be missing.
func (l *load) check(t *testing.T, lost bool) (missing int) {
	t.Helper()
	l.end()
	times := make(map[string]int)
	for after := int64(0); ; {
		entries, err := l.n.Events(t.Context(), store.Query{After: after, Since: time.UnixMicro(1), Limit: store.MaxLimit})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Event.Kind == mfa.EventLogin {
				times[e.Event.ID]++
			}
			after = e.Seq
		}
		if len(entries) < store.MaxLimit {
			break
		}
	}
	for id := range l.acked {
		switch {
		case times[id] > 1:
			t.Errorf("entry %s: %d times in the trail", id, times[id])
		case times[id] == 0:
			missing++
		}
	}
	if missing > 0 && !lost {
		t.Errorf("%d of %d acknowledged entries are not in the trail", missing, len(l.acked))
	}
	for id := range times {
		if times[id] > 1 {
			t.Errorf("entry %s: %d times in the trail", id, times[id])
		}
	}
	return missing
}
