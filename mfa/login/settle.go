package login

import (
	"cmp"
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// verdict is what the holder of a login's turn makes of it: the decision for those
// that wait, the event, and how the login ends. The zero value denies and ends it.
type verdict struct {
	mfa.Decision
	event mfa.Event
	end   ending
}

// ending is how a verdict leaves its login.
type ending int

const (
	record    ending = iota // the event must be committed, then all are answered
	committed               // the event is on disk already; all are answered
	goesOn                  // the login is not over
)

// view is a pending login for the holder of its turn: nobody else ends it meanwhile.
// Packets may still come to it, and a device may still approve it, so what others
// change is read by methods, each of which takes Pending's mutex for a moment.
type view struct {
	*pendingLogin
	table *Pending
	now   time.Time // the turn was taken
}

// settle is the only place where a login ends. It takes the login's turn, lets
// look decide, commits the event, and only then answers everyone who waits. look
// is not called if the login has ended before. A panic in look or in the journal
// ends the login too, and goes on.
func (t *Pending) settle(ctx context.Context, w *pendingLogin, look func(v view) verdict) {
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	v := view{pendingLogin: w, table: t, now: time.Now()}
	if !v.setDeciding(true) {
		return
	}
	decided := false
	defer func() {
		if !decided {
			v.abort()
		}
	}()
	made := look(v)
	switch made.end {
	case goesOn:
		decided = true
		v.setDeciding(false)
		return
	case record:
		if made.event.ID == "" { // the zero verdict
			made = v.ends(mfa.Reject, mfa.ReasonInternalError)
		}
		if err := t.Journal.Record(context.WithoutCancel(ctx), made.event); err != nil {
			made.Decision = notRecorded(w, made.Decision, err)
		}
	}
	decided = true
	v.remember(&made)
	v.publish(made.Decision)
}

// abort ends the login in a panic, with a rejection: nothing would end it otherwise,
// and its user could not sign in again. The deferred call holds where the journal is
// what panics.
func (v view) abort() {
	d := v.decide(mfa.Reject, mfa.ReasonInternalError)
	defer v.publish(d)
	_ = v.table.Journal.Record(context.Background(), v.event(d.Outcome, d.Reason, time.Now()))
}

// setDeciding says whether a decision is being made, and reports whether one can be.
func (v view) setDeciding(on bool) bool {
	v.table.mu.Lock()
	defer v.table.mu.Unlock()
	v.deciding = on
	return !v.done
}

// publish removes the login and answers every packet that waits for it.
func (v view) publish(d mfa.Decision) {
	packets := v.leave(d.Reason)
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

// leave takes the login out of the tables, and returns the packets that wait for it.
func (v view) leave(reason mfa.Reason) []waiter {
	v.table.mu.Lock()
	defer v.table.mu.Unlock()
	return v.table.remove(v.pendingLogin, reason)
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

// lapse ends a login whose challenge was not answered, or whose approval was not claimed.
func (v view) lapse() verdict {
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

// keep lets an approval that no packet waits for stand while a challenge is out,
// otherwise for keepApproval.
func (v view) keep() verdict {
	v.table.mu.Lock()
	defer v.table.mu.Unlock()
	if v.deadline.IsZero() { // the time runs from the approval, no matter which packet came for it
		v.deadline = v.now.Add(keepApproval)
		for _, c := range v.challenges {
			if !c.answered && v.Expires.After(v.deadline) {
				v.deadline = v.Expires
			}
		}
	}
	return verdict{end: goesOn}
}

var (
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
