package mfa

import (
	"context"
	"slices"
	"sync"
	"time"
)

// OpenPrompt is what lasts of a login that waits for a device when the server is
// killed. It lets nobody in: after the restart each request is checked by its own
// primary before it may join. Nothing in it derives from a password, and no
// number is in it.
type OpenPrompt struct {
	ID      string
	Key     string // join key; empty: nothing can join
	User    Name   // canonical
	Client  string
	Group   string
	EndUser string
	Claimed bool // EndUser is only what the person's machine calls itself
	Source  string
	Plan    Plan
	Reason  Reason
	Started time.Time
	Opened  time.Time // the first factor was right
	// HideClient and HidePlace are what policy keeps from this user's devices.
	HideClient bool
	HidePlace  bool
	Requests   []PromptRequest
}

// PromptKeeper keeps the open prompts over the death of the server. Both methods
// may be called concurrently, only note what is to be written, and call nothing of
// this package. A prompt that is lost all the same is not shown again.
type PromptKeeper interface {
	KeepPrompt(p OpenPrompt) // again when requests have joined; Requests is the keeper's
	DropPrompt(id string)    // of one that is over
}

// PromptResumer is a Pusher whose devices are shown, whenever they connect, what
// is live: pushed again under its ID after a restart, a prompt is still the same
// one. Of any other Pusher the prompts end with the server.
type PromptResumer interface {
	Pusher
	ResumesPrompts()
}

// note has the keeper keep w. t.mu is held.
func (t *Pending) note(w *wait) {
	if t.Keeper == nil || !w.prompts() {
		return
	}
	k := w.OpenPrompt
	k.Requests = slices.Clone(k.Requests)
	t.Keeper.KeepPrompt(k)
}

// forget has the keeper forget a prompt that is over. t.mu is held.
func (t *Pending) forget(w *wait) {
	if t.Keeper != nil && w.prompts() {
		t.Keeper.DropPrompt(w.ID)
	}
}

// resumable reports whether a request may still come that joins the prompt. A
// number or a code is not kept: its challenge died with the server, and the next login has
// another. A clock that was set back tells nothing of the time that is left.
func (k *OpenPrompt) resumable(c *Client, now time.Time) bool {
	return c != nil && c.Resumes && c.Join && c.Group == k.Group && k.Key != "" && k.Plan == PlanPush &&
		!k.Opened.After(now) && now.Before(k.Opened.Add(c.PushTimeout))
}

// Resume goes on with the prompts of a server that was killed, for the time that
// they had left: the devices show them, and a request of the same seat joins once
// its own first factor was right. An approval before that is kept as any that no
// packet waits for. What cannot go on gets its event. clients are those of the
// configuration, by name. Resume is called once, before the first request.
func (e *Engine) Resume(ctx context.Context, kept []OpenPrompt, clients map[string]*Client) {
	var lost sync.WaitGroup
	now := time.Now()
	for i := range kept {
		k, c := &kept[i], clients[kept[i].Client]
		l := Login{OpenPrompt: *k}
		if !k.resumable(c, now) {
			lost.Go(func() { e.Pending.lose(ctx, newWait(l, nil)) }) // at once, so that they share commits
			continue
		}
		l.Expires = k.Opened.Add(c.ChallengeTTL)
		w := newWait(l, c)
		w.resumed = true
		if !e.Pending.resume(w) {
			lost.Go(func() { e.Pending.lose(ctx, w) })
			continue
		}
		e.Limits.rang.take(w.User.Key(), w.Opened, time.Time{}, e.Rings)
		go e.push(w)
	}
	lost.Wait()
}

// resume registers a login from before a restart.
func (t *Pending) resume(w *wait) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.full(w) || len(t.users[peer{user: w.User.Key()}]) > 0 {
		return false
	}
	t.add(w)
	return true
}

// lose writes the event of a login that ended with the server. Where that fails,
// it is tried again at the next start.
func (t *Pending) lose(ctx context.Context, w *wait) {
	if w.cancel != nil {
		defer w.cancel(errSettled)
	}
	ev := w.event(Discard, ReasonShutdown, time.Now())
	ev.Method, ev.Text = w.promptMethod(), "the server was killed while this login waited"
	ev.Factor, ev.Total = 0, 0 // nobody knows
	if t.Journal.Record(context.WithoutCancel(ctx), ev) == nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.forget(w)
	}
}

// RestoreDenied has the denied and unanswered prompts among events, from before a
// restart, go on speaking for the time that they have left.
func (t *Pending) RestoreDenied(events []Event, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.init()
	for i := range events {
		ev := &events[i]
		age := now.Sub(ev.Time)
		if ev.Kind != EventLogin || !ev.Plan.prompts() || !declined(ev.Reason) || age < 0 || age >= rememberDenial || len(t.denied) >= t.Max {
			continue
		}
		t.denied[denialKey(&OpenPrompt{User: ev.User, Group: ev.Group, EndUser: ev.EndUser})] = ev.Time.Add(rememberDenial)
	}
}
