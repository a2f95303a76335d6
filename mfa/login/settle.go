package login

import (
	"cmp"
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// verdict is what the holder of a login's turn makes of it: the decision for those
// that wait, the entry, and how the login goes on. The zero value denies and ends it.
// It changes nothing by itself: the entry may come too late, and is then made anew.
type verdict struct {
	mfa.Decision
	event mfa.Event
	end   ending
	right *challenge // whose answer was the code that lets in; nil: no code was
	// then is called in the turn once the entry of a login that goes on is on disk, and what
	// it returns when the turn is free. nil: nothing.
	then func() func()
}

// ending is how a verdict leaves its login.
type ending int

const (
	record ending = iota // the event must be committed, then all are answered
	step                 // the event must be committed, and the login is not over
	note                 // as step, and without it the login goes on as it was
	goesOn               // there is nothing to commit, and the login is not over
)

// outcome is what became of a login that was to be settled.
type outcome struct {
	ended bool         // it is over, by this decision or by one before
	d     mfa.Decision // where this one ended it
	err   error        // a note was not committed
}

// view is a pending login for the holder of its turn: nobody else ends it meanwhile.
// Packets may still come to it, and a device may still approve it, so what others
// change is read by methods, each of which takes Pending's mutex for a moment.
type view struct {
	*pendingLogin
	table *Pending
	now   time.Time // the turn was taken, or the decision is made again
	user  mfa.User  // as the directory has them now, on whose version the entry follows
	err   error     // why there is no user
}

// maxAgain is how often a decision is made again because others came first.
const maxAgain = 8

// settle is the only place where a login ends. It takes the turn of the login's user,
// lets look decide, commits the entry, and only then answers everyone who waits. Where
// others came first, at another node or by a command, look decides again: it may change
// nothing of the login unless it has nothing to commit. look is not called if the login
// has ended before. A panic in look or in the ledger ends the login too, and goes on.
func (t *Pending) settle(ctx context.Context, w *pendingLogin, look func(v view) verdict) outcome {
	var after func()
	defer func() {
		if after != nil {
			after()
		}
	}()
	if w.caughtUp != nil {
		<-w.caughtUp
	}
	key := w.peer()
	t.turns.enter(key)
	defer t.turns.leave(key)
	v := view{pendingLogin: w, table: t}
	if v.over() {
		return outcome{ended: true}
	}
	decided := false
	defer func() {
		if !decided {
			v.abort()
		}
	}()
	made, err := v.commit(context.WithoutCancel(ctx), look)
	decided = true
	v.setAppending(false)
	if made.end != record {
		if made.then != nil && err == nil {
			after = made.then()
		}
		return outcome{err: err}
	}
	if made.event.ID != "" { // an end that was made elsewhere is remembered where it is applied
		v.remember(&made)
	}
	v.publish(&made)
	return outcome{ended: true, d: made.Decision}
}

// commit has look decide until its entry is the next one of the user. A step that
// cannot be committed ends the login; a note that cannot returns the error.
func (v *view) commit(ctx context.Context, look func(v view) verdict) (made verdict, err error) {
	for range maxAgain {
		v.now = time.Now()
		if by := v.endedElsewhere(); by != nil {
			return v.adopt(ctx, by), nil
		}
		v.readUser(ctx)
		made = look(*v)
		switch made.end {
		case goesOn:
			return made, nil
		case record:
			if made.event.ID == "" { // the zero verdict
				made = v.ends(mfa.Reject, mfa.ReasonInternalError)
			}
		}
		v.setDeciding(made.end == record)
		if err = v.append(ctx, &made); !errors.Is(err, mfa.ErrStale) {
			break
		}
	}
	switch {
	case err == nil || made.end == note:
		return made, err
	case made.end == step || errors.Is(err, mfa.ErrStale): // it has no entry at all
		made = v.fails(err)
		_ = v.table.Journal.Record(ctx, made.event)
	default:
		made.Decision = notRecorded(v.pendingLogin, made.Decision, err)
	}
	return made, nil
}

// readUser has the user as the directory has them now. One whom nobody has checked yet is
// not looked up.
func (v *view) readUser(ctx context.Context) {
	if v.user, v.err = (mfa.User{}), errNoUser; !v.asks {
		v.user, v.err = v.table.Directory.User(ctx, v.User)
	}
}

// append commits the entry of made as the next one of the user. Of a user whom nobody has
// checked yet, or whom the directory cannot tell, only a denial is written.
func (v *view) append(ctx context.Context, made *verdict) error {
	switch {
	case v.err == nil:
		v.setAppending(true)
		return v.table.Ledger.Append(ctx, v.user.Version, made.event)
	case made.end != record || made.Outcome == mfa.Accept:
		return v.err
	}
	return v.table.Journal.Record(ctx, made.event)
}

// turns has one decision about a user made at a time, so that those of one node do not
// come before each other. It may be used concurrently; its zero value is ready.
type turns struct {
	mu    sync.Mutex
	m     map[peer]*userTurn
	spare []*userTurn
}

type userTurn struct {
	n    int           // who has it or waits for it
	busy chan struct{} // capacity 1
}

func (t *turns) enter(key peer) {
	t.mu.Lock()
	e := t.m[key]
	if e == nil {
		if t.m == nil {
			t.m = make(map[peer]*userTurn)
		}
		if n := len(t.spare); n > 0 {
			e, t.spare = t.spare[n-1], t.spare[:n-1]
		} else {
			e = &userTurn{busy: make(chan struct{}, 1)}
		}
		t.m[key] = e
	}
	e.n++
	t.mu.Unlock()
	e.busy <- struct{}{}
}

func (t *turns) leave(key peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.m[key]
	<-e.busy
	if e.n--; e.n == 0 {
		delete(t.m, key)
		if len(t.spare) < 256 {
			t.spare = append(t.spare, e)
		}
	}
}

// abort ends the login in a panic, with a rejection: nothing would end it otherwise,
// and its user could not sign in again. The deferred call holds where the journal is
// what panics.
func (v view) abort() {
	made := verdict{Decision: v.decide(mfa.Reject, mfa.ReasonInternalError)}
	defer v.publish(&made)
	_ = v.table.Journal.Record(context.Background(), v.event(made.Outcome, made.Reason, time.Now()))
}

// setDeciding says whether the end of the login is being committed.
func (v view) setDeciding(on bool) {
	v.table.mu.Lock()
	defer v.table.mu.Unlock()
	v.deciding = on
}

// setWrong counts the wrong codes of the login, for its next challenges too.
func (v view) setWrong(n int) {
	v.table.mu.Lock()
	defer v.table.mu.Unlock()
	v.Wrong = n
}

// over reports whether the login has ended.
func (v view) over() bool {
	v.table.mu.Lock()
	defer v.table.mu.Unlock()
	return v.done
}

// publish removes the login and answers every packet that waits for it.
func (v view) publish(made *verdict) {
	d := made.Decision
	packets := v.leave(made.right)
	if v.cancel != nil {
		v.cancel(errSettled)
	}
	for _, p := range packets {
		if p.timer != nil {
			p.timer.Stop()
		}
		p.reply(v.decisionFor(p, d))
	}
}

// leave takes the login out of the tables, and returns the packets that wait for it. right
// is the challenge whose answer was the code that lets in, nil where none was.
func (v view) leave(right *challenge) []waiter {
	v.table.mu.Lock()
	defer v.table.mu.Unlock()
	v.rightCode = right
	return v.table.remove(v.pendingLogin)
}

// remember takes from the end of a login what is to be remembered or forgotten.
func (v view) remember(made *verdict) {
	switch made.Reason {
	case mfa.ReasonPushDenied, mfa.ReasonNotMe, mfa.ReasonWrongNumber:
		v.table.memory.forget(v.User.Key())
		return
	}
	if made.Outcome != mfa.Accept || made.Method != mfa.MethodPush || made.event.DeviceID == "" || v.Key == "" || v.client.Remember <= 0 {
		return // a provider that does not name its devices cannot say which one is removed
	}
	a := newRemembered(v.pendingLogin, &made.event)
	v.table.mu.Lock()
	for _, p := range v.waiters {
		a.call(p.User.Key())
	}
	for _, c := range v.challenges {
		a.call(c.user)
	}
	v.table.mu.Unlock()
	v.table.memory.Add(a)
}

// event is the login's line of the audit trail, with the requests that have joined so far.
func (v view) event(o mfa.Outcome, r mfa.Reason, now time.Time) mfa.Event {
	ev := v.pendingLogin.event(o, r, now)
	if v.Prompts() {
		if requests := v.table.requests(v.pendingLogin); len(requests) > 1 {
			ev.Requests = requests
		}
	}
	return ev
}

func (v view) promptEvent(o mfa.Outcome, r mfa.Reason, a mfa.Approval, now time.Time) mfa.Event {
	ev := v.event(o, r, now)
	ev.Method, ev.Approval = v.promptMethod(), a
	return ev
}

// ends is a verdict that ends the login with its plain event.
func (v view) ends(o mfa.Outcome, reason mfa.Reason) verdict {
	return verdict{Decision: v.decide(o, reason), event: v.event(o, reason, v.now)}
}

// endsPrompt ends the login with the event of its prompt.
func (v view) endsPrompt(o mfa.Outcome, reason mfa.Reason, a mfa.Approval) verdict {
	made := verdict{Decision: v.decide(o, reason), event: v.promptEvent(o, reason, a, v.now)}
	if o == mfa.Accept {
		made.Method = mfa.MethodPush
	}
	return made
}

// fails ends the login because a store or provider failed; it never accepts.
func (v view) fails(err error) verdict {
	d := v.noAnswer(err)
	return verdict{Decision: d, event: v.event(d.Outcome, d.Reason, v.now)}
}

// failsPrompt is fails with the event of the prompt.
func (v view) failsPrompt(err error, a mfa.Approval) verdict {
	d := v.noAnswer(err)
	return verdict{Decision: d, event: v.promptEvent(d.Outcome, d.Reason, a, v.now)}
}

// lapse ends a login whose challenge was not answered, or whose approval was not claimed, or
// whose prompt the node that opened it did not end.
func (v view) lapse() verdict {
	if v.copied && v.Prompts() && v.approval() == nil {
		return v.endsPrompt(mfa.Reject, mfa.ReasonPushNoResponse, mfa.Approval{})
	}
	ev := v.event(mfa.Reject, mfa.ReasonChallengeExpired, v.now)
	if a := v.approval(); a != nil {
		ev.Kind, ev.Reason, ev.Approval, ev.Method = mfa.EventUnclaimed, mfa.ReasonAbandoned, *a, v.promptMethod()
		ev.Text = "approved, but no packet waited for it: no one got in"
		if v.deviceCode != "" {
			ev.Text = "approved, but its code was not typed: no one got in"
		}
	}
	return verdict{Decision: v.decide(mfa.Reject, ev.Reason), event: ev}
}

// approval returns the device's approval, or nil.
func (v view) approval() *mfa.Approval {
	v.table.mu.Lock()
	defer v.table.mu.Unlock()
	return v.approved
}

// waits reports whether a packet that the NAS has not given up waits for the
// device's decision.
func (v view) waits() bool {
	v.table.mu.Lock()
	defer v.table.mu.Unlock()
	n := waiting(v.waiters)
	for _, c := range v.challenges {
		n += waiting(c.packets)
	}
	return n > 0
}

// waitsOn reports whether a packet waits for what becomes of its answer to c.
func (v view) waitsOn(c *challenge) bool {
	v.table.mu.Lock()
	defer v.table.mu.Unlock()
	return len(c.packets) > 0
}

// isDead is pendingLogin.dead, now.
func (v view) isDead() bool {
	v.table.mu.Lock()
	defer v.table.mu.Unlock()
	return v.dead()
}

// packets are the fingerprints of the requests that an approval lets in, for the
// event. The answer to a challenge is none of them: its State dies with the server.
func (v view) packets() (list [][]byte) {
	v.table.mu.Lock()
	defer v.table.mu.Unlock()
	for _, p := range v.waiters {
		if p.State != "" || p.Superseded() {
			continue
		}
		if f := fingerprint(p.Request, v.User.Key()); f != "" && len(list) < maxPackets {
			list = append(list, []byte(f))
		}
	}
	return list
}

// keeps lets an approval that no packet waits for stand while a challenge is out,
// otherwise for keepApproval.
func (v view) keeps() verdict {
	return v.stands(func() {
		v.table.mu.Lock()
		defer v.table.mu.Unlock()
		if !v.deadline.IsZero() { // the time runs from the approval, no matter which packet came for it
			return
		}
		v.deadline = v.now.Add(keepApproval)
		for _, c := range v.challenges {
			if !c.answered && v.Expires.After(v.deadline) {
				v.deadline = v.Expires
			}
		}
	})
}

// stands writes an approval down, once, that by itself ends nothing.
func (v view) stands(then func()) verdict {
	if v.stood {
		then()
		return verdict{end: goesOn}
	}
	made := v.endsPrompt(mfa.Reject, v.Reason, *v.approval())
	made.end, made.event.Kind = step, mfa.EventApproved
	made.then = func() func() {
		v.stood = true
		then()
		return nil
	}
	return made
}

var (
	errNoUser   = errors.New("nobody has checked who the user is")
	errShutdown = errors.New("shutting down")
	errSettled  = errors.New("login ended")
)

// recovered is deferred at the top of a goroutine. After a panic it ends w, if
// there is one, with a rejection.
func (t *Pending) recovered(w *pendingLogin) {
	p := recover()
	if p == nil {
		return
	}
	id := ""
	if w != nil {
		id = w.ID
		defer t.settle(context.Background(), w, func(v view) verdict {
			return v.ends(mfa.Reject, mfa.ReasonInternalError)
		})
	}
	if t.Panicked != nil {
		t.Panicked(id, p, debug.Stack())
	}
}

// decide returns the login's last word.
func (w *pendingLogin) decide(o mfa.Outcome, reason mfa.Reason) mfa.Decision {
	d := mfa.Decision{Outcome: o, LoginID: w.ID, Reason: reason}
	if o == mfa.Reject {
		d.Message = messageRejected
	}
	return d
}

// noAnswer is for a store or provider that failed; it never accepts.
func (w *pendingLogin) noAnswer(err error) mfa.Decision {
	d := w.decide(w.client.OnMFAError.Denial(), mfa.ReasonMFAError)
	d.Err = err
	return d
}

// decisionFor gives an accepted packet the attributes and keys of its own
// primary check, and an answer to a challenge those of the login. A code lets in
// who typed it: the packets that joined wait for a device, which nobody has
// looked at, or have brought another code.
func (w *pendingLogin) decisionFor(p waiter, d mfa.Decision) mfa.Decision {
	switch {
	case d.Outcome != mfa.Accept:
		return d
	case p.endedByOther:
		return w.decide(mfa.Reject, mfa.ReasonWrongCode)
	}
	d.Identity = cmp.Or(p.identity, &w.Identity)
	return d
}

// notRecorded turns a decision whose event is not on disk into one that
// accepts no login.
func notRecorded(w *pendingLogin, d mfa.Decision, err error) mfa.Decision {
	if d.Outcome == mfa.Accept {
		return w.noAnswer(err)
	}
	d.Err = errors.Join(d.Err, err)
	return d
}
