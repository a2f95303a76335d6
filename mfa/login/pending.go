package login

import (
	"fmt"
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

// Pending holds every login that waits for a device or for the answer to a
// challenge. It outlives every engine: what a reload must not lose is here. Its
// exported fields may be changed until the first use.
//
// One mutex guards the tables and is never held over a call, except Keeper's. Who wants to end a
// login takes its turn first (a channel), so that a phone and a passcode cannot
// both win; only settle ends one. A live prompt owns one goroutine; a waiting
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

// open registers w, a login with a prompt, or joins p to the open prompt of the same
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

// peer is the key of a table of logins: a user or an origin.
type peer struct {
	user   mfa.NameKey
	origin string
}

// peers returns the table and the key under which w is counted: its user, or while
// a primary asks, who asks from where. The name is then what anybody can type: it
// must not take the places of its owner.
func (t *Pending) peers(w *pendingLogin) (table map[peer][]*pendingLogin, key peer) {
	if !w.asks {
		return t.users, peer{user: w.User.Key()}
	}
	return t.asked, peer{origin: w.origin()}
}

// places returns how many dialogs may be open beside w. Where nothing tells one
// user's origin from another's, all users of the client share what it may have.
func (t *Pending) places(w *pendingLogin) int {
	switch {
	case !w.asks:
		return maxDialogs
	case w.EndUser == "":
		return max(maxQuestions, t.MaxPerClient/2)
	}
	return maxQuestions
}

// openDialog registers w. The login that it returns, if any, has lost its place to
// w: it is the caller's to end.
func (t *Pending) addDialog(w *pendingLogin) (yields *pendingLogin, what opening) {
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
	t.Add(w)
	return yields, opened
}

// takePlace makes w a dialog after the code that came with its password was wrong;
// else it does nothing.
func (t *Pending) takePlace(w *pendingLogin) (yields *pendingLogin, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !w.placeless {
		return nil, true
	}
	yields, ok = t.place(w)
	w.placeless = !ok
	return yields, ok
}

// place reports whether there is a place for w, and which dialog gives way for it:
// the oldest from the same origin, so that an attacker elsewhere who has the password
// pushes out their own first; otherwise the oldest. A prompt and what is being
// examined never gives way. t.mu is held.
func (t *Pending) place(w *pendingLogin) (yields *pendingLogin, ok bool) {
	table, key := t.peers(w)
	open := 0
	for _, o := range table[key] {
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
	if open < t.places(w) {
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
	table, key := t.peers(w)
	for _, o := range table[key] {
		if !o.Prompts() && o.Key == w.Key {
			return o
		}
	}
	return nil
}

// newDeviceCode returns six digits, none likelier than another.
func (t *Pending) newDeviceCode() mfa.Password {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		b := t.random.bytes(3)
		n := uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
		clear(b)
		if n < 16_000_000 { // the highest multiple of a million in three octets
			return mfa.Password(fmt.Sprintf("%06d", n%1_000_000))
		}
	}
}

// number returns two digits, 10 to 99.
func (t *Pending) number() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.random.number()
}

// id returns a new login id.
func (t *Pending) id() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.random.text(10)
}
