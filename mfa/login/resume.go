package login

import (
	"context"
	"github.com/radmatch/radmatch/mfa"
	"slices"
	"sync"
	"time"
)

// note has the keeper keep w. t.mu is held.
func (t *Pending) note(w *pendingLogin) {
	if t.Keeper == nil || !w.Prompts() {
		return
	}
	k := w.OpenPrompt
	k.Requests = slices.Clone(k.Requests)
	t.Keeper.KeepPrompt(k)
}

// forget has the keeper forget a prompt that is over. t.mu is held.
func (t *Pending) forget(w *pendingLogin) {
	if t.Keeper != nil && w.Prompts() {
		t.Keeper.DropPrompt(w.ID)
	}
}

// resumable reports whether a request may still come that joins the prompt. A
// number or a code is not kept: its challenge died with the server, and the next login has
// another. A clock that was set back tells nothing of the time that is left.
func resumable(k *mfa.OpenPrompt, c *mfa.Client, now time.Time) bool {
	return c != nil && c.Resumes && c.Join && c.Group == k.Group && k.Key != "" && k.Plan == mfa.PlanPush &&
		!k.Opened.After(now) && now.Before(k.Opened.Add(c.PushTimeout))
}

// Resume goes on with the prompts of a server that was killed, for the time that
// they had left: the devices show them, and a request of the same origin joins once
// its own first factor was right. An approval before that is kept as any that no
// packet waits for. What cannot go on gets its event. clients are those of the
// configuration, by name. Resume is called once, before the first request.
func (e *Engine) Resume(ctx context.Context, kept []mfa.OpenPrompt, clients map[string]*mfa.Client) {
	var lost sync.WaitGroup
	now := time.Now()
	for i := range kept {
		k, c := &kept[i], clients[kept[i].Client]
		l := Login{OpenPrompt: *k}
		if !resumable(k, c, now) {
			lost.Go(func() { e.Pending.lose(ctx, newPendingLogin(l, nil)) }) // at once, so that they share commits
			continue
		}
		l.Expires = k.Opened.Add(c.ChallengeTTL)
		w := newPendingLogin(l, c)
		w.resumed = true
		if !e.Pending.reopen(w) {
			lost.Go(func() { e.Pending.lose(ctx, w) })
			continue
		}
		e.Limits.sent.take(w.User.Key(), w.Opened, time.Time{}, e.PromptLimit)
		go e.push(w)
	}
	lost.Wait()
}

// resume registers a login from before a restart.
func (t *Pending) reopen(w *pendingLogin) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.full(w) || len(t.users[peer{user: w.User.Key()}]) > 0 {
		return false
	}
	t.Add(w)
	return true
}

// lose writes the event of a login that ended with the server. Where that fails,
// it is tried again at the next start.
func (t *Pending) lose(ctx context.Context, w *pendingLogin) {
	if w.cancel != nil {
		defer w.cancel(errSettled)
	}
	ev := w.event(mfa.Discard, mfa.ReasonShutdown, time.Now())
	ev.Method, ev.Text = w.promptMethod(), "the server was killed while this login waited"
	ev.Factor, ev.Total = 0, 0 // not known
	if t.Journal.Record(context.WithoutCancel(ctx), ev) == nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.forget(w)
	}
}

// RestoreDenied has the denied and unanswered prompts among events, from before a
// restart, go on speaking for the time that they have left.
func (t *Pending) RestoreDenied(events []mfa.Event, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.init()
	for i := range events {
		ev := &events[i]
		age := now.Sub(ev.Time)
		if ev.Kind != mfa.EventLogin || !ev.Plan.Prompts() || !declined(ev.Reason) || age < 0 || age >= rememberDenial || len(t.denied) >= t.Max {
			continue
		}
		t.denied[denialKey(&ev.Origin)] = ev.Time.Add(rememberDenial)
	}
}
