package login

import (
	"context"
	"fmt"
	"github.com/radmatch/radmatch/mfa"
	"slices"
	"time"
)

// lastCallMargin is how long before its NAS gives up a held packet is answered:
// time for a commit and the way back.
const lastCallMargin = 400 * time.Millisecond

// lastCall is when a held packet must be answered, or the zero time where it is
// not known when its NAS gives up.
func lastCall(r *mfa.Request) time.Time {
	if r.GivesUp.IsZero() {
		return time.Time{}
	}
	return r.GivesUp.Add(-min(lastCallMargin, r.GivesUp.Sub(r.Received)/4))
}

// watch has a packet that waits for the device degraded before its NAS gives
// up. A client whose NAS timeout is longer than its prompts live needs no timer.
func (e *Engine) watch(w *pendingLogin, r *mfa.Request) {
	at := lastCall(r)
	if !w.Prompts() || at.IsZero() || at.After(w.Opened.Add(w.client.PushTimeout)) {
		return
	}
	e.Pending.arm(w, r, at, func() {
		defer e.Pending.recovered(w)
		e.degrade(context.WithoutCancel(w.life), w, r)
	})
}

// degrade answers one packet of a login that still waits for its device: with a
// challenge where that can be shown, so that the user may take longer than the
// NAS, or bring a passcode. Else with a rejection, which is better than silence:
// a NAS that hears nothing takes the server for dead. The login ends with it if
// nobody else can be answered any more.
func (e *Engine) degrade(ctx context.Context, w *pendingLogin, r *mfa.Request) {
	e.Pending.settle(ctx, w, func() verdict {
		if r.Dialog.Codes {
			user, err := e.Directory.User(ctx, w.User)
			if err != nil {
				return w.fails(err, time.Now())
			}
			if p, state := e.Pending.degrade(w, r); state != "" {
				p.reply(w.challenged(state, w.approveMessage(user.Codes > 0 || user.Pass)))
			}
			return verdict{end: goesOn}
		}
		p, last := e.Pending.dismiss(w, r)
		if last {
			return w.endsPrompt(mfa.Reject, mfa.ReasonNASTimeout, mfa.Approval{}, time.Now())
		}
		if p != nil {
			p.reply(w.decide(mfa.Reject, mfa.ReasonNASTimeout))
		}
		return verdict{end: goesOn}
	})
}

// approveMessage asks for what the devices ask for.
func (w *pendingLogin) approveMessage(code bool) string {
	switch {
	case w.deviceCode != "":
		return messageDeviceCode
	case w.Number != "" && code:
		return fmt.Sprintf(messageNumberCode, w.Number)
	case w.Number != "":
		return fmt.Sprintf(messageNumber, w.Number)
	case code:
		return messageApproveCode
	}
	return messageApprove
}

// arm calls f at that time, unless the packet of r waits no more by then.
func (t *Pending) arm(w *pendingLogin, r *mfa.Request, at time.Time, f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if packets, i, _ := w.find(r); packets != nil {
		(*packets)[i].timer = time.AfterFunc(time.Until(at), f)
	}
}

// find returns where the packet of r waits, or nil, and the challenge that it
// answered, if it did. Pending.mu is held.
func (w *pendingLogin) find(r *mfa.Request) (packets *[]waiter, i int, answered *challenge) {
	is := func(p waiter) bool { return p.Request == r }
	if i := slices.IndexFunc(w.held, is); i >= 0 {
		return &w.held, i, nil
	}
	for _, c := range w.challenges {
		if i := slices.IndexFunc(c.packets, is); i >= 0 {
			return &c.packets, i, c
		}
	}
	return nil, 0, nil
}

// degrade takes the packet of r from those that wait, and makes a State for it.
// There is none if it waits no more, a device has approved (the answer is on its
// way), or too many States are out: then it goes on waiting.
func (t *Pending) degrade(w *pendingLogin, r *mfa.Request) (p waiter, state string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	packets, i, c := w.find(r)
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
		w.held = append(w.held, p)
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
	packets, i, _ := w.find(r)
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
	if others+waiting(w.held) == 1 {
		return nil, true
	}
	one := (*packets)[i]
	*packets = slices.Delete(*packets, i, i+1)
	return &one, false
}

// answering reports whether an approval is about to answer all that wait.
// Pending.mu is held.
func (w *pendingLogin) answering() bool { return w.approved != nil && w.deviceCode == "" }

// waiting counts the packets that the NAS has not given up.
func waiting(packets []waiter) (n int) {
	for _, p := range packets {
		if !p.Superseded() {
			n++
		}
	}
	return n
}
