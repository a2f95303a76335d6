package login

import (
	"cmp"
	"context"
	"crypto/subtle"
	"slices"
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
	tries        int                   // wrong codes of the login when it was made
	brought      bool                  // another node gave the State out
	last         bool                  // the answer came with the password, from a screen that can give no other
	answered     bool
	approved     bool // a device had approved when it was answered
	awaitsDevice bool // the answer is no code and waits for the device
	answer       mfa.Password
	packets      []waiter
}

// challenge answers p with a new State of w. It asks for what the login needs, where
// codes says that a passcode is an answer too, or for the answer to the primary's
// question. It reports false, and p is the caller's, if the login has ended, has too
// many challenges out, or a device has approved it already.
func (t *Pending) challenge(w *pendingLogin, p waiter, codes bool, asks *mfa.PrimaryChallenge) bool {
	t.mu.Lock()
	if w.done || w.answering() || len(w.challenges) >= maxChallenges {
		t.mu.Unlock()
		return false
	}
	c := t.newChallenge(w, t.newState(), p.User.Key())
	c.asks = asks
	t.mu.Unlock()
	t.keep(c)
	p.reply(w.challenged(c, w.ask(codes)))
	return true
}

// newState returns a State, by which the other nodes find its challenge too.
func (t *Pending) newState() string {
	if t.Site != nil {
		return t.Site.NewState()
	}
	return t.random.text(16)
}

// newChallenge brings a challenge to the user into the table. t.mu is held.
func (t *Pending) newChallenge(w *pendingLogin, state string, user mfa.NameKey) *challenge {
	c := &challenge{w: w, state: state, user: user, tries: w.Wrong}
	w.challenges = append(w.challenges, c)
	t.states[c.state] = c
	return c
}

// appended makes the record of a challenge that p has answered before it was
// sent: with the code that came with its password. It returns nil if the login
// has ended.
func (t *Pending) appended(w *pendingLogin, p waiter) *challenge {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.done {
		return nil
	}
	c := t.newChallenge(w, t.newState(), p.User.Key())
	c.last, c.answered, c.answer, c.packets = !p.Dialog.Codes, true, mfa.Password(w.code), []waiter{p}
	return c
}

// answer finds the challenge that p answers and takes it. The State is bound to the
// user's name and the client's group, and an answer from elsewhere must not use it
// up; nor must one to which an Access-Accept would not fit, which is the error. It
// returns nil for a State that is unknown, another's, expired or used; again is true
// where p is the same answer once more and will be answered with the first.
func (t *Pending) answer(p waiter, text mfa.Password) (c *challenge, again bool, err error) {
	if err := p.Fits(t.promised(p.State)); err != nil { // with more Proxy-State than the packet before it
		return nil, false, err
	}
	c, again, gone := t.take(p, text)
	giveUp(gone)
	return c, again, nil
}

// take takes the challenge for answer. Packets in gone are the caller's again: the
// NAS gave them up.
func (t *Pending) take(p waiter, text mfa.Password) (c *challenge, again bool, gone []waiter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c = t.stateOf(p)
	if c == nil {
		return nil, false, nil
	}
	if c.answered {
		c.packets, gone = sift(c.packets)
		if len(c.packets) < maxWaiters && subtle.ConstantTimeCompare([]byte(c.answer), []byte(text)) == 1 {
			c.packets = append(c.packets, p)
			return c, true, gone
		}
		return nil, false, gone
	}
	c.answered, c.answer, c.approved = true, text, c.w.approved != nil
	c.packets = append(c.packets, p)
	return c, false, nil
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

// withdraw takes the challenge that p answers, where nobody else waits for its login.
func (t *Pending) withdraw(p waiter) *challenge {
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

// replace makes the next challenge of a login in the place of c, for the packets that
// waited on it. It reports false where the login has no place among the user's
// dialogs, and gets none; a login that yields its place is the caller's to end.
func (v view) replace(c *challenge, asks *mfa.PrimaryChallenge) (packets []waiter, next *challenge, yields *pendingLogin, ok bool) {
	t, w := v.table, v.pendingLogin
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.placeless {
		if yields, ok = t.place(w); !ok {
			return nil, nil, nil, false
		}
		w.placeless = false
	}
	packets, c.packets = c.packets, nil
	delete(t.states, c.state)
	for i, x := range w.challenges {
		if x == c {
			next = &challenge{w: w, state: t.newState(), user: c.user, asks: asks, tries: w.Wrong}
			w.challenges[i] = next
			t.states[next.state] = next
			return packets, next, yields, true
		}
	}
	panic("mfa: internal error: a challenge that its login does not know")
}

// await lets p wait for the device's decision: late is called at that time, unless p no
// longer waits by then, and never where the time is zero. It reports whether a device
// has approved before: the second, packet or approval, sees the other. It is not ok if
// the login has ended or too many wait, and then p is the caller's again.
func (t *Pending) await(w *pendingLogin, p waiter, at time.Time, late func()) (approved, ok bool) {
	t.mu.Lock()
	var gone []waiter
	w.waiters, gone = sift(w.waiters)
	if ok = !w.done && len(w.waiters) < maxWaiters; ok {
		if a := p.answered; a != nil { // the same answer again finds it
			c := t.newChallenge(w, a.state, a.user)
			c.answered, c.answer, c.packets = true, a.answer, []waiter{p}
		} else {
			w.waiters = append(w.waiters, p)
		}
		w.arm(p.Request, at, late)
	}
	approved = ok && w.approved != nil
	t.mu.Unlock()
	giveUp(gone)
	return approved, ok
}

// awaitAnswer is await for a packet whose answer to c is no code. The same answer
// again waits as the first one does.
func (t *Pending) awaitAnswer(c *challenge, r *mfa.Request, again bool, at time.Time, late func()) (approved bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !again {
		c.awaitsDevice = true
	}
	c.w.arm(r, at, late)
	return c.w.approved != nil
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

// answering reports whether an approval is about to answer all that wait.
// Pending.mu is held.
func (w *pendingLogin) answering() bool { return w.approved != nil && w.deviceCode == "" }

// unanswered reports whether a challenge of w is out and nothing waits for what
// becomes of an answer. Pending.mu is held.
func (w *pendingLogin) unanswered() bool {
	return !w.deciding && len(w.waiters) == 0 && len(w.challenges) > 0 &&
		!slices.ContainsFunc(w.challenges, func(c *challenge) bool { return c.answered })
}

// arm has late called at that time, unless the packet of r no longer waits by then.
// Pending.mu is held.
func (w *pendingLogin) arm(r *mfa.Request, at time.Time, late func()) {
	if at.IsZero() {
		return
	}
	if packets, i, _ := w.waiterOf(r); packets != nil {
		(*packets)[i].timer = time.AfterFunc(time.Until(at), late)
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
func (v view) swapForState(r *mfa.Request) (p waiter, c *challenge) {
	t, w := v.table, v.pendingLogin
	t.mu.Lock()
	defer t.mu.Unlock()
	packets, i, spent := w.waiterOf(r)
	if packets == nil || r.Superseded() || w.answering() {
		return waiter{}, nil
	}
	p = (*packets)[i]
	*packets = slices.Delete(*packets, i, i+1)
	if spent != nil && len(spent.packets) == 0 { // and its State with it
		w.challenges = slices.DeleteFunc(w.challenges, func(o *challenge) bool { return o == spent })
		delete(t.states, spent.state)
	}
	if len(w.challenges) >= maxChallenges {
		w.waiters = append(w.waiters, p)
		return waiter{}, nil
	}
	return p, t.newChallenge(w, t.newState(), p.User.Key())
}

// dismiss takes the packet of r from those that wait; nil if it is not among
// them. With last it is the only one, no State is out either, and it stays to be
// answered with the login.
func (v view) dismiss(r *mfa.Request) (p *waiter, last bool) {
	v.table.mu.Lock()
	defer v.table.mu.Unlock()
	w := v.pendingLogin
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

// giveUp answers packets to which no answer can arrive, so that their
// caller can let them go.
func giveUp(packets []waiter) {
	for _, p := range packets {
		if p.timer != nil {
			p.timer.Stop()
		}
		p.reply(mfa.Decision{Outcome: mfa.Discard, Reason: mfa.ReasonSuperseded})
	}
}

// markEnded returns the packets that wait for what becomes of their answer to c, or
// with nil for the device, marked where the code of another answer was the last
// word. Pending.mu is held.
func (w *pendingLogin) markEnded(c *challenge, packets []waiter) []waiter {
	for i := range packets {
		packets[i].endedByOther = w.rightCode != nil && w.rightCode != c
	}
	return packets
}

// askForCode asks answers that waited for the device again, for the code that it
// shows by now. The approval stands until the code expires.
func (v view) askForCode(codes bool) verdict {
	return v.stands(func() {
		v.table.mu.Lock()
		waited := slices.DeleteFunc(slices.Clone(v.challenges), func(c *challenge) bool { return !c.awaitsDevice })
		v.deadline = v.Expires
		v.table.mu.Unlock()
		for _, c := range waited {
			v.askAgain(c, v.ask(codes), nil) // a prompt has its place, so that nothing is left to do
		}
	})
}

// askAgain ends c, whose answer was wrong or led to another question of the primary,
// and asks the packets that waited on it anew. A login that has no place among the
// user's dialogs yet takes one, or ends: what is returned says so when the turn is free.
func (v view) askAgain(c *challenge, a mfa.Ask, asks *mfa.PrimaryChallenge) (after func()) {
	packets, next, yields, ok := v.replace(c, asks)
	if !ok {
		return func() {
			v.table.settle(context.Background(), v.pendingLogin, func(v view) verdict {
				return v.ends(mfa.Reject, mfa.ReasonTooManyLogins)
			})
		}
	}
	v.table.keep(next)
	d := v.challenged(next, a)
	for _, p := range packets {
		p.reply(d)
	}
	if yields == nil {
		return nil
	}
	return func() { v.table.supersede(context.Background(), yields) }
}

// degrade answers the packet of r before its NAS gives up: where its screen takes an
// answer with a challenge, so that the user may take longer, or bring a passcode;
// otherwise with a rejection. The login ends with the last packet that can be answered.
func (v view) degrade(r *mfa.Request, codes bool) verdict {
	if r.Dialog.Codes {
		if p, c := v.swapForState(r); c != nil {
			v.table.keep(c)
			p.reply(v.challenged(c, v.ask(codes)))
		}
		return verdict{end: goesOn}
	}
	p, last := v.dismiss(r)
	if last {
		return v.endsPrompt(mfa.Reject, mfa.ReasonNASTimeout, mfa.Approval{})
	}
	if p != nil {
		p.reply(v.decide(mfa.Reject, mfa.ReasonNASTimeout))
	}
	return verdict{end: goesOn}
}

// challenged is the Access-Challenge c, which asks for a, or its question of the primary.
func (w *pendingLogin) challenged(c *challenge, a mfa.Ask) mfa.Decision {
	d := mfa.Decision{Outcome: mfa.Challenge, LoginID: w.ID, Reason: w.Reason, State: c.state, Ask: a}
	if q := c.asks; q != nil {
		d.Ask = mfa.Ask{Kind: mfa.AskQuestion, Echo: q.Echo, Expires: w.Expires}
		d.Message = cmp.Or(q.Message, messageAnswer) // ocserv and pam_radius fail without one
		return d
	}
	d.Message = askText(&a)
	return d
}

// ask is what the user is to do: where the login has a prompt, what the devices ask
// for. codes says that a passcode is an answer too.
func (w *pendingLogin) ask(codes bool) mfa.Ask {
	a := mfa.Ask{Kind: mfa.AskCode, Codes: codes, Echo: true, Expires: w.Expires}
	switch {
	case w.asksGone:
		a.Kind = mfa.AskOther
	case w.deviceCode != "":
		a.Kind = mfa.AskDeviceCode
	case w.Number != "":
		a.Kind, a.Number = mfa.AskNumber, w.Number
	case w.Prompts():
		a.Kind = mfa.AskApprove
	}
	return a
}
