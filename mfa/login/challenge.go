package login

import (
	"crypto/subtle"
	"slices"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// challenge is a State that is out. It is single use: the first answer takes
// it, and the same answer under another identifier waits with the first one.
type challenge struct {
	w            *pendingLogin
	state        string
	user         mfa.NameKey           // of the User-Name: the answer must carry the same
	asks         *mfa.PrimaryChallenge // the primary's question; nil: one of ours
	last         bool                  // the answer came with the password, from a screen that can give no other
	answered     bool
	awaitsDevice bool // the answer is no code and waits for the device
	answer       mfa.Password
	packets      []waiter
}

// newState makes a new State for w. It returns "" if the login has ended, has
// too many out, or a device has approved it already.
func (t *Pending) newState(w *pendingLogin, p waiter) string {
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

// ask makes the State of a question of the primary.
func (t *Pending) ask(w *pendingLogin, p waiter, asks *mfa.PrimaryChallenge) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.done {
		return ""
	}
	c := t.newChallenge(w, p.User.Key())
	c.asks = asks
	return c.state
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

// takeAnswered finds the challenge that p answers and takes it. The State is bound
// to the user's name and the client's group, and an answer from elsewhere
// must not use it up. It returns nil for a State that is unknown, another's, expired or
// used; waits is true where p is the same answer again and will be answered
// with the first.
// Packets in gone are the caller's again: the NAS gave them up.
func (t *Pending) takeAnswered(p waiter, answer mfa.Password) (c *challenge, gone []waiter, waits bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c = t.stateOf(p)
	if c == nil {
		return nil, nil, false
	}
	if c.answered {
		c.packets, gone = sift(c.packets)
		if len(c.packets) < maxWaiters && subtle.ConstantTimeCompare([]byte(c.answer), []byte(answer)) == 1 {
			c.packets = append(c.packets, p)
			return c, gone, true
		}
		return nil, gone, false
	}
	c.answered, c.answer = true, answer
	c.packets = append(c.packets, p)
	return c, nil, false
}

// stateOf returns the challenge that p answers, or nil. t.mu is held.
func (t *Pending) stateOf(p waiter) *challenge {
	c := t.states[p.State]
	if c == nil || c.user != p.User.Key() || c.w.Group != p.Client.Group || !p.Received.Before(c.w.Expires) {
		return nil
	}
	return c
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

// takeAlone takes the challenge that p answers, where nobody else waits for its login.
func (t *Pending) takeAlone(p waiter) *challenge {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.stateOf(p)
	if c == nil || c.answered || c.w.deciding || len(c.w.waiters) > 0 || len(c.w.challenges) > 1 || c.w.approved != nil {
		return nil
	}
	c.answered = true
	c.packets = append(c.packets, p)
	return c
}

// waitsFor reports whether a packet waits for what becomes of its answer to c.
func (t *Pending) waitsFor(c *challenge) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(c.packets) > 0
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

// addWaiter lets p wait for the device's decision. It reports false if the login
// has ended or too many wait, and then p is the caller's again. So are the
// packets in gone, which the NAS gave up: they no longer wait.
func (t *Pending) addWaiter(w *pendingLogin, p waiter) (gone []waiter, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.waiters, gone = sift(w.waiters)
	if w.done || len(w.waiters) >= maxWaiters {
		return gone, false
	}
	if a := p.answered; a != nil { // the same answer again finds it
		c := t.register(w, a.state, a.user)
		c.answered, c.answer, c.packets = true, a.answer, []waiter{p}
		return gone, true
	}
	w.waiters = append(w.waiters, p)
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

// waiting counts the packets that the NAS has not given up.
func waiting(packets []waiter) (n int) {
	for _, p := range packets {
		if !p.Superseded() {
			n++
		}
	}
	return n
}

// waiting reports whether a packet that the NAS has not given up waits for the
// device's decision.
func (t *Pending) waiting(w *pendingLogin) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := waiting(w.waiters)
	for _, c := range w.challenges {
		n += waiting(c.packets)
	}
	return n > 0
}

// answering reports whether an approval is about to answer all that wait.
// Pending.mu is held.
func (w *pendingLogin) answering() bool { return w.approved != nil && w.deviceCode == "" }

// unanswered reports whether a challenge of w is out and nothing waits for what
// becomes of an answer. Pending.mu is held.
func (w *pendingLogin) unanswered() bool {
	return !w.deciding && len(w.waiters) == 0 && len(w.challenges) > 0 &&
		!slices.ContainsFunc(w.challenges, func(c *challenge) bool { return c.answered })
}

// awaitDevice notes that an answer is no code and waits for the device.
func (t *Pending) awaitDevice(c *challenge) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.awaitsDevice = true
}

// awaitingDevice returns the challenges whose answers wait for the device.
func (t *Pending) awaitingDevice(w *pendingLogin) []*challenge {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.challenges), func(c *challenge) bool { return !c.awaitsDevice })
}

// checkDeviceCode returns the approval of the device that shows this code, or nil. Before
// a device has approved no code is right.
func (t *Pending) checkDeviceCode(w *pendingLogin, answer mfa.Password) *mfa.Approval {
	same := subtle.ConstantTimeCompare([]byte(w.deviceCode), []byte(deviceCodeText(answer)))
	a := t.approval(w)
	if w.deviceCode == "" || a == nil || same != 1 {
		return nil
	}
	return a
}

// deviceCodeDigits is how many digits the code has that a device shows.
const deviceCodeDigits = 6

// deviceCodeText returns the digits of an answer that has the form of the device's
// code, or nothing.
func deviceCodeText(answer mfa.Password) string {
	s := strings.ReplaceAll(string(answer), " ", "")
	if len(s) != deviceCodeDigits || strings.Trim(s, "0123456789") != "" {
		return ""
	}
	return s
}

// arm calls f at that time, unless the packet of r no longer waits by then.
func (t *Pending) arm(w *pendingLogin, r *mfa.Request, at time.Time, f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if packets, i, _ := w.waiterOf(r); packets != nil {
		(*packets)[i].timer = time.AfterFunc(time.Until(at), f)
	}
}

// waiterOf returns where the packet of r waits, or nil, and the challenge that it
// answered, if it did. Pending.mu is held.
func (w *pendingLogin) waiterOf(r *mfa.Request) (packets *[]waiter, i int, answered *challenge) {
	is := func(p waiter) bool { return p.Request == r }
	if i := slices.IndexFunc(w.waiters, is); i >= 0 {
		return &w.waiters, i, nil
	}
	for _, c := range w.challenges {
		if i := slices.IndexFunc(c.packets, is); i >= 0 {
			return &c.packets, i, c
		}
	}
	return nil, 0, nil
}

// swapForState takes the packet of r from those that wait, and makes a State for it.
// There is none if it no longer waits, a device has approved (the answer is on its
// way), or too many States are out: then it goes on waiting.
func (t *Pending) swapForState(w *pendingLogin, r *mfa.Request) (p waiter, state string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	packets, i, c := w.waiterOf(r)
	if packets == nil || r.Superseded() || w.answering() {
		return waiter{}, ""
	}
	p = (*packets)[i]
	*packets = slices.Delete(*packets, i, i+1)
	if c != nil && len(c.packets) == 0 { // its State is spent
		w.challenges = slices.DeleteFunc(w.challenges, func(o *challenge) bool { return o == c })
		delete(t.states, c.state)
	}
	if len(w.challenges) >= maxChallenges {
		w.waiters = append(w.waiters, p)
		return waiter{}, ""
	}
	return p, t.newChallenge(w, p.User.Key()).state
}

// dismiss takes the packet of r from those that wait; nil if it is not among
// them. With last it is the only one, no State is out either, and it stays to be
// answered with the login.
func (t *Pending) dismiss(w *pendingLogin, r *mfa.Request) (p *waiter, last bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	packets, i, _ := w.waiterOf(r)
	if packets == nil || r.Superseded() || w.answering() {
		return nil, false
	}
	others := 0
	for _, c := range w.challenges {
		if !c.answered {
			others++
		}
		others += waiting(c.packets)
	}
	if others+waiting(w.waiters) == 1 {
		return nil, true
	}
	one := (*packets)[i]
	*packets = slices.Delete(*packets, i, i+1)
	return &one, false
}

// dead reports whether the NAS has given up every packet of a prompt that nothing can
// join, that no challenge can lead back to, and that no device has approved.
func (t *Pending) dead(w *pendingLogin) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
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
