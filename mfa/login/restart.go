package login

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

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
// packet waits for. A login that cannot go on gets its event. Where there are other nodes,
// theirs are among them, and each is brought here when it is asked for. Resume is called
// once, before the first request.
func (e *Engine) Resume(ctx context.Context, kept []mfa.OpenPrompt) {
	var lost sync.WaitGroup
	now := time.Now()
	for i := range kept {
		k, c := &kept[i], e.Clients[kept[i].Client]
		if e.Pending.Site != nil {
			e.Pending.noteElsewhere(*k)
			continue
		}
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
		go e.push(w, false)
	}
	lost.Wait()
}

// reopen registers a login from before a restart.
func (t *Pending) reopen(w *pendingLogin) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.full(w) || len(t.peers[w.peer()]) > 0 {
		return false
	}
	t.add(w)
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
	if len(w.Requests) > 1 {
		ev.Requests = w.Requests
	}
	_ = t.Journal.Record(context.WithoutCancel(ctx), ev)
}

// Bounds of what an accept from before a restart is worth.
const (
	maxPackets   = 16               // that its event names
	keepAccepted = 60 * time.Second // the longest that a NAS is taken to send a packet again
)

// fingerprint tells a packet from every other: who asks, from where, and the random
// Request Authenticator that a NAS uses once (RFC 2865 §3). Nothing in it derives from
// a password, and it is no proof of one. It is empty where the packet cannot be told.
func fingerprint(r *mfa.Request, user mfa.NameKey) string {
	if r.Authenticator == [16]byte{} {
		return ""
	}
	h := sha256.New()
	for _, part := range [...]string{user.String(), r.User.Key().String(), r.Client.Name, r.Client.Group, r.EndUser, r.Source} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write([]byte(part))
	}
	signed := byte(0)
	if r.Signed {
		signed = 1
	}
	h.Write([]byte{r.ID, signed})
	h.Write(r.Authenticator[:])
	return string(h.Sum(nil)[:16])
}

// sendsAgain is for how long after its answer the packet may be sent again: as long
// as the NAS waits, and where that is not known as long as an approval waits for it.
func sendsAgain(r *mfa.Request) time.Duration {
	if r.GivesUp.IsZero() {
		return keepApproval
	}
	return min(r.GivesUp.Sub(r.Received), keepAccepted)
}

// accepted are the packets that a server before this one has let in, as their events
// say. Its Accepts may never have left, or have been lost with nobody to repeat them:
// the same packet, sent again, is answered once more without a prompt, and its event
// stands. The zero value is ready and has none.
type accepted struct {
	left    atomic.Int64 // of events; without any a login costs nothing
	mu      sync.Mutex
	events  map[string]*mfa.Event // by fingerprint
	forgets time.Time
}

// RestoreAccepted has the packets that accepted prompts among events name, from
// before a restart, answered where they are sent again.
func (t *Pending) RestoreAccepted(events []mfa.Event, now time.Time) {
	a := &t.accepted
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events, a.forgets = make(map[string]*mfa.Event), now.Add(keepAccepted)
	for i := range events {
		ev := &events[i]
		if ev.Kind != mfa.EventLogin || ev.Outcome != mfa.Accept || !ev.Plan.Prompts() || now.Sub(ev.Time) >= keepAccepted {
			continue
		}
		for _, f := range ev.Packets {
			if len(a.events) < t.Max {
				a.events[string(f)] = ev
			}
		}
	}
	a.left.Store(int64(len(a.events)))
}

// take returns the accept of the same packet and forgets it, or nil: once it has
// been answered here, the retransmission table has its answer.
func (a *accepted) take(p waiter, user mfa.NameKey) *mfa.Event {
	if a.left.Load() == 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	f := fingerprint(p.Request, user)
	ev := a.events[f]
	delete(a.events, f)
	a.left.Store(int64(len(a.events)))
	return ev
}

// expire forgets what no NAS sends any more.
func (a *accepted) expire(now time.Time) {
	if a.left.Load() == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !now.Before(a.forgets) {
		a.events = nil
		a.left.Store(0)
	}
}

// repeat answers p as a server before this one did, and reports whether it has. The
// first factor of p was right just now, and policy still asks for the same prompt. As
// before every Accept, blocks and the device are read again; in doubt a device is asked.
func (e *Engine) repeat(ctx context.Context, w *pendingLogin, p waiter, user mfa.User) bool {
	ev := e.Pending.accepted.take(p, w.User.Key())
	if ev == nil || ev.Plan != w.Plan || ev.User.Key() != w.User.Key() {
		return false
	}
	age := w.Opened.Sub(ev.Time)
	if age < 0 || age >= sendsAgain(p.Request) || !ev.Time.After(user.Unblocked) || e.Pending.drained() {
		return false
	}
	if site := e.Pending.Site; site != nil && site.Fresh(ctx, w.User) != nil {
		return false
	}
	user, err := e.Directory.User(ctx, w.User)
	if err != nil {
		return false
	}
	if reason, err := e.barred(ctx, w, user, &ev.Approval); reason != "" || err != nil {
		return false
	}
	p.reply(w.decisionFor(p, mfa.Decision{Outcome: mfa.Accept, LoginID: ev.ID, Reason: ev.Reason, Method: mfa.MethodPush}))
	return true
}
