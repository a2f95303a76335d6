package login

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"sync"
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

// settle is the only place where a login ends. It takes the login's turn, lets
// look decide, commits the event, and only then answers everyone who waits. look
// is not called if the login has ended before. A panic in look or in the journal
// ends the login too, and goes on.
func (t *Pending) settle(ctx context.Context, w *pendingLogin, look func() verdict) {
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	if !t.deciding(w, true) {
		return
	}
	decided := false
	defer func() {
		if !decided {
			t.abort(w)
		}
	}()
	v := look()
	switch v.end {
	case goesOn:
		decided = true
		t.deciding(w, false)
		return
	case record:
		if v.event.ID == "" { // the zero verdict
			v = w.ends(mfa.Reject, mfa.ReasonInternalError, time.Now())
		}
		if err := t.Journal.Record(context.WithoutCancel(ctx), v.event); err != nil {
			v.Decision = notRecorded(w, v.Decision, err)
		}
	}
	decided = true
	t.recall(w, v)
	t.publish(w, v.Decision)
}

// abort ends w in a panic, with a rejection: nothing would end it otherwise, and
// its user could not sign in any more. The deferred call holds where the journal is
// what panics.
func (t *Pending) abort(w *pendingLogin) {
	d := w.decide(mfa.Reject, mfa.ReasonInternalError)
	defer t.publish(w, d)
	_ = t.Journal.Record(context.Background(), w.event(d.Outcome, d.Reason, time.Now()))
}

func (t *Pending) deciding(w *pendingLogin, on bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.deciding = on
	return !w.done
}

// publish removes w and answers every packet that waits for it.
func (t *Pending) publish(w *pendingLogin, d mfa.Decision) {
	packets := t.remove(w, d)
	if w.cancel != nil {
		w.cancel(errSettled)
	}
	for _, p := range packets {
		if p.timer != nil {
			p.timer.Stop()
		}
		p.reply(w.decisionFor(p, d))
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

func (t *Pending) remove(w *pendingLogin, d mfa.Decision) []waiter {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.done = true
	packets := w.markEnded(nil, w.waiters)
	w.waiters = nil
	for _, c := range w.challenges {
		packets = append(packets, w.markEnded(c, c.packets)...)
		c.packets = nil
		delete(t.states, c.state)
	}
	w.challenges = nil
	if _, ok := t.logins[w]; !ok {
		return packets
	}
	t.forget(w)
	delete(t.logins, w)
	share := w.client.Share()
	if t.clients[share]--; t.clients[share] == 0 {
		delete(t.clients, share)
	}
	table, key := t.peers(w)
	table[key] = slices.DeleteFunc(table[key], func(o *pendingLogin) bool { return o == w })
	if len(table[key]) == 0 {
		delete(table, key)
	}
	if w.Prompts() && declined(d.Reason) && len(t.denied) < t.Max {
		t.denied[denialKey(&w.Origin)] = time.Now().Add(rememberDenial)
	}
	return packets
}

// keep lets an approval that no packet waits for stand while a challenge is
// out, else for keepApproval.
func (t *Pending) keep(w *pendingLogin, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !w.deadline.IsZero() {
		return // the time runs from the approval, no matter which packet came for it
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

// Run ends what stays without an answer, until ctx ends. It is one goroutine's work.
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
