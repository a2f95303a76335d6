package login

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// world is one user at two nodes that share a log. Its steps are taken one at a time:
// what a client, a device or a command does, and every commit, answer of the database and
// entry that reaches a node. So a checker can try each order of them.
type world struct {
	t       *testing.T
	mutant  mutant
	user    mfa.Name
	nodes   [2]*node
	dead    *node // a third one
	log     []mfa.Event
	lost    []mfa.Event // acknowledged, and gone with a primary
	epoch   uint32
	floor   bool // codes from before the failover are refused
	slow    bool // what a node reads of a login takes its time
	blocked int  // entries of the log when a command blocked the user; 0: none did
	did     []string

	mu       sync.Mutex
	waiting  []*appending // in the order in which they came
	readings []*reading
	states   map[string]mfa.OpenState
	answers  []*worldAnswer
	faults   []string
}

// mutant is a rule that is not kept, which a checker must find.
type mutant int

const (
	asBuilt       mutant = iota
	noCAS                // an entry is appended on any version
	answersEarly         // before the commit
	noFresh              // a decision is repeated on a memory that may be behind
	forgetsAnswer        // what ended a login is not applied
	joinsInMemory        // a join is no entry
	noFloor              // codes from before a failover count again
	keepsVersions        // over a failover
	resends              // what was decided before a failover goes out as it was
	twoABatch            // what is decided on an entry that is on its way goes out with it
	noTurns              // the store keeps the entries of a user apart, and nothing before it
)

// node is one server with an engine of its own. It implements what the store does for it.
type node struct {
	*Engine
	w       *world
	name    string
	client  *mfa.Client
	dead    bool
	applied int // entries of the log
	epoch   uint32
	account mfa.User
	used    map[string]bool // codes
	phones  map[string]*shownPrompt
	states  int
	reads   sync.Mutex // one reading of the log at a time
	flying  *appending // nil: no entry is on its way
}

// appending is an entry on its way from a node to the log and back.
type appending struct {
	n         *node
	base      mfa.Version
	ev        mfa.Event
	at        int // its place in the log, from 1
	committed bool
	refused   bool
	done      chan error
	over      chan struct{} // closed when done is answered
}

// reading is the entries of a login on their way to a node: others may be appended, and
// applied there, before these arrive.
type reading struct {
	n     *node
	login string
	list  []mfa.Event
	done  chan struct{}
}

// worldAnswer is what one request was answered with.
type worldAnswer struct {
	name    string
	began   int // entries of the log when it was sent
	applied int // those that the node had
	got     []mfa.Decision
}

func newWorld(t *testing.T, user string, m mutant) *world {
	w := &world{t: t, mutant: m, user: mfa.NameOf(user), epoch: 1, states: make(map[string]mfa.OpenState)}
	for i, name := range []string{"A", "B"} {
		w.nodes[i] = w.newNode(name)
	}
	return w
}

func (w *world) newNode(name string) *node {
	n := &node{w: w, name: name, epoch: 1, used: make(map[string]bool), phones: make(map[string]*shownPrompt)}
	n.account = mfa.User{Name: w.user, Codes: 1}
	if w.user.Is(mfa.NameOf("alice")) {
		n.account.Devices, n.account.Codes = 1, 0
	}
	p := &primary{}
	n.client = &mfa.Client{
		Name: "vpn", Group: "edge", Prompts: true, ShowsMessage: true,
		Primary: p, Abilities: p.Abilities(), Pusher: n,
		PushAbilities: mfa.PushAbilities{ChecksNumbers: true, TypesNumbers: true, ShowsCodes: true, Resumes: true},
		Join:          true, RequireUserMatch: true,
		PushTimeout: 55 * time.Second, ChallengeTTL: 3 * time.Minute, RejectDelay: time.Second,
		OnPrimaryError: mfa.Discard, OnMFAError: mfa.Discard,
	}
	n.Engine = &Engine{
		Pending:  &Pending{Journal: n, Ledger: n, Directory: n, Site: n, Max: 100, MaxPerClient: 100},
		Policy:   mfa.Policy{NumberMatching: forEveryone, ShowApplicationName: forEveryone, ShowLocation: forEveryone},
		Limits:   &Limits{},
		Refusals: &Refusals{Journal: n}, Directory: n, Codes: n,
		Clients:     map[string]*mfa.Client{"vpn": n.client},
		Lockout:     Rule{Max: 2, Window: 15 * time.Minute, For: 15 * time.Minute},
		Fatigue:     Rule{Max: 5, Window: 10 * time.Minute, For: 30 * time.Minute},
		PromptLimit: Rule{Max: 30, Window: 10 * time.Minute},
	}
	return n
}

// Record implements mfa.Journal for what decides nothing.
func (n *node) Record(_ context.Context, ev mfa.Event) error {
	if ev.Outcome == mfa.Accept {
		n.w.fault("an Accept of login %s was recorded without a number", ev.ID)
	}
	return nil
}

func (n *node) Append(_ context.Context, base mfa.Version, ev mfa.Event) error {
	w := n.w
	if w.mutant == joinsInMemory && ev.Kind == mfa.EventJoin {
		return nil
	}
	a := &appending{n: n, base: base, ev: ev, done: make(chan error, 1), over: make(chan struct{})}
	w.mu.Lock()
	first := n.flying
	if first == nil || w.mutant == twoABatch {
		n.flying = a
		w.waiting = append(w.waiting, a)
	}
	w.mu.Unlock()
	switch {
	case w.mutant == answersEarly:
		n.Apply(ev)
		return nil
	case w.mutant == twoABatch:
		n.foldEntry(ev) // what it uses up is used, as if it were on disk
		defer n.leaveTurn()()
	case w.mutant == noTurns:
		defer n.leaveTurn()()
	}
	if first != nil && w.mutant != twoABatch { // as store.Store.Append: it waits, and comes too late
		<-first.over
		return mfa.ErrStale
	}
	return <-a.done
}

// leaveTurn lets other logins of the user decide until what it returns is called.
func (n *node) leaveTurn() (enter func()) {
	turn := peer{user: n.w.user.Key()}
	n.Pending.turns.leave(turn)
	return func() { n.Pending.turns.enter(turn) }
}

func (n *node) User(context.Context, mfa.Name) (mfa.User, error) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	u := n.account
	u.Version = mfa.Version{Epoch: n.epoch, N: int64(n.applied)}
	if n.w.mutant == twoABatch && n.flying != nil {
		u.Version.N = max(u.Version.N, n.flying.base.N+1)
	}
	return u, nil
}

func (n *node) Registered(context.Context, string) error { return nil }

func (n *node) HasForm(_ mfa.Name, answer string) bool {
	return len(answer) == 6 && strings.Trim(answer, "0123456789") == ""
}

// CheckCode: each code that begins with 1 is right, and of an older step than one that is
// higher.
func (n *node) CheckCode(_ context.Context, _ mfa.Name, code string) (mfa.Use, error) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	if code[0] != '1' {
		return mfa.Use{}, mfa.ErrRejected
	}
	for used := range n.used {
		if code <= used {
			return mfa.Use{}, errors.Join(mfa.ErrRejected, mfa.ErrCodeUsed)
		}
	}
	if n.w.floor && n.epoch > 1 && n.w.mutant != noFloor {
		return mfa.Use{}, errors.Join(mfa.ErrRejected, mfa.ErrCodeUsed)
	}
	return mfa.Use{Method: "totp", Token: code}, nil
}

func (n *node) Abilities() mfa.PushAbilities { return n.client.PushAbilities }

func (n *node) Push(ctx context.Context, p mfa.Prompt) (mfa.Approval, error) {
	g := &shownPrompt{Prompt: p, ctx: ctx, decide: make(chan error, 1)}
	n.w.mu.Lock()
	n.phones[p.ID] = g
	n.w.mu.Unlock()
	defer func() {
		n.w.mu.Lock()
		delete(n.phones, p.ID)
		n.w.mu.Unlock()
	}()
	select {
	case err := <-g.decide:
		return mfa.Approval{Device: "pixel", DeviceID: "d1"}, err
	case <-ctx.Done():
		return mfa.Approval{}, ctx.Err()
	}
}

func (n *node) NewState() string {
	n.states++
	return fmt.Sprintf("%s-%d", n.name, n.states)
}

func (n *node) KeepState(s mfa.OpenState) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	n.w.states[s.State] = s
}

func (n *node) FindState(_ context.Context, state string) (*mfa.OpenState, error) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	s, ok := n.w.states[state]
	if !ok {
		return nil, nil
	}
	return &s, nil
}

func (n *node) Entries(_ context.Context, _ mfa.Name, login string) ([]mfa.Event, error) {
	r := &reading{n: n, login: login, done: make(chan struct{})}
	n.w.mu.Lock()
	for _, ev := range n.w.log {
		if ev.ID == login {
			r.list = append(r.list, ev)
		}
	}
	slow := n.w.slow
	if slow {
		n.w.readings = append(n.w.readings, r)
	}
	n.w.mu.Unlock()
	if slow {
		<-r.done
	}
	return r.list, nil
}

func (n *node) Fresh(context.Context, mfa.Name) error {
	if n.w.mutant != noFresh {
		n.refresh(len(n.w.log))
	}
	return nil
}

func (n *node) Run() string { return n.name }

func (n *node) Gone(_ context.Context, run string) bool {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	return slices.ContainsFunc(append(n.w.nodes[:], n.w.dead), func(o *node) bool { return o != nil && o.name == run && o.dead })
}

func (n *node) Derive(purpose, data string) []byte {
	m := hmac.New(sha256.New, []byte("site"))
	fmt.Fprintf(m, "%d %s %s", len(purpose), purpose, data)
	return m.Sum(nil)
}

// refresh has the node apply the log up to one entry.
func (n *node) refresh(to int) {
	n.reads.Lock()
	defer n.reads.Unlock()
	if n.epoch != n.w.epoch && n.w.mutant != keepsVersions {
		n.fold()
	}
	for n.applied < to {
		ev := n.w.log[n.applied]
		n.foldEntry(ev)
		if n.w.mutant != forgetsAnswer || ev.Kind != mfa.EventLogin {
			n.Apply(ev)
		}
		n.w.mu.Lock()
		n.applied++
		n.w.mu.Unlock()
	}
}

// fold reads everything anew after a failover: what the node has seen may be gone.
func (n *node) fold() {
	n.w.mu.Lock()
	n.epoch = n.w.epoch
	n.applied = min(n.applied, len(n.w.log))
	n.account.Blocked = false
	n.used = make(map[string]bool)
	n.w.mu.Unlock()
	for _, ev := range n.w.log[:n.applied] {
		n.foldEntry(ev)
	}
}

func (n *node) foldEntry(ev mfa.Event) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	if ev.Used {
		n.used[ev.Token] = true
	}
	if ev.Kind == mfa.EventChange {
		n.account.Blocked = ev.Text == "block"
	}
}

func (w *world) fault(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// commit is the database's answer to an entry, and to those that a node sends with it.
func (w *world) commit(a *appending) {
	for _, o := range slices.Clone(w.waiting) {
		if o.n == a.n && !o.committed && !o.refused {
			w.commitOne(o)
		}
	}
}

// commitOne: the entry is the next one, or it is not.
func (w *world) commitOne(a *appending) {
	fits := a.base == mfa.Version{Epoch: w.epoch, N: int64(len(w.log))}
	if w.mutant == noCAS || w.mutant == keepsVersions && a.base.N == int64(len(w.log)) || w.mutant == resends && a.base.Epoch < w.epoch {
		fits = true
	}
	if !fits {
		a.refused = true
		return
	}
	w.check(a.ev)
	w.log = append(w.log, a.ev)
	a.at, a.committed = len(w.log), true
}

// check is what must hold whenever an entry is appended.
func (w *world) check(ev mfa.Event) {
	isEnd := func(ev mfa.Event) bool { return ev.Kind == mfa.EventLogin || ev.Kind == mfa.EventUnclaimed }
	if ev.Kind == mfa.EventOpen && w.mutant == asBuilt {
		open := false
		for _, before := range w.log {
			open = open && !isEnd(before) || before.Kind == mfa.EventOpen
		}
		if open {
			w.fault("two prompts are open at once")
		}
	}
	if !isEnd(ev) {
		return
	}
	for _, before := range append(slices.Clone(w.log), w.lost...) {
		if isEnd(before) && before.ID == ev.ID && !slices.ContainsFunc(w.lost, func(l mfa.Event) bool { return l.ID == ev.ID }) {
			w.fault("login ended twice: %s, then %s", before.Reason, ev.Reason)
		}
		if ev.Used && before.Used && before.Token == ev.Token && before.ID != ev.ID {
			w.fault("one code let in two logins")
		}
	}
	if ev.Outcome == mfa.Accept && w.blocked > 0 && len(w.log) >= w.blocked {
		w.fault("an Accept after the block")
	}
}

// acknowledge brings the database's answer to the node.
func (w *world) acknowledge(a *appending) {
	w.mu.Lock()
	w.waiting = slices.DeleteFunc(w.waiting, func(o *appending) bool { return o == a })
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if a.n.flying == a {
			a.n.flying = nil
		}
		close(a.over)
	}()
	switch {
	case w.mutant == answersEarly:
	case a.committed && (a.at <= len(w.log) && w.log[a.at-1].ID == a.ev.ID || w.mutant == resends || w.mutant == keepsVersions):
		a.n.refresh(min(a.at, len(w.log)))
		a.done <- nil
	default: // refused, or gone with the primary
		a.n.refresh(len(w.log))
		a.done <- mfa.ErrStale
	}
}

// arrive brings what a node has read to it.
func (w *world) arrive(r *reading) {
	w.mu.Lock()
	w.readings = slices.DeleteFunc(w.readings, func(o *reading) bool { return o == r })
	w.mu.Unlock()
	close(r.done)
}

func (w *world) kill(n *node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n.dead = true
}

// failover loses up to n entries of the log.
func (w *world) failover(n int) {
	keep := max(0, len(w.log)-n)
	w.lost = append(w.lost, w.log[keep:]...)
	w.log = w.log[:keep]
	w.epoch++
	w.floor = true
	if w.blocked > keep {
		w.blocked = 0 // the block is lost: the operator is told
	}
}

// send is a request to a node, on a goroutine of its own.
func (w *world) send(n *node, name string, q *mfa.Request) {
	a := &worldAnswer{name: name, began: len(w.log), applied: n.applied}
	w.mu.Lock()
	w.answers = append(w.answers, a)
	w.mu.Unlock()
	q.Client, q.Received, q.User, q.Source, q.Signed = n.client, time.Now(), w.user, "192.0.2.1:40000", true
	if q.Cred == nil {
		q.Cred = mfa.Password("right")
	}
	q.Dialog = q.Client.Dialog(mfa.ProtocolOf(q.Cred))
	go n.Authenticate(w.t.Context(), q, func(d mfa.Decision) { w.answered(n, a, d) })
	synctest.Wait()
}

// answered is what must hold of each answer.
func (w *world) answered(n *node, a *worldAnswer, d mfa.Decision) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n.dead {
		return
	}
	a.got = append(a.got, d)
	if d.Outcome != mfa.Accept {
		return
	}
	ends := slices.IndexFunc(append(slices.Clone(w.log), w.lost...), func(ev mfa.Event) bool {
		return ev.Kind == mfa.EventLogin && ev.ID == d.LoginID && ev.Outcome == mfa.Accept
	})
	if ends < 0 {
		w.faults = append(w.faults, fmt.Sprintf("%s was let in without an entry", a.name))
	}
	if w.blocked > 0 && a.began >= w.blocked {
		w.faults = append(w.faults, fmt.Sprintf("%s was let in, and began after the block", a.name))
	}
}

// settled is what must hold when nothing is left to do.
func (w *world) settled() {
	w.mu.Lock()
	defer w.mu.Unlock()
	codes := make(map[string]string)
	wrong := 0
	for _, a := range w.answers {
		if len(a.got) > 1 {
			w.faults = append(w.faults, fmt.Sprintf("%s was answered %d times", a.name, len(a.got)))
		}
		for _, d := range a.got {
			if d.Outcome == mfa.Challenge && d.Ask.Wrong || d.Reason == mfa.ReasonWrongCode {
				wrong++
			}
			code, isCode := strings.CutPrefix(a.name, "code ")
			if d.Outcome != mfa.Accept || !isCode {
				continue
			}
			code, _, _ = strings.Cut(code, " ")
			if by := codes[code]; by != "" && by != d.LoginID {
				w.faults = append(w.faults, fmt.Sprintf("code %s let in two logins", code))
			}
			codes[code] = d.LoginID
		}
	}
	if wrong > w.nodes[0].Lockout.Max {
		w.faults = append(w.faults, fmt.Sprintf("%d codes were told to be wrong, and %d lock", wrong, w.nodes[0].Lockout.Max))
	}
	w.joins()
}

// joins: who was let in by a device had its request in the log before the end.
func (w *world) joins() {
	let := make(map[string]int)
	for _, a := range w.answers {
		for _, d := range a.got {
			if d.Outcome == mfa.Accept && d.Method == mfa.MethodPush && strings.HasPrefix(a.name, "request") {
				let[d.LoginID]++
			}
		}
	}
	for id, n := range let {
		asked, ended := 0, false
		for _, ev := range w.log {
			if ev.ID == id && !ended && (ev.Kind == mfa.EventOpen || ev.Kind == mfa.EventJoin && len(ev.Requests) > 0) {
				asked++
			}
			ended = ended || ev.ID == id && ev.Kind == mfa.EventLogin
		}
		if n > asked && len(w.lost) == 0 {
			w.faults = append(w.faults, fmt.Sprintf("%d requests were let in by one approval, and %d had asked before", n, asked))
		}
	}
}

// end lets all goroutines go.
func (w *world) end() {
	for _, n := range w.nodes {
		w.mu.Lock()
		n.dead = true
		w.mu.Unlock()
	}
	for {
		w.mu.Lock()
		waiting := w.waiting
		readings := slices.Clone(w.readings)
		w.waiting = nil
		w.mu.Unlock()
		for _, r := range readings {
			w.arrive(r)
		}
		for _, a := range waiting {
			if w.mutant != answersEarly {
				a.done <- errors.New("the end")
			}
			close(a.over)
		}
		for _, n := range w.nodes {
			n.Pending.Close(context.Background())
		}
		synctest.Wait()
		if len(waiting)+len(readings) == 0 {
			return
		}
	}
}
