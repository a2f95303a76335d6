package login

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"github.com/radmatch/radmatch/mfa"
	"sync"
	"sync/atomic"
	"time"
)

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

// packets are the fingerprints of the requests that an approval of w lets in, for
// its event. The answer to a challenge is none of them: its State dies with the server.
func (t *Pending) packets(w *pendingLogin) (list [][]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range w.waiters {
		if p.State != "" || p.Superseded() {
			continue
		}
		if f := fingerprint(p.Request, w.User.Key()); f != "" && len(list) < maxPackets {
			list = append(list, []byte(f))
		}
	}
	return list
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
	if reason, err := e.barred(ctx, w, &ev.Approval); reason != "" || err != nil {
		return false
	}
	p.reply(w.decisionFor(p, mfa.Decision{Outcome: mfa.Accept, LoginID: ev.ID, Reason: ev.Reason}))
	return true
}
