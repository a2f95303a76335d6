package login

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/radmatch/radmatch/mfa"
)

// scenario is what happens to a user at two nodes, in every order.
type scenario struct {
	user  string
	setup func(w *world) // before, in one order
	acts  []happening
	kills bool // each node may be killed, once
	loses int  // a failover may lose so many entries
	reads bool // what a node reads of a login takes its time
}

// happening is something that happens once. Where it must come after others, after says which.
type happening struct {
	name  string
	after string
	do    func(w *world)
}

// move is a step that a world can take next.
type move struct {
	name string
	take func()
}

// moves are those that w can take, in an order that depends on nothing else.
func (s *scenario) moves(w *world) (list []move) {
	for _, a := range s.acts {
		if !w.has(a.name) && (a.after == "" || w.has(a.after)) {
			list = append(list, move{a.name, func() { a.do(w) }})
		}
	}
	for i, a := range w.sorted() {
		switch {
		case a.n.dead:
		case a.committed || a.refused:
			list = append(list, move{fmt.Sprintf("answer %d", i), func() { w.acknowledge(a) }})
		default:
			list = append(list, move{fmt.Sprintf("commit %d", i), func() { w.commit(a) }})
		}
	}
	for i, r := range w.readings {
		if !r.n.dead {
			list = append(list, move{fmt.Sprintf("read %d", i), func() { w.arrive(r) }})
		}
	}
	for _, n := range w.nodes {
		if n.dead {
			continue
		}
		if n.applied < len(w.log) && n.epoch == w.epoch {
			list = append(list, move{"feed " + n.name, func() { n.refresh(n.applied + 1) }})
		}
		if s.kills && !w.nodes[0].dead && !w.nodes[1].dead {
			list = append(list, move{"kill " + n.name, func() { w.kill(n) }})
		}
	}
	if s.loses > 0 && w.epoch == 1 && len(w.log) > 0 {
		for k := range min(s.loses, len(w.log)) + 1 {
			list = append(list, move{fmt.Sprintf("failover, losing %d", k), func() { w.failover(k) }})
		}
	}
	return list
}

func (w *world) has(act string) bool {
	for _, d := range w.did {
		if d == act {
			return true
		}
	}
	return false
}

// key tells worlds apart from which different things can follow.
func (w *world) key() [32]byte {
	var b strings.Builder
	ids := make(map[string]int)
	id := func(s string) int {
		if _, ok := ids[s]; !ok {
			ids[s] = len(ids)
		}
		return ids[s]
	}
	for _, ev := range w.log {
		fmt.Fprintln(&b, "log", ev.Kind, ev.Reason, ev.Outcome, ev.Token, ev.Tries, id(ev.ID))
	}
	for _, a := range w.sorted() {
		fmt.Fprintln(&b, "waits", a.n.name, a.base, a.ev.Kind, a.ev.Reason, a.ev.Outcome, id(a.ev.ID), a.committed, a.refused)
	}
	for _, r := range w.readings {
		fmt.Fprintln(&b, "reads", r.n.name, id(r.login), len(r.list))
	}
	fmt.Fprintln(&b, w.epoch, w.blocked, len(w.lost))
	for _, a := range w.answers {
		fmt.Fprint(&b, a.name)
		if len(a.got) == 0 {
			fmt.Fprint(&b, " waits since ", a.began, " ", a.applied)
		}
		for _, d := range a.got {
			fmt.Fprint(&b, d.Outcome, d.Reason, id(d.LoginID))
		}
		fmt.Fprintln(&b)
	}
	for _, n := range w.nodes {
		if !n.dead {
			n.describe(&b, id)
		}
	}
	did := slices.DeleteFunc(slices.Clone(w.did), func(s string) bool {
		kind, _, _ := strings.Cut(s, " ")
		return slices.Contains([]string{"commit", "answer", "feed", "read"}, kind) // they are in the log
	})
	slices.Sort(did)
	fmt.Fprintln(&b, did)
	return sha256.Sum256([]byte(b.String()))
}

// describe writes all that a node knows.
func (n *node) describe(b *strings.Builder, id func(string) int) {
	fmt.Fprintln(b, n.name, n.applied, n.epoch, n.account.Blocked, len(n.used), len(n.phones))
	p := n.Pending
	for user, lock := range n.Limits.codes.m {
		fmt.Fprintln(b, user, lock.Row, lock.Locks, len(lock.times))
	}
	for _, far := range p.elsewhere {
		fmt.Fprintln(b, "elsewhere", id(far.ID), far.approved != nil, len(far.Requests))
	}
	var logins []string
	for _, l := range p.logins {
		s := fmt.Sprint(id(l.ID), l.Plan, l.Wrong, l.tried, l.appending, l.deciding, l.approved != nil, l.stood, l.endedBy != nil, l.copied, len(l.waiters), len(l.Requests), l.deadline.IsZero())
		for _, c := range l.challenges {
			s += fmt.Sprint(c.state, c.answered, c.approved, c.awaitsDevice, c.brought, c.tries, c.answer == "", len(c.packets))
		}
		logins = append(logins, s)
	}
	slices.Sort(logins)
	fmt.Fprintln(b, logins, len(p.denied), len(p.memory.origins), len(p.turns.m))
}

// sorted are the entries that are on their way, in an order that depends on nothing else.
func (w *world) sorted() []*appending {
	list := slices.Clone(w.waiting)
	slices.SortStableFunc(list, func(a, b *appending) int { return strings.Compare(a.order(), b.order()) })
	return list
}

func (a *appending) order() string {
	return fmt.Sprint(a.n.name, a.ev.Kind, a.ev.Outcome, a.ev.Reason, a.ev.Plan, a.ev.Token)
}

// explore tries every order of the steps of s, and returns how many worlds there are and
// the first that breaks a rule.
func (s *scenario) explore(t *testing.T, m mutant, most int) (states int, fault string) {
	strays := 0 // a step of a replay was not there: goroutines ran in another order
	seen := make(map[[32]byte]bool)
	todo := [][]int{nil} // which move was taken at each step
	for len(todo) > 0 && fault == "" && states < most {
		path := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, s.user, m)
			w.slow = s.reads
			defer w.end()
			s.begin(w)
			for i := 0; ; i++ {
				moves := s.moves(w)
				if i >= len(path) {
					if k := w.key(); seen[k] {
						return
					} else {
						seen[k] = true
					}
					states++
					for other := len(moves) - 1; other > 0; other-- {
						todo = append(todo, append(path[:len(path):len(path)], other))
					}
					path = append(path[:len(path):len(path)], 0)
				}
				if len(moves) == 0 {
					w.settled()
				}
				if len(w.faults) > 0 {
					fault = fmt.Sprintf("%s: %s", strings.Join(w.faults, "; "), strings.Join(w.did, ", "))
				}
				if len(moves) == 0 || fault != "" {
					return
				}
				if path[i] >= len(moves) {
					strays++
					return
				}
				moves[path[i]].take()
				w.did = append(w.did, moves[path[i]].name)
				synctest.Wait()
			}
		})
	}
	if strays > max(20, states/10) {
		t.Errorf("%d of %d worlds were not the same again; want a tenth at most", strays, states)
	}
	return states, fault
}

// begin is the part that happens in one order.
func (s *scenario) begin(w *world) {
	if s.setup == nil {
		return
	}
	s.setup(w)
	w.calm()
}

// calm lets everything that waits be committed, answered and applied.
func (w *world) calm() {
	for {
		synctest.Wait()
		if len(w.readings) > 0 {
			w.arrive(w.readings[0])
			continue
		}
		if len(w.waiting) == 0 {
			break
		}
		w.commit(w.waiting[0])
		w.acknowledge(w.waiting[0])
	}
	for _, n := range w.nodes {
		n.refresh(len(w.log))
	}
	synctest.Wait()
}

// challenged is a request that was answered with a challenge, before the checker begins.
func (w *world) challenged(n *node, name string) (state string) {
	w.send(n, name, &mfa.Request{EndUser: "198.51.100.7" + name})
	w.calm()
	a := w.answers[len(w.answers)-1]
	if len(a.got) != 1 || a.got[0].Outcome != mfa.Challenge {
		w.t.Fatalf("%s: got %+v, want a challenge", name, a.got)
	}
	return a.got[0].State
}

func answerTo(i int, state *string, name, text string) func(w *world) {
	return func(w *world) {
		w.send(w.nodes[i], name, &mfa.Request{State: *state, Cred: mfa.Password(text), EndUser: "198.51.100.7"})
	}
}

// asks is a request at a node from the one origin.
func asks(i int, name string) func(w *world) {
	return func(w *world) { w.send(w.nodes[i], name, &mfa.Request{EndUser: "198.51.100.7"}) }
}

// decides is what a device that is connected to a node does with the prompt that it shows.
func decides(i int, err error) func(w *world) {
	return func(w *world) {
		n := w.nodes[i]
		go n.Show(w.user) // it may wait for an entry that is on its way
		synctest.Wait()
		w.mu.Lock()
		var shown *shownPrompt
		for _, g := range n.phones {
			shown = g
		}
		w.mu.Unlock()
		if shown != nil {
			shown.decide <- err
		}
	}
}

// blocks is a command. No login that begins after it may be accepted.
func blocks(w *world) {
	w.log = append(w.log, mfa.Event{Kind: mfa.EventChange, ID: "command", Origin: mfa.Origin{User: w.user}, Details: mfa.Details{Text: "block"}})
	w.blocked = len(w.log)
}

func scenarios() map[string]*scenario {
	var s1, s2 string
	code := func(w *world) { s1, s2 = w.challenged(w.nodes[0], "first"), w.challenged(w.nodes[1], "second") }
	prompt := func(w *world) { asks(0, "request 1")(w); w.calm() }
	return map[string]*scenario{
		"a code, the same answer, a replay, an older code, a block": {user: "bob", setup: code, acts: []happening{
			{"code", "", answerTo(0, &s1, "code 155555 at A", "155555")},
			{"the same answer", "", answerTo(1, &s1, "code 155555 at B", "155555")},
			{"replay", "", answerTo(1, &s2, "code 155555 again", "155555")},
			{"block", "", blocks},
		}},
		"a code, and an older one": {user: "bob", setup: code, kills: true, reads: true, acts: []happening{
			{"code", "", answerTo(0, &s1, "code 155555 at A", "155555")},
			{"older", "", answerTo(1, &s2, "code 122222 at B", "122222")},
			{"the same answer", "code", answerTo(1, &s1, "code 155555 at B", "155555")},
		}},
		"the same answer after a block": {user: "bob", setup: code, acts: []happening{
			{"code", "", answerTo(0, &s1, "code 155555 at A", "155555")},
			{"block", "code", blocks},
			{"the same answer", "block", answerTo(1, &s1, "code 155555 at B", "155555")},
		}},
		"guesses": {user: "bob", setup: code, reads: true, acts: []happening{
			{"guess 1", "", answerTo(0, &s1, "guess 1", "000001")},
			{"guess 2", "", answerTo(1, &s2, "guess 2", "000002")},
			{"guess 3", "", answerTo(1, &s1, "guess 3", "000003")},
		}},
		"two requests, approved and denied": {user: "alice", setup: prompt, acts: []happening{
			{"join", "", asks(1, "request 2")},
			{"approve", "", decides(1, nil)},
			{"deny", "", decides(0, mfa.ErrRejected)},
			{"block", "", blocks},
		}},
		"three requests, two approvals": {user: "alice", setup: prompt, acts: []happening{
			{"join at B", "", asks(1, "request 2")},
			{"join at A", "", asks(0, "request 3")},
			{"approve at A", "", decides(0, nil)},
			{"approve at B", "", decides(1, nil)},
		}},
		"a prompt at each node": {user: "alice", kills: true, reads: true, acts: []happening{
			{"A", "", asks(0, "request 1")},
			{"B", "", asks(1, "request 2")},
			{"approve at A", "A", decides(0, nil)},
		}},
		"a prompt at each node, a device at both": {user: "alice", setup: func(w *world) {
			for _, n := range w.nodes {
				n.Watched = func(mfa.Name) bool { return true }
			}
		}, acts: []happening{
			{"A", "", asks(0, "request 1")},
			{"B", "", asks(1, "request 2")},
			{"approve at B", "B", decides(1, nil)},
		}},
		"an approval that nothing waits for": {user: "alice", setup: func(w *world) {
			for _, n := range w.nodes {
				n.client.NumberInPrompt = true
			}
			s1 = w.challenged(w.nodes[0], "first")
		}, acts: []happening{
			{"approve", "", decides(1, nil)},
			{"OK at A", "", answerTo(0, &s1, "OK at A", "")},
			{"OK at B", "", answerTo(1, &s1, "OK at B", "")},
			{"block", "", blocks},
		}},
		"the code of a device": {user: "alice", reads: true, setup: func(w *world) {
			for _, n := range w.nodes {
				n.client.NumberFromDevice, n.client.ShowsMessage = true, false
			}
			s1 = w.challenged(w.nodes[0], "first")
		}, acts: []happening{
			{"approve", "", decides(1, nil)},
			{"right at A", "", func(w *world) { w.typesDeviceCode(0, s1, "typed at A") }},
			{"wrong at A", "", answerTo(0, &s1, "wrong at A", "000000")},
			{"right at B", "", func(w *world) { w.typesDeviceCode(1, s1, "typed at B") }},
		}},
		"an approval that is remembered": {user: "alice", setup: func(w *world) {
			for _, n := range w.nodes {
				n.client.Remember = 1 << 40
			}
			asks(0, "request 1")(w)
			w.calm()
			decides(0, nil)(w)
			w.calm()
		}, acts: []happening{
			{"again at A", "", asks(0, "again at A")},
			{"again at B", "", asks(1, "again at B")},
			{"block", "", blocks},
		}},
		"a code with the password": {user: "bob", setup: func(w *world) {
			for _, n := range w.nodes {
				n.client.Append = mfa.AppendSuffix
			}
		}, acts: []happening{
			{"at A", "", appends(0, "code 155555 at A")},
			{"at B", "", appends(1, "code 155555 at B")},
			{"block", "", blocks},
		}},
		"a request that its client gives up, and an approval": {user: "alice", setup: func(w *world) {
			asks(0, "request 1")(w)
			w.calm()
		}, acts: []happening{
			{"late", "", func(w *world) { w.degrades(0) }},
			{"approve", "", decides(1, nil)},
			{"join", "", asks(1, "request 2")},
		}},
		"a question of the primary": {user: "bob", setup: func(w *world) {
			for _, n := range w.nodes {
				up := &asker{primary: &primary{}}
				n.client.Primary, n.client.Abilities = up, up.Abilities()
			}
			s1 = w.challenged(w.nodes[0], "first")
			answerTo(0, &s1, "PIN", "1234")(w)
			w.calm()
			s1 = w.answers[len(w.answers)-1].got[0].State
			answerTo(0, &s1, "token", "token")(w)
			w.calm()
			s1 = w.answers[len(w.answers)-1].got[0].State
		}, acts: []happening{
			{"code", "", answerTo(0, &s1, "code 155555 at A", "155555")},
			{"the same answer", "", answerTo(1, &s1, "code 155555 at B", "155555")},
			{"block", "", blocks},
		}},
		"a failover that loses entries": {user: "bob", setup: code, loses: 2, acts: []happening{
			{"code", "", answerTo(0, &s1, "code 155555 at A", "155555")},
			{"replay", "", answerTo(1, &s2, "code 155555 again", "155555")},
		}},
	}
}

func appends(i int, name string) func(w *world) {
	return func(w *world) {
		w.send(w.nodes[i], name, &mfa.Request{Cred: mfa.Password("right155555"), EndUser: "198.51.100.7"})
	}
}

// typesDeviceCode answers with the code that the device shows once it has approved.
func (w *world) typesDeviceCode(i int, state, name string) {
	n := w.nodes[i]
	w.send(n, name, &mfa.Request{State: state, Cred: n.Pending.deviceCode(w.log[0].ID), EndUser: "198.51.100.7"})
}

// degrades is the timer of the request that waits at a node.
func (w *world) degrades(i int) {
	n := w.nodes[i]
	for _, l := range n.Pending.all() {
		for _, p := range l.waiters {
			go n.degrade(w.t.Context(), l, p.Request)
		}
	}
}

// TestCheckNodes: whatever the order in which two nodes decide, commit, hear and die, every
// Accept has its entry, no code lets in two logins, no login ends twice, no more guesses are
// examined than lock, and nothing that begins after a block is let in.
func TestCheckNodes(t *testing.T) {
	most := 1 << 30
	if testing.Short() {
		most = 200
	}
	for name := range scenarios() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			states, fault := scenarios()[name].explore(t, asBuilt, most)
			if fault != "" {
				t.Errorf("after %d worlds: %s; want none that breaks a rule", states, fault)
			}
			t.Logf("%d worlds", states)
		})
	}
}

// TestCheckMutants: each rule that is not kept breaks something that the checker sees.
func TestCheckMutants(t *testing.T) {
	for name, tt := range map[string]struct {
		m  mutant
		in []string
	}{
		"no compare-and-set":            {noCAS, []string{"a code, the same answer, a replay, an older code, a block"}},
		"an answer before the commit":   {answersEarly, []string{"a code, the same answer, a replay, an older code, a block"}},
		"a repeat on a memory behind":   {noFresh, []string{"the same answer after a block"}},
		"an end that is not applied":    {forgetsAnswer, []string{"two requests, approved and denied"}},
		"a join without an entry":       {joinsInMemory, []string{"three requests, two approvals"}},
		"no floor after a failover":     {noFloor, []string{"a failover that loses entries"}},
		"versions kept over a failover": {keepsVersions, []string{"a failover that loses entries"}},
		"sent again as it was decided":  {resends, []string{"a failover that loses entries"}},
		"two entries of a user a batch": {twoABatch, []string{"a code, the same answer, a replay, an older code, a block"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, in := range tt.in {
				states, fault := scenarios()[in].explore(t, tt.m, 1<<18)
				if fault == "" {
					t.Errorf("got nothing broken in %d worlds of %q; want a fault", states, in)
				}
				t.Logf("after %d worlds: %s", states, fault)
			}
		})
	}
}

// TestCheckWithoutTurns: what is decided on an entry that is on its way comes too late, as the
// store says, and not only because decisions about a user take turns at a node.
func TestCheckWithoutTurns(t *testing.T) {
	most := 1 << 18
	if testing.Short() {
		most = 200
	}
	for _, name := range []string{"a code, and an older one", "guesses"} {
		states, fault := scenarios()[name].explore(t, noTurns, most)
		if fault != "" {
			t.Errorf("after %d worlds of %q: %s; want none that breaks a rule", states, name, fault)
		}
		t.Logf("%d worlds of %q", states, name)
	}
}
