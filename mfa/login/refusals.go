package login

import (
	"context"
	"github.com/radmatch/radmatch/mfa"
	"sync"
	"time"
)

// Refusals records requests for which no login was opened. Each has an event,
// but under attack, when a client brings more than refusalsKept of one reason
// in refusalWindow, the rest is summed up in one event with a Count, so that
// guessing cannot fill the disk. Its exported fields may be changed until the
// first use; it outlives every engine.
type Refusals struct {
	Journal mfa.Journal

	mu   sync.Mutex
	sums map[refusalKey]*refusalSum
}

const (
	refusalsKept  = 50
	refusalWindow = 10 * time.Second
)

type refusalKey struct {
	client string
	reason mfa.Reason
}

type refusalSum struct {
	since time.Time
	seen  int
	last  mfa.Event
}

// Record commits ev, or counts it into the sum that follows. nil means on disk
// or counted.
func (r *Refusals) Record(ctx context.Context, ev mfa.Event) error {
	if r.sum(ev) {
		return nil
	}
	return r.Journal.Record(ctx, ev)
}

func (r *Refusals) sum(ev mfa.Event) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := refusalKey{ev.Client, ev.Reason}
	s := r.sums[key]
	if s == nil {
		if r.sums == nil {
			r.sums = make(map[refusalKey]*refusalSum)
		}
		s = &refusalSum{since: ev.Time}
		r.sums[key] = s
	}
	s.seen++
	s.last = ev
	return s.seen > refusalsKept
}

// Run writes the sums until ctx ends, and then the last ones.
func (r *Refusals) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			r.flush(context.WithoutCancel(ctx), time.Now(), 0)
			return
		case now := <-tick.C:
			r.flush(ctx, now, refusalWindow)
		}
	}
}

// flush writes the sums that are older than age. One that cannot be written is
// lost: each refusal was answered and logged all the same.
func (r *Refusals) flush(ctx context.Context, now time.Time, age time.Duration) {
	for _, ev := range r.take(now, age) {
		_ = r.Journal.Record(ctx, ev)
	}
}

func (r *Refusals) take(now time.Time, age time.Duration) []mfa.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []mfa.Event
	for key, s := range r.sums {
		if now.Sub(s.since) < age {
			continue
		}
		if n := s.seen - refusalsKept; n > 0 {
			ev := s.last
			ev.Count = n
			out = append(out, ev)
		}
		delete(r.sums, key)
	}
	return out
}
