package login

import (
	"context"
	"crypto/subtle"
	"errors"
	"github.com/radmatch/radmatch/mfa"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// Bounds of one login and one user.
const (
	maxDialogs     = 3  // of one user that wait for an answer, beside the one prompt
	maxQuestions   = 16 // of primaries that wait for an answer, from one origin
	maxWrongCodes  = 3  // in one login
	maxChallenges  = 8  // that are out for one login, by joined packets
	maxShown       = 16 // joined requests that prompt and event show
	maxHeld        = 64 // packets that wait for one login, and on one answer
	keepApproval   = 10 * time.Second
	rememberDenial = 10 * time.Second
)

// Pending holds every login that waits for a device or for the answer to a
// challenge. It outlives every engine: what a reload must not lose is here. Its
// exported fields may be changed until the first use.
//
// One mutex guards the tables and is never held over a call, but for Keeper's. Who wants to end a
// login takes its turn first (a channel), so that a phone and a passcode cannot
// both win; only settle ends one. A live prompt owns one goroutine; a held
// packet and a challenge that is out own none.
type Pending struct {
	Journal      mfa.Journal
	Keeper       mfa.PromptKeeper // nil: open prompts end with the process
	Max          int              // logins, all clients together
	MaxPerClient int
	// Panicked is told of a panic in a goroutine of this package, which ends
	// one login and not the program. It may be called concurrently.
	Panicked func(login string, v any, stack []byte)

	mu       sync.Mutex
	draining bool
	logins   map[*pendingLogin]struct{}
	users    map[peer][]*pendingLogin // by user: dialogs, and at most one prompt
	asked    map[peer][]*pendingLogin // dialogs of a primary that has yet to say who it is, by origin
	states   map[string]*challenge
	clients  map[string]int       // logins, by Client.share
	denied   map[string]time.Time // join key without the demand to be signed, until when
	random   entropy

	memory   memory
	accepted accepted
}

// opening is what became of a login that asked to be opened.
type opening int

const (
	opened opening = iota
	joined
	promptPending
	recentlyDenied
	tooManyLogins
	overload
)

// open registers w, a login that rings, or joins p to the open prompt of the same
// origin. With opened and joined it returns the login that p is to wait for, with
// promptPending the one that is in its way.
func (t *Pending) open(w *pendingLogin, p waiter, join bool) (*pendingLogin, opening) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if until, ok := t.denied[denialKey(&w.Origin)]; ok && p.Received.Before(until) {
		return nil, recentlyDenied
	}
	for _, o := range t.users[peer{user: w.User.Key()}] {
		if !o.Prompts() {
			continue
		}
		if !join || !o.client.Join || w.Key == "" || o.Key != w.Key || o.deciding || w.matches() && !o.matches() {
			return o, promptPending
		}
		if len(o.Requests) < maxShown {
			o.Requests = append(o.Requests, w.Requests...)
			t.note(o)
		}
		if o.resumed && o.Identity.Name.IsZero() {
			o.Identity = w.Identity // for challenges that are answered from now on
		}
		return o, joined
	}
	if t.full(w) {
		return nil, overload
	}
	t.Add(w)
	t.note(w)
	return w, opened
}

// full reports whether no more logins may wait. Who is behind a proxy fills the part of
// the proxy. t.mu is held.
func (t *Pending) full(w *pendingLogin) bool {
	return t.draining || len(t.logins) >= t.Max || t.clients[w.client.Share()] >= t.MaxPerClient
}

// init makes the tables. t.mu is held.
func (t *Pending) init() {
	if t.logins != nil {
		return
	}
	t.logins = make(map[*pendingLogin]struct{})
	t.users = make(map[peer][]*pendingLogin)
	t.asked = make(map[peer][]*pendingLogin)
	t.states = make(map[string]*challenge)
	t.clients = make(map[string]int)
	t.denied = make(map[string]time.Time)
}

func (t *Pending) Add(w *pendingLogin) {
	t.init()
	t.logins[w] = struct{}{}
	table, key := t.peers(w)
	table[key] = append(table[key], w)
	t.clients[w.client.Share()]++
	if !w.Prompts() {
		w.deadline = w.Expires
	}
}

// hasPrompt reports whether a prompt of the user is open.
func (t *Pending) hasPrompt(user mfa.Name) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.users[peer{user: user.Key()}], (*pendingLogin).Prompts)
}

// hold lets p wait for the device's decision. It reports false if the login
// has ended or too many wait, and then p is the caller's again. So are the
// packets in gone, which the NAS gave up: they wait no more.
func (t *Pending) hold(w *pendingLogin, p waiter) (gone []waiter, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.held, gone = sift(w.held)
	if w.done || len(w.held) >= maxHeld {
		return gone, false
	}
	if a := p.answered; a != nil { // the same answer again finds it
		c := t.register(w, a.state, a.user)
		c.answered, c.answer, c.packets = true, a.answer, []waiter{p}
		return gone, true
	}
	w.held = append(w.held, p)
	return gone, true
}

// sift parts the packets from those that the NAS gave up when it reused their
// identifier.
func sift(packets []waiter) (waiting, gone []waiter) {
	if !slices.ContainsFunc(packets, waiter.Superseded) {
		return packets, nil
	}
	for _, p := range packets {
		if p.Superseded() {
			gone = append(gone, p)
		} else {
			waiting = append(waiting, p)
		}
	}
	return waiting, gone
}

// challenge makes a new State for w. It returns "" if the login has ended, has
// too many out, or a device has approved it already.
func (t *Pending) challenge(w *pendingLogin, p waiter) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.done || w.answering() || len(w.challenges) >= maxChallenges {
		return ""
	}
	return t.newChallenge(w, p.User.Key()).state
}

// newChallenge makes a State for the user. t.mu is held.
func (t *Pending) newChallenge(w *pendingLogin, user mfa.NameKey) *challenge {
	return t.register(w, t.random.text(16), user)
}

func (t *Pending) register(w *pendingLogin, state string, user mfa.NameKey) *challenge {
	c := &challenge{w: w, state: state, user: user}
	w.challenges = append(w.challenges, c)
	t.states[c.state] = c
	return c
}

// answer finds the challenge that p answers and takes it. The State is bound
// to the user's name and the client's group, and a stranger's answer must not
// use it up. It returns nil for a State that is unknown, another's, expired or
// used; waits is true where p is the same answer again and will be answered
// with the first.
// Packets in gone are the caller's again: the NAS gave them up.
func (t *Pending) answer(p waiter, answer mfa.Password) (c *challenge, gone []waiter, waits bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c = t.find(p)
	if c == nil {
		return nil, nil, false
	}
	if c.answered {
		c.packets, gone = sift(c.packets)
		if len(c.packets) < maxHeld && subtle.ConstantTimeCompare([]byte(c.answer), []byte(answer)) == 1 {
			c.packets = append(c.packets, p)
			return c, gone, true
		}
		return nil, gone, false
	}
	c.answered, c.answer = true, answer
	c.packets = append(c.packets, p)
	return c, nil, false
}

// promised returns what an Access-Accept to the answer of a challenge would carry,
// nothing for a State that is not there.
func (t *Pending) promised(state string) *mfa.Identity {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.states[state]; c != nil {
		return &mfa.Identity{Attributes: c.w.Identity.Attributes}
	}
	return &mfa.Identity{}
}

// find returns the challenge that p answers, or nil. t.mu is held.
func (t *Pending) find(p waiter) *challenge {
	c := t.states[p.State]
	if c == nil || c.user != p.User.Key() || c.w.Group != p.Client.Group || !p.Received.Before(c.w.Expires) {
		return nil
	}
	return c
}

// replace ends c, whose answer was wrong or led to another question of the
// primary, and makes the next challenge of the same login for the packets that
// waited on it.
func (t *Pending) replace(c *challenge, asks *mfa.PrimaryChallenge) (packets []waiter, state string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	packets, c.packets = c.packets, nil
	delete(t.states, c.state)
	for i, x := range c.w.challenges {
		if x == c {
			next := &challenge{w: c.w, state: t.random.text(16), user: c.user, asks: asks}
			c.w.challenges[i] = next
			t.states[next.state] = next
			return packets, next.state
		}
	}
	panic("mfa: internal error: a challenge that its login does not know")
}

// answered makes the record of a challenge that p has answered before it was
// sent: with the code that came with its password. It returns nil if the login
// has ended.
func (t *Pending) answered(w *pendingLogin, p waiter, code string) *challenge {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.done {
		return nil
	}
	c := t.newChallenge(w, p.User.Key())
	c.last, c.answered, c.answer, c.packets = !p.Dialog.Codes, true, mfa.Password(code), []waiter{p}
	return c
}

// waiting reports whether a packet that the NAS has not given up waits for the
// device's decision.
func (t *Pending) waiting(w *pendingLogin) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := waiting(w.held)
	for _, c := range w.challenges {
		n += waiting(c.packets)
	}
	return n > 0
}

// keep lets an approval that no packet waits for stand while a challenge is
// out, else for keepApproval.
func (t *Pending) keep(w *pendingLogin, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !w.deadline.IsZero() {
		return // the time runs from the approval, whoever came for it
	}
	w.deadline = now.Add(keepApproval)
	for _, c := range w.challenges {
		if !c.answered && w.Expires.After(w.deadline) {
			w.deadline = w.Expires
		}
	}
}

// keepUntil lets an approval stand until its code expires.
func (t *Pending) keepUntil(w *pendingLogin, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.deadline = at
}

// noteApproval notes that a device approved.
func (t *Pending) noteApproval(w *pendingLogin, a mfa.Approval) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.approved = &a
}

// requests returns all requests that wait for w.
func (t *Pending) requests(w *pendingLogin) []mfa.PromptRequest {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(w.Requests)
}

// approval returns the device's approval, or nil.
func (t *Pending) approval(w *pendingLogin) *mfa.Approval {
	t.mu.Lock()
	defer t.mu.Unlock()
	return w.approved
}

// Run ends what nobody answers until ctx ends. It is one goroutine's work.
func (t *Pending) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			t.sweep(ctx, now)
		}
	}
}

func (t *Pending) sweep(ctx context.Context, now time.Time) {
	t.accepted.expire(now)
	t.endAll(ctx, t.expired(now), func(w *pendingLogin) verdict { return w.lapse(t.approval(w), now) })
}

// endAll settles many logins at once, so that their events share commits.
func (t *Pending) endAll(ctx context.Context, logins []*pendingLogin, f func(*pendingLogin) verdict) {
	var ended sync.WaitGroup
	for _, w := range logins {
		ended.Go(func() {
			defer t.recovered(nil)
			t.settle(ctx, w, func() verdict { return f(w) })
		})
	}
	ended.Wait()
}

func (t *Pending) expired(now time.Time) []*pendingLogin {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, until := range t.denied {
		if !now.Before(until) {
			delete(t.denied, k)
		}
	}
	var out []*pendingLogin
	for w := range t.logins {
		if !w.deadline.IsZero() && !now.Before(w.deadline) {
			out = append(out, w)
		}
	}
	return out
}

// Drain lets no new login begin; the ones that wait go on, and may be joined.
func (t *Pending) Drain() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.draining = true
}

func (t *Pending) drained() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.draining
}

var (
	errShutdown = errors.New("shutting down")
	errSettled  = errors.New("login ended")
)

// Close ends every login that still waits: its event says so and its packets
// get no answer, so that the NAS asks another server.
func (t *Pending) Close(ctx context.Context) {
	t.Drain()
	t.endAll(ctx, t.all(), func(w *pendingLogin) verdict {
		d := mfa.Decision{Outcome: mfa.Discard, LoginID: w.ID, Reason: mfa.ReasonShutdown, Err: errShutdown}
		return verdict{Decision: d, event: w.event(mfa.Discard, mfa.ReasonShutdown, time.Now())}
	})
}

func (t *Pending) all() []*pendingLogin {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]*pendingLogin, 0, len(t.logins))
	for w := range t.logins {
		out = append(out, w)
	}
	return out
}

// recovered is deferred at the top of a goroutine. After a panic it ends w, if
// there is one, with a rejection.
func (t *Pending) recovered(w *pendingLogin) {
	v := recover()
	if v == nil {
		return
	}
	id := ""
	if w != nil {
		id = w.ID
		defer t.settle(context.Background(), w, func() verdict {
			return w.ends(mfa.Reject, mfa.ReasonInternalError, time.Now())
		})
	}
	if t.Panicked != nil {
		t.Panicked(id, v, debug.Stack())
	}
}

// Len returns how many logins wait.
func (t *Pending) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.logins)
}
