package login

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// Bounds of one login and one user.
const (
	maxDialogs     = 3  // of one user that wait for an answer, beside the one prompt
	maxQuestions   = 16 // of primaries that wait for an answer, from one origin
	maxWrongCodes  = 3  // in one login
	maxChallenges  = 8  // that are out for one login, by joined packets
	maxShown       = 16 // joined requests that prompt and event show
	maxWaiters     = 64 // packets that wait for one login, and on one answer
	keepApproval   = 10 * time.Second
	rememberDenial = 10 * time.Second
)

// Pending is the table of the logins that wait for a device or for the answer to a
// challenge. It outlives every engine: what a reload must not lose is here. Its
// exported fields may be changed until the first use.
//
// What an engine does with it has six verbs: a login joins the table, its packets
// are answered by a challenge or await a device, an answer finds its login, its user
// withdraws it, and settle, the only one that ends a login, has the engine
// decide. The engine says what follows from any of them.
//
// One mutex guards the table and is never held over a call. To end a login one takes the
// turn of its user first (a channel), so that a phone and a passcode cannot both win. A live prompt owns one goroutine; a waiting packet and a challenge that
// is out own none.
type Pending struct {
	Journal      mfa.Journal
	Ledger       mfa.Ledger
	Directory    mfa.Directory
	Site         mfa.Site // nil: this server is the only one
	Max          int      // logins, all clients together
	MaxPerClient int
	// Panicked is told of a panic in a goroutine of this package, which ends
	// one login and not the program. It may be called concurrently.
	Panicked func(login string, v any, stack []byte)

	random   entropy
	turns    turns
	memory   memory
	accepted accepted

	mu       sync.Mutex
	draining bool
	logins   map[string]*pendingLogin // by id
	peers    map[peer][]*pendingLogin // dialogs, and of a user at most one prompt
	states   map[string]*challenge
	clients  map[string]int       // logins, by Client.share
	denied   map[string]time.Time // join key without the demand to be signed, until when
	// elsewhere are the prompts that other nodes have opened and nothing here waits for: of a
	// user at most one.
	elsewhere map[mfa.NameKey]*promptElsewhere
}

// opening is what became of a login that asked to be opened.
type opening int

const (
	opened opening = iota
	joined
	promptPending
	promptGivenUp       // as promptPending, and from the same origin, with nobody left that it can let in
	promptElsewhereOpen // at another node: it is to be brought here first
	recentlyDenied
	tooManyLogins
	overload
)

// join puts w, whose first packet is p, into the table. A login with a prompt
// becomes part of the open prompt of the same origin where there is one. It returns
// the login that p is to wait for, or the one that is in its way.
//
// A dialog whose window was closed stays open until challenge_ttl, because nothing
// tells so: the newest goes on, and the oldest unanswered one ends.
func (t *Pending) join(ctx context.Context, w *pendingLogin, p waiter) (*pendingLogin, opening) {
	if w.Prompts() {
		return t.openPrompt(w, p)
	}
	t.supersede(ctx, t.sameOrigin(w)) // the user dialled again: the dialog of the first login is gone
	yields, what := t.openDialog(w)
	t.supersede(ctx, yields)
	return w, what
}

func (t *Pending) openPrompt(w *pendingLogin, p waiter) (*pendingLogin, opening) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if until, ok := t.denied[denialKey(&w.Origin)]; ok && p.Received.Before(until) {
		return nil, recentlyDenied
	}
	for _, o := range t.peers[w.peer()] {
		if !o.Prompts() {
			continue
		}
		if !o.takes(w) {
			if o.origin() == w.origin() && o.dead() {
				return o, promptGivenUp
			}
			return o, promptPending
		}
		if len(o.Requests) < maxShown {
			o.Requests = append(o.Requests, w.Requests...)
		}
		if o.resumed && o.Identity.Name.IsZero() {
			o.Identity = w.Identity // for challenges that are answered from now on
		}
		return o, joined
	}
	if t.elsewhere[w.User.Key()] != nil {
		return nil, promptElsewhereOpen
	}
	if t.full(w) {
		return nil, overload
	}
	t.add(w)
	return w, opened
}

// openDialog adds w. The login that it returns, if any, has lost its place to w, and
// is the caller's to end.
func (t *Pending) openDialog(w *pendingLogin) (yields *pendingLogin, what opening) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.full(w) {
		return nil, overload
	}
	if !w.placeless {
		var ok bool
		if yields, ok = t.place(w); !ok {
			return nil, tooManyLogins
		}
	}
	t.add(w)
	return yields, opened
}

// supersede ends a dialog in whose place there is another; nil is none.
func (t *Pending) supersede(ctx context.Context, w *pendingLogin) {
	if w == nil {
		return
	}
	t.settle(ctx, w, func(v view) verdict { return v.ends(mfa.Reject, mfa.ReasonSuperseded) })
}

// full reports whether no more logins may wait. Who is behind a proxy fills the part of
// the proxy. t.mu is held.
func (t *Pending) full(w *pendingLogin) bool {
	return t.draining || len(t.logins) >= t.Max || t.clients[w.client.Share()] >= t.MaxPerClient
}

// init makes the maps. t.mu is held.
func (t *Pending) init() {
	if t.logins != nil {
		return
	}
	t.logins = make(map[string]*pendingLogin)
	t.peers = make(map[peer][]*pendingLogin)
	t.states = make(map[string]*challenge)
	t.clients = make(map[string]int)
	t.denied = make(map[string]time.Time)
	t.elsewhere = make(map[mfa.NameKey]*promptElsewhere)
}

// add counts w in. t.mu is held.
func (t *Pending) add(w *pendingLogin) {
	t.init()
	t.logins[w.ID] = w
	key := w.peer()
	t.peers[key] = append(t.peers[key], w)
	t.clients[w.client.Share()]++
	switch {
	case !w.Prompts():
		w.deadline = w.Expires
	case w.copied: // who opened it ends it first
		w.deadline = w.Until.Add(graceElsewhere)
	}
}

// remove takes w out of the table. It returns the packets that wait for it. t.mu is held.
func (t *Pending) remove(w *pendingLogin) []waiter {
	w.done = true
	packets := w.markEnded(nil, w.waiters)
	w.waiters = nil
	for _, c := range w.challenges {
		packets = append(packets, w.markEnded(c, c.packets)...)
		c.packets = nil
		delete(t.states, c.state)
	}
	w.challenges = nil
	if t.logins[w.ID] != w {
		return packets
	}
	delete(t.logins, w.ID)
	share := w.client.Share()
	if t.clients[share]--; t.clients[share] == 0 {
		delete(t.clients, share)
	}
	key := w.peer()
	t.peers[key] = slices.DeleteFunc(t.peers[key], func(o *pendingLogin) bool { return o == w })
	if len(t.peers[key]) == 0 {
		delete(t.peers, key)
	}
	return packets
}

// hasPrompt reports whether a prompt of the user is open.
func (t *Pending) hasPrompt(user mfa.Name) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.elsewhere[user.Key()] != nil || slices.ContainsFunc(t.peers[peer{user: user.Key()}], (*pendingLogin).Prompts)
}

// isSecond reports whether a prompt that is to be opened comes after one of another node. That
// one may have been brought here meanwhile.
func (t *Pending) isSecond(w *pendingLogin) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.elsewhere[w.User.Key()] != nil ||
		slices.ContainsFunc(t.peers[w.peer()], func(o *pendingLogin) bool { return o != w && o.Prompts() })
}

// approved notes that a device approved. It needs no turn, so that no device waits.
func (t *Pending) approved(w *pendingLogin, a mfa.Approval) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.approved = &a
}

// isApproved reports whether a device has approved w.
func (t *Pending) isApproved(w *pendingLogin) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return w.approved != nil
}

// setNode notes which run has notified the devices of w.
func (t *Pending) setNode(w *pendingLogin, run string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.Node = run
}

// promptOf returns what lasts of w, which waits for a device.
func (t *Pending) promptOf(w *pendingLogin) *mfa.OpenPrompt {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := w.OpenPrompt
	k.Requests = slices.Clone(k.Requests)
	return &k
}

// requests returns all requests that wait for w.
func (t *Pending) requests(w *pendingLogin) []mfa.PromptRequest {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(w.Requests)
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

// Len returns how many logins wait.
func (t *Pending) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.logins)
}

// place reports whether there is a place for w, and which dialog gives way for it:
// the oldest from the same origin, so that an attacker elsewhere who has the password
// pushes out their own first; otherwise the oldest. A prompt and what is being
// examined never gives way. t.mu is held.
func (t *Pending) place(w *pendingLogin) (yields *pendingLogin, ok bool) {
	open := 0
	for _, o := range t.peers[w.peer()] {
		if o.Prompts() || o.placeless || o.yielded {
			continue
		}
		open++
		if !o.unanswered() {
			continue
		}
		if yields == nil || yields.origin() != w.origin() && o.origin() == w.origin() {
			yields = o
		}
	}
	if open < w.places(t.MaxPerClient) {
		return nil, true
	}
	if yields == nil {
		return nil, false
	}
	yields.yielded = true
	return yields, true
}

// sameOrigin returns the open dialog of the same user, client and end-user field,
// which a new one of that origin replaces; nil without.
func (t *Pending) sameOrigin(w *pendingLogin) *pendingLogin {
	if w.Key == "" {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range t.peers[w.peer()] {
		if !o.Prompts() && o.Key == w.Key {
			return o
		}
	}
	return nil
}

// Run ends what stays without an answer, until ctx ends. It is one goroutine's work.
func (t *Pending) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			t.accepted.expire(now)
			t.endAll(ctx, t.expired(now), view.lapse)
			t.endElsewhere(ctx, now)
		}
	}
}

// Close ends every login that still waits: its event says so and its packets get no
// answer, so that the NAS asks another server. Where other nodes have the same logins, those
// go on there.
func (t *Pending) Close(ctx context.Context) {
	t.Drain()
	if t.Site != nil {
		for _, w := range t.all() {
			t.drop(w, mfa.ReasonShutdown)
		}
		return
	}
	t.endAll(ctx, t.all(), func(v view) verdict {
		d := mfa.Decision{Outcome: mfa.Discard, LoginID: v.ID, Reason: mfa.ReasonShutdown, Err: errShutdown}
		return verdict{Decision: d, event: v.event(mfa.Discard, mfa.ReasonShutdown, v.now)}
	})
}

// endAll settles many logins at once, so that their events share commits.
func (t *Pending) endAll(ctx context.Context, logins []*pendingLogin, look func(view) verdict) {
	var ended sync.WaitGroup
	for _, w := range logins {
		ended.Go(func() {
			defer t.recovered(nil)
			t.settle(ctx, w, look)
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
	for _, w := range t.logins {
		if !w.deadline.IsZero() && !now.Before(w.deadline) {
			out = append(out, w)
		}
	}
	return out
}

func (t *Pending) all() []*pendingLogin {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Values(t.logins))
}

// denialKey is the origin as far as the request tells: refusing needs no proof
// that the end-user field is genuine.
func denialKey(o *mfa.Origin) string {
	return o.User.Key().String() + "\x00" + o.Group + "\x00" + o.EndUser
}

// dead reports whether the NAS has given up every packet of a prompt that nothing can
// join, that no challenge can lead back to, and that no device has approved.
// Pending.mu is held.
func (w *pendingLogin) dead() bool {
	if w.done || w.approved != nil || w.client.Join && w.Key != "" {
		return false
	}
	packets := slices.Clone(w.waiters)
	for _, c := range w.challenges {
		if !c.answered {
			return false
		}
		packets = append(packets, c.packets...)
	}
	return len(packets) > 0 && waiting(packets) == 0 // none: one is about to wait
}
