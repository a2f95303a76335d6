package login

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// graceElsewhere is how much later than the node that opened a prompt the others end it.
const graceElsewhere = 2 * time.Second

// keepAnswer is for how long the same answer gets the decision that it got at another node.
const keepAnswer = 30 * time.Second

// promptElsewhere is a prompt that another node has opened and nothing here waits for.
type promptElsewhere struct {
	mfa.OpenPrompt
	approved *mfa.Approval
}

// Apply takes over an entry that was committed, by this node or another: what it says of
// limits and of logins that wait here. The store calls it for every numbered entry, in the
// order of its user, before mfa.User shows its version and before the decision that made
// it goes on. It may be called concurrently for different users.
func (e *Engine) Apply(ev mfa.Event) {
	if ev.Kind == mfa.EventGuess {
		e.guessed(&ev)
		return
	}
	e.Limits.apply(&ev, e.unblocked, Rules{Codes: e.Lockout, Fatigue: e.Fatigue, Prompts: e.PromptLimit})
	if denies(&ev) {
		e.Pending.deny(&ev)
	}
	if e.Pending.Site != nil {
		e.applyElsewhere(&ev)
	}
}

// guessed counts a wrong password of another node. It slows down here too, and ends what
// spares the user a prompt.
func (e *Engine) guessed(ev *mfa.Event) {
	if c := e.Clients[ev.Client]; c != nil {
		e.Limits.tries.count(tryKeyOf(ev), c.RejectDelay)
		e.Pending.memory.forget(ev.User.Key())
	}
}

// unblocked is when the user was last unblocked, which has forgiven what was before.
func (e *Engine) unblocked(user mfa.Name) time.Time {
	u, err := e.Directory.User(context.Background(), user)
	if err != nil {
		return time.Time{} // nothing is forgiven
	}
	return u.Unblocked
}

// applyElsewhere has the logins that wait here go on with what other nodes have decided.
func (e *Engine) applyElsewhere(ev *mfa.Event) {
	t := e.Pending
	switch ev.Reason {
	case mfa.ReasonPushDenied, mfa.ReasonNotMe, mfa.ReasonWrongNumber:
		t.memory.forget(ev.User.Key())
	}
	key, opened, wake := t.apply(ev)
	if wake != nil {
		go wake(e)
	}
	if c := e.Clients[ev.Client]; key != "" && c != nil && c.Remember > 0 {
		t.memory.Add(rememberedAt(key, c.Remember, ev))
	}
	if opened != nil && e.Watched != nil && e.Watched(opened.User) {
		go func() {
			defer t.recovered(nil)
			e.bringPrompt(*opened)
		}()
	}
}

// apply notes what an entry says of a login. wake is what is to be done about the login
// that waits here; opened is a prompt that another node has opened, and key the join key of
// one that was approved there.
func (t *Pending) apply(ev *mfa.Event) (key string, opened *mfa.OpenPrompt, wake func(*Engine)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.init()
	w, far := t.logins[ev.ID], t.elsewhere[ev.User.Key()]
	if far != nil && far.ID != ev.ID {
		far = nil
	}
	ours := w != nil && w.appending
	switch ev.Kind {
	case mfa.EventOpen:
		if w == nil && ev.Prompt != nil {
			t.elsewhere[ev.User.Key()] = &promptElsewhere{OpenPrompt: *ev.Prompt}
			opened = ev.Prompt
		}
	case mfa.EventJoin:
		if far != nil && ev.Prompt != nil {
			far.Requests, far.Node = ev.Prompt.Requests, ev.Prompt.Node
		}
		if w != nil && ev.Prompt != nil {
			w.Node = ev.Prompt.Node
		}
		if w != nil && !ours && len(w.Requests) < maxShown {
			w.Requests = append(w.Requests, ev.Requests...)
			wake = func(e *Engine) { e.amend(w) }
		}
	case mfa.EventTry:
		if w != nil {
			w.tried = max(w.tried, ev.Tries) // what is read at the start may come after a newer one
		}
	case mfa.EventApproved:
		a := ev.Approval
		if far != nil {
			far.approved = &a
		}
		if w != nil && !ours {
			w.approved, w.stood = &a, true
			wake = func(e *Engine) {
				defer t.recovered(w)
				e.approve(context.Background(), w)
			}
		}
	case mfa.EventLogin, mfa.EventUnclaimed:
		if ev.Outcome == mfa.Accept && ev.DeviceID != "" && !ours {
			key = keyOf(w, far)
		}
		if far != nil {
			delete(t.elsewhere, ev.User.Key())
		}
		if w != nil {
			w.endedBy = ev
		}
		if w != nil && !ours {
			wake = func(e *Engine) {
				defer t.recovered(w)
				t.ended(context.Background(), w)
			}
		}
	}
	return key, opened, wake
}

// keyOf is the join key of a prompt of another node.
func keyOf(w *pendingLogin, far *promptElsewhere) string {
	switch {
	case w != nil:
		return w.Key
	case far != nil:
		return far.Key
	}
	return ""
}

func (v *view) endedElsewhere() *mfa.Event {
	v.table.mu.Lock()
	defer v.table.mu.Unlock()
	v.appending = false
	v.Wrong = max(v.Wrong, v.tried)
	return v.endedBy
}

func (v *view) setAppending(on bool) {
	v.table.mu.Lock()
	defer v.table.mu.Unlock()
	v.appending = on
}

// spent reports whether c is the State of a question that was answered at another node.
func (v view) spent(c *challenge) bool { return c.brought && c.tries != v.Wrong }

// refuseSpent answers who brought a State that is spent as one that is unknown. The login
// goes on with the State that followed.
func (e *Engine) refuseSpent(ctx context.Context, v view, c *challenge) verdict {
	return verdict{end: goesOn, then: func() func() {
		packets := v.take(c)
		return func() {
			for _, p := range packets {
				e.refuse(ctx, p, p.User, mfa.Decision{Reason: mfa.ReasonStateUnknown})
			}
		}
	}}
}

// take takes a challenge out of the table, and returns the packets that answered it.
func (v view) take(c *challenge) []waiter {
	v.table.mu.Lock()
	defer v.table.mu.Unlock()
	v.challenges = slices.DeleteFunc(v.challenges, func(o *challenge) bool { return o == c })
	delete(v.table.states, c.state)
	packets := c.packets
	c.packets = nil
	return packets
}

// adopt is what the packets here get of a login that another node has ended. A device lets
// in all of them; a code only who brought the same one. As before every Accept, blocks are
// read again, and not from a memory that may be behind.
func (v *view) adopt(ctx context.Context, ev *mfa.Event) verdict {
	d := v.decide(ev.Outcome.Denial(), ev.Reason)
	if ev.Outcome != mfa.Accept || ev.Kind != mfa.EventLogin {
		return verdict{Decision: d}
	}
	d = v.decide(mfa.Reject, mfa.ReasonWrongCode)
	c := v.sameAnswer(ev)
	byDevice := ev.Approval.DeviceID != "" && ev.Method != methodDeviceCode
	if c == nil && !byDevice || v.now.Sub(ev.Time) >= keepAnswer {
		return verdict{Decision: d}
	}
	if v.err = v.table.Site.Fresh(ctx, v.User); v.err == nil {
		v.user, v.err = v.table.Directory.User(ctx, v.User)
	}
	switch {
	case v.err != nil:
		return verdict{Decision: v.noAnswer(v.err)}
	case v.user.Blocked:
		return verdict{Decision: v.decide(mfa.Reject, mfa.ReasonUserBlocked)}
	case byDevice && v.user.PushBlockedIn(v.Group):
		return verdict{Decision: v.decide(mfa.Reject, mfa.ReasonPushBlocked)}
	}
	d = v.decide(mfa.Accept, ev.Reason)
	if d.Method = mfa.MethodOTP; byDevice || ev.Method == methodDeviceCode {
		d.Method = mfa.MethodPush
	}
	return verdict{Decision: d, right: c}
}

// sameAnswer returns the challenge here whose answer is the one that ended the login by ev.
func (v *view) sameAnswer(ev *mfa.Event) *challenge {
	if len(ev.Answer) == 0 {
		return nil
	}
	v.table.mu.Lock()
	defer v.table.mu.Unlock()
	for _, c := range v.challenges {
		if c.answered && subtle.ConstantTimeCompare(v.table.answerMAC(c), ev.Answer) == 1 {
			return c
		}
	}
	return nil
}

// answerMAC tells the answer to a State. nil: there are no other nodes.
func (t *Pending) answerMAC(c *challenge) []byte {
	if t.Site == nil || c == nil {
		return nil
	}
	return t.Site.Derive("answer", c.state+"\x00"+string(c.answer))[:16]
}

// number and deviceCode are the same at every node.
func (t *Pending) number(login string) string {
	if t.Site == nil {
		return t.random.number()
	}
	return derived(t.Site, "number", login).number()
}

func (t *Pending) deviceCode(login string) mfa.Password {
	if t.Site == nil {
		return t.random.deviceCode()
	}
	return derived(t.Site, "device code", login).deviceCode()
}

// keptChallenge is what another node needs of a challenge: OpenState.Data.
type keptChallenge struct {
	Login Login
	User  string // of the User-Name
	Gone  bool   // it waits until another prompt is out of the way
}

// keep has the other nodes find a challenge that was just made. A question of the primary
// stays with the node that it asked.
func (t *Pending) keep(c *challenge) {
	if t.Site == nil || c.asks != nil {
		return
	}
	w := c.w
	t.mu.Lock()
	k := keptChallenge{Login: w.Login, User: c.user.String(), Gone: w.asksGone}
	k.Login.Requests = slices.Clone(w.Requests)
	t.mu.Unlock()
	k.Login.Number = "" // derived
	data, err := json.Marshal(k)
	if err != nil {
		return // no other node finds it
	}
	t.Site.KeepState(mfa.OpenState{State: c.state, User: w.User.Key(), Login: w.ID, Tries: c.tries, Expires: w.Expires, Data: data})
}

// fetch brings the login of a State that another node gave out to this one, and reports
// whether it has.
func (e *Engine) fetch(ctx context.Context, p waiter) (bool, error) {
	t := e.Pending
	if t.Site == nil || len(p.State) > maxState {
		return false, nil
	}
	s, err := t.Site.FindState(ctx, p.State)
	if err != nil || s == nil {
		return false, err
	}
	var k keptChallenge
	if err := json.Unmarshal(s.Data, &k); err != nil {
		return false, err
	}
	client := e.Clients[k.Login.Client]
	if client == nil || client.Group != k.Login.Group || p.Client.Group != client.Group || !p.Received.Before(k.Login.Expires) || k.Login.ID != s.Login {
		return false, nil
	}
	w := e.copyOf(k.Login, client)
	w.asksGone, w.Wrong, w.tried = k.Gone, s.Tries, s.Tries
	w, begun := t.bring(w, s.State, mfa.NameOf(k.User).Key())
	if w == nil {
		return false, nil
	}
	return true, e.catchUp(ctx, w, begun)
}

// maxState is the length of a State in octets that NewState makes at most.
const maxState = 32

// copyOf is a login that another node has opened.
func (e *Engine) copyOf(l Login, client *mfa.Client) *pendingLogin {
	w := newPendingLogin(l, client)
	w.copied, w.resumed, w.caughtUp, w.again = true, w.Prompts(), make(chan struct{}), make(chan struct{})
	switch w.Plan {
	case mfa.PlanNumber:
		w.Number = e.Pending.number(w.ID)
	case mfa.PlanCode:
		w.deviceCode = e.Pending.deviceCode(w.ID)
	}
	return w
}

// bring puts w into the table, unless it is there, and its State too where it has one.
// nil: there is no room. begun says that it was not there.
func (t *Pending) bring(w *pendingLogin, state string, user mfa.NameKey) (_ *pendingLogin, begun bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.init()
	if o := t.logins[w.ID]; o != nil {
		w = o
	} else {
		if t.full(w) {
			return nil, false
		}
		begun = true
		if far := t.elsewhere[w.User.Key()]; far != nil && far.ID == w.ID {
			w.approved, w.stood = far.approved, far.approved != nil
			delete(t.elsewhere, w.User.Key())
		}
		t.add(w)
	}
	if state != "" && t.states[state] == nil && len(w.challenges) < maxChallenges {
		t.newChallenge(w, state, user).brought = true
	}
	return w, begun
}

// catchUp has a login that was just brought here know what became of it before; later entries
// are applied as they come, and nothing is decided about it until then. If it has ended, who
// brought it here answers with that end, see ended. A prompt is shown by the devices that
// connect here.
func (e *Engine) catchUp(ctx context.Context, w *pendingLogin, begun bool) error {
	if !begun {
		return nil
	}
	defer close(w.caughtUp)
	entries, err := e.Pending.Site.Entries(ctx, w.User, w.ID)
	if err != nil {
		e.Pending.drop(w, mfa.ReasonMFAError)
		e.Pending.noteElsewhere(*e.Pending.promptOf(w))
		return err
	}
	for i := range entries {
		switch ev := &entries[i]; {
		case ev.Kind == mfa.EventJoin && ev.Prompt != nil: // its requests are known
			e.Pending.setNode(w, ev.Prompt.Node)
		case ev.Kind != mfa.EventOpen && ev.Kind != mfa.EventJoin:
			e.Pending.apply(ev)
		}
	}
	if w.Prompts() && w.client.Resumes {
		go e.push(w, false)
	}
	if e.Pending.isApproved(w) { // packets may have come meanwhile
		go func() {
			defer e.Pending.recovered(w)
			e.approve(context.Background(), w)
		}()
	}
	return nil
}

// ended answers the packets of a login that another node has ended, and reports whether one
// has.
func (t *Pending) ended(ctx context.Context, w *pendingLogin) bool {
	t.mu.Lock()
	by := w.endedBy
	t.mu.Unlock()
	if by != nil {
		t.settle(ctx, w, func(view) verdict { return verdict{end: goesOn} })
	}
	return by != nil
}

// noteElsewhere notes a prompt that nothing here waits for.
func (t *Pending) noteElsewhere(k mfa.OpenPrompt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.init()
	if k.Plan.Prompts() {
		t.elsewhere[k.User.Key()] = &promptElsewhere{OpenPrompt: k}
	}
}

// drop takes a login out of the table that does not end here. Its packets get no answer, so
// that the NAS asks another server.
func (t *Pending) drop(w *pendingLogin, reason mfa.Reason) {
	t.mu.Lock()
	packets := t.remove(w)
	t.mu.Unlock()
	if w.cancel != nil {
		w.cancel(errSettled)
	}
	for _, p := range packets {
		p.reply(mfa.Decision{Outcome: mfa.Discard, LoginID: w.ID, Reason: reason})
	}
}

// Show brings the open prompt of a user here, of whom a device has connected, and returns
// its id: the provider shows it in a moment. Empty: there is none elsewhere.
func (e *Engine) Show(user mfa.Name) (id string) {
	if k := e.Pending.promptElsewhere(user); k != nil && e.bringPrompt(*k) {
		return k.ID
	}
	return ""
}

func (t *Pending) promptElsewhere(user mfa.Name) *mfa.OpenPrompt {
	t.mu.Lock()
	defer t.mu.Unlock()
	if far := t.elsewhere[user.Key()]; far != nil {
		k := far.OpenPrompt
		return &k
	}
	return nil
}

// bringPrompt has requests join the prompt of another node here, and devices decide it. It
// reports false where the configuration here does not know its client, or there is no room.
func (e *Engine) bringPrompt(k mfa.OpenPrompt) bool {
	client := e.Clients[k.Client]
	if client == nil || client.Group != k.Group || e.Pending.drained() {
		return false
	}
	w := e.copyOf(Login{OpenPrompt: k, Expires: k.Opened.Add(client.ChallengeTTL)}, client)
	w, begun := e.Pending.bring(w, "", mfa.NameKey{})
	if w == nil {
		return false
	}
	if e.catchUp(context.Background(), w, begun) != nil {
		return false
	}
	e.Pending.ended(context.Background(), w)
	return true
}

// endElsewhere ends the prompts whose nodes did not: they were killed.
func (t *Pending) endElsewhere(ctx context.Context, now time.Time) {
	t.mu.Lock()
	var over []mfa.OpenPrompt
	for _, far := range t.elsewhere {
		if now.After(far.Until.Add(graceElsewhere)) {
			over = append(over, far.OpenPrompt)
		}
	}
	t.mu.Unlock()
	var ended sync.WaitGroup
	for _, k := range over {
		ended.Go(func() {
			defer t.recovered(nil)
			w := newPendingLogin(Login{OpenPrompt: k, Expires: k.Until}, nil)
			defer w.cancel(errSettled)
			t.settle(ctx, w, func(v view) verdict {
				if far := t.promptElsewhere(w.User); far == nil || far.ID != w.ID {
					return verdict{end: goesOn} // ended, or brought here
				}
				return v.endsPrompt(mfa.Reject, mfa.ReasonPushNoResponse, mfa.Approval{})
			})
		})
	}
	ended.Wait()
}

// denies reports whether an entry ends a prompt so that the next one of its origin is
// refused for a while.
func denies(ev *mfa.Event) bool {
	return ev.Kind == mfa.EventLogin && ev.Plan.Prompts() && declined(ev.Reason) && !ev.GivenUp
}

// deny remembers what ev denies.
func (t *Pending) deny(ev *mfa.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.init()
	if len(t.denied) < t.Max {
		t.denied[denialKey(&ev.Origin)] = ev.Time.Add(rememberDenial)
	}
}

// RestoreDenied has the denied and unanswered prompts among events, from before a
// restart, go on speaking for the time that they have left.
func (t *Pending) RestoreDenied(events []mfa.Event, now time.Time) {
	for i := range events {
		ev := &events[i]
		if age := now.Sub(ev.Time); denies(ev) && age >= 0 && age < rememberDenial {
			t.deny(ev)
		}
	}
}
