package login

import (
	"context"
	"github.com/radmatch/radmatch/mfa"
	"slices"
	"time"
)

// ending is how f in settle wants its login to go on.
type ending int

const (
	goesOn    ending = iota // the login is not over
	record                  // the event must be committed, then all are answered
	committed               // f has committed the event, or could not; all are answered
)

// settle is the only place where a login ends. It takes the login's turn, lets
// f look and decide, commits the event, and only then answers everyone who
// waits. f is not called if the login has ended before. A panic in f or in the
// journal ends the login too, and goes on.
func (t *Pending) settle(ctx context.Context, w *pendingLogin, f func() (mfa.Decision, mfa.Event, ending)) {
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
	d, ev, how := f()
	switch how {
	case goesOn:
		decided = true
		t.deciding(w, false)
		return
	case record:
		if err := t.Journal.Record(context.WithoutCancel(ctx), ev); err != nil {
			d = notRecorded(w, d, err)
		}
	}
	decided = true
	t.recall(w, d, ev)
	t.publish(w, d)
}

// abort ends w in a panic, with a rejection: nobody would end it otherwise, and
// its user could sign in no more. The deferred call holds where the journal is
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

// heard returns the packets that wait for what becomes of their answer to c, or
// with nil for the device, marked where the code of another answer was the last
// word. Pending.mu is held.
func (w *pendingLogin) heard(c *challenge, packets []waiter) []waiter {
	for i := range packets {
		packets[i].endedByOther = w.typed != nil && w.typed != c
	}
	return packets
}

func (t *Pending) remove(w *pendingLogin, d mfa.Decision) []waiter {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.done = true
	packets := w.heard(nil, w.held)
	w.held = nil
	for _, c := range w.challenges {
		packets = append(packets, w.heard(c, c.packets)...)
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
		t.denied[denialKey(&w.OpenPrompt)] = time.Now().Add(rememberDenial)
	}
	return packets
}
