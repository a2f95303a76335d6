package radius

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// A NAS does not say how long it waits for an answer. What it sends while a
// request is held tells: it sends again and again, and stops when it gives up.

// EnoughTime is what a person needs at least to find a phone and approve.
const EnoughTime = 30 * time.Second

const (
	maxWaits = 32 // that count, of one client, each of another seat
	// enoughWaits are trusted: one person who hangs up again and again teaches nothing.
	enoughWaits = 5
	// keepWaits is how long a wait counts. Once a budget is learned requests are
	// answered before it ends, so that nothing would ever show that the device was
	// set to wait longer: each day it is learned anew.
	keepWaits = 24 * time.Hour
	shortWait = time.Second // less tells of a network that doubles packets, or of a reload
	longWait  = 10 * time.Minute
	// silentWaits is how many requests in a row without the retransmissions that
	// were to come show that the device was set anew.
	silentWaits = 3
	// seatSlots is how many requests of a client are looked out for under another
	// identifier. Two in one slot: the earlier one tells nothing.
	seatSlots = 256
)

// Wait is how long a NAS waited for the answer to one request.
type Wait struct {
	At    time.Time     // when it had given up
	For   time.Duration // from the first packet on
	Again time.Duration // until the first retransmission
}

// patience is what a client was seen to wait. Its methods may be called concurrently.
type patience struct {
	mu     sync.Mutex
	waits  []seatWait // oldest first
	silent int        // requests in a row that were not sent again when they were to be
	budget atomic.Pointer[budget]
	seats  [seatSlots]atomic.Pointer[exchange]
}

// seatWait is a Wait with the seat that it was for, 0 from before a restart.
type seatWait struct {
	Wait
	seat uint64
}

// budget is what was learned. It counts until the waits are too few or too old.
type budget struct {
	wait, again time.Duration
	until       time.Time
}

// learned returns how long the client waits, 0 where that is not known.
func (p *patience) learned(now time.Time) time.Duration {
	if b := p.budget.Load(); b != nil && now.Before(b.until) {
		return b.wait
	}
	return 0
}

// add notes a wait. It takes the place of the last one of the same seat.
func (p *patience) add(w Wait, seat uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = 0
	if w.For < shortWait || w.For > longWait {
		return
	}
	p.waits = slices.DeleteFunc(p.waits, func(o seatWait) bool {
		return seat != 0 && o.seat == seat || w.At.Sub(o.At) >= keepWaits
	})
	if len(p.waits) == maxWaits {
		p.waits = slices.Delete(p.waits, 0, 1)
	}
	p.waits = append(p.waits, seatWait{w, seat})
	p.learn()
}

// learn sets the budget to the last but one of the waits by length: a person who
// hangs up, and a retransmission that is lost, make one look shorter than it is.
// A device sends again by the clock. Where the time to the first retransmission
// varies, people dial again, or there is more than one device.
func (p *patience) learn() {
	p.budget.Store(nil)
	n := len(p.waits)
	if n < enoughWaits {
		return
	}
	var waits, agains []time.Duration
	for _, w := range p.waits {
		waits, agains = append(waits, w.For), append(agains, w.Again)
	}
	slices.Sort(waits)
	slices.Sort(agains)
	low, high := agains[n/4], agains[n*3/4]
	if high > low+low/4+shortWait/5 {
		return
	}
	p.budget.Store(&budget{wait: waits[n-2], again: high, until: p.waits[n-enoughWaits].At.Add(keepWaits)})
}

// answered notes that a request was answered in time after took. wait is how long
// the NAS waited for it at least, 0 where it was not sent again.
func (p *patience) answered(took time.Duration, wait Wait, seat uint64) {
	b := p.budget.Load()
	switch {
	case b == nil:
	case wait.For > 0:
		if wait.For > b.wait {
			p.add(wait, seat)
		}
	case b.again > 0 && took > givenUp(b.again):
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.silent++; p.silent >= silentWaits {
			p.waits, p.silent = nil, 0
			p.learn()
		}
	}
}

// snapshot returns the waits that count.
func (p *patience) snapshot(now time.Time) []Wait {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []Wait
	for _, w := range p.waits {
		if now.Sub(w.At) < keepWaits {
			list = append(list, w.Wait)
		}
	}
	return list
}

// givenUp is the silence after which nothing more is to come from a NAS that
// waited interval between its last two packets: devices double it, with a tenth
// of jitter (RFC 5080 §2.2.1).
func givenUp(interval time.Duration) time.Duration { return interval * 5 / 2 }

// sight is what was seen of the NAS while a request was pending. The lock of the
// table guards it until the request is finished.
type sight struct {
	first, last time.Time     // packets of this login
	again       time.Duration // until the first one that came again, 0: there was none
	interval    time.Duration // between the last two
	left        time.Time     // the NAS asked for something else, and waits for this no more
	reused      bool          // it did so under the same identifier
	followed    bool          // it asked for this login anew, see watch: that request tells the rest
	over        bool          // the request is finished
}

// retransmitted notes that the packet came again.
func (s *sight) retransmitted(now time.Time) {
	if now.Sub(s.last) < shortWait/10 {
		return // the network doubled it
	}
	s.interval, s.last = now.Sub(s.last), now
	if s.again == 0 {
		s.again = s.interval
	}
}

// goesOn reports whether a new request for the same login comes from the device.
// After a longer time it comes from the person, who dials again.
func (s *sight) goesOn(now time.Time) bool {
	silence := now.Sub(s.last)
	return silence < EnoughTime && (s.interval == 0 || silence < givenUp(s.interval))
}

// wait returns how long the NAS waited for an answer that is ready now, and
// whether it had given up. For is 0 where nothing tells how long.
func (s *sight) wait(now time.Time) (w Wait, gone bool) {
	w = Wait{At: now, Again: s.again}
	if s.again == 0 {
		return w, s.reused
	}
	w.For = s.last.Sub(s.first) + s.interval
	return w, !s.left.IsZero() || now.Sub(s.last) > givenUp(s.interval)
}

// watch looks out for devices that ask anew under another identifier, or anew
// under the same: to them it is one login, and they give it up as a whole. It also
// says when the NAS gives up, where nobody has set that.
func (s *Server) watch(x *exchange) {
	now := x.req.Received
	start := now
	x.seat = s.seatOf(x)
	if x.req.State == "" {
		slot := &x.count.patience.seats[x.seat%seatSlots]
		if old := slot.Swap(x); old != nil && old.seat == x.seat {
			start = s.answers.follow(old, x, now)
		}
	}
	budget := x.count.patience.learned(now)
	if x.client.Profile.Budget > 0 || budget == 0 {
		return
	}
	if now.Sub(start) > budget-budget/8 {
		start = now // it was to have given up: this is another attempt
	}
	x.req.GivesUp = start.Add(budget)
}

// seatOf is a hash of who asks from where.
func (s *Server) seatOf(x *exchange) uint64 {
	var h maphash.Hash
	h.SetSeed(s.answers.seed)
	h.WriteString(x.req.User)
	h.WriteByte(0)
	h.WriteString(x.req.EndUser)
	source := x.from.Addr().As16()
	h.Write(source[:])
	return h.Sum64()
}

// follow lets x go on where old, an earlier request of the same seat, is still
// pending. It returns when the login began.
func (t *retransmissions) follow(old, x *exchange, now time.Time) (start time.Time) {
	seen, goesOn := t.leave(old, now)
	if !goesOn {
		return now
	}
	s := t.shard(&x.entry.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	x.sight.first, x.sight.interval, x.sight.again = seen.first, now.Sub(seen.last), seen.again
	if seen.again == 0 {
		x.sight.again = x.sight.interval
	}
	return seen.first
}

// leave notes that the NAS has asked anew for the login of old.
func (t *retransmissions) leave(old *exchange, now time.Time) (seen sight, goesOn bool) {
	s := t.shard(&old.entry.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	seen = old.sight
	switch {
	case seen.over:
	case seen.goesOn(now):
		old.sight.followed = true
		return seen, true
	default:
		old.sight.left = now
	}
	return seen, false
}

// learn draws from a finished request how long its NAS waits, and warns where that
// is too short for a person.
func (x *exchange) learn(now time.Time, took time.Duration) {
	p := &x.count.patience
	p.seats[x.seat%seatSlots].CompareAndSwap(x, nil)
	if x.sight.followed {
		return
	}
	wait, gone := x.sight.wait(now)
	if !gone {
		p.answered(took, wait, x.seat)
		return
	}
	p.add(wait, x.seat)
	x.count.abandoned.Add(1)
	late := x.sight.left.IsZero()
	budget := x.client.Profile.Budget
	if budget == 0 {
		budget = p.learned(now)
	}
	if (late || budget > 0 && budget < EnoughTime) && x.server.refusals.allow(refusal{x.client.Name, "gives_up", netip.Addr{}}, now) {
		x.server.log.Warn("the client gave up before a login was decided",
			zap.String("client", x.client.Name), zap.Duration("waited", wait.For), zap.Duration("took", took),
			zap.String("hint", x.client.Profile.Raise+"; then set budget of the client to that, and push_timeout to less"))
	}
}

// Remember restores the waits of clients, by name, from before a restart. It is
// called before Swap.
func (s *Server) Remember(waits map[string][]Wait) {
	s.start()
	for name, list := range waits {
		for _, w := range list {
			s.names.named(name).patience.add(w, 0)
		}
	}
}
