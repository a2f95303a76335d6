package login

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// Refusals records requests for which no login was opened. Each has an event,
// but under attack, when a client brings more than refusalsKept of one reason
// in refusalWindow, the rest is summed up in one event with a Count, so that
// guessing cannot fill the disk. Those that cannot be written are counted into such
// a sum too. Its exported fields may be changed until the first use; it outlives
// every engine.
type Refusals struct {
	Journal mfa.Journal

	mu   sync.Mutex
	sums map[refusalKey]*refusalSum
}

const (
	refusalsKept  = 50
	refusalWindow = 10 * time.Second
	// refusalWait is how long an answer waits for its event. A refusal accepts no login,
	// with its event on disk or without: while a database hangs, a wrong password is
	// rejected before its NAS gives up.
	refusalWait = time.Second
)

var errLate = errors.New("the database has not taken the event yet: it is queued")

type refusalKey struct {
	client string
	reason mfa.Reason
}

type refusalSum struct {
	since  time.Time
	seen   int
	missed int       // could not be written
	last   mfa.Event // of those that are only counted
}

// Record commits ev, or counts it into the sum that follows. nil means on disk
// or counted. It returns within refusalWait, whatever the database does: with an error
// where ev is still queued, or counted because it could not be written.
func (r *Refusals) Record(ctx context.Context, ev mfa.Event) error {
	if r.sum(ev) {
		return nil
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), refusalWait)
	defer cancel()
	err := r.Journal.Record(limited, ev)
	switch {
	case err == nil:
		return nil
	case limited.Err() != nil:
		return errLate
	}
	r.miss(ev, 1)
	return err
}

// sum counts ev, and reports whether it is only counted.
func (r *Refusals) sum(ev mfa.Event) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.of(ev)
	s.seen++
	if s.seen <= refusalsKept {
		return false
	}
	s.last = ev
	return true
}

// miss counts n refusals like ev that could not be written.
func (r *Refusals) miss(ev mfa.Event, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.of(ev)
	s.missed += n
	s.last = ev
}

// of is the sum for what ev is one of. mu is held.
func (r *Refusals) of(ev mfa.Event) *refusalSum {
	key := refusalKey{ev.Client, ev.Reason}
	s := r.sums[key]
	if s == nil {
		if r.sums == nil {
			r.sums = make(map[refusalKey]*refusalSum)
		}
		s = &refusalSum{since: ev.Time}
		r.sums[key] = s
	}
	return s
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
// counted again.
func (r *Refusals) flush(ctx context.Context, now time.Time, age time.Duration) {
	for _, ev := range r.take(now, age) {
		if r.Journal.Record(ctx, ev) != nil {
			r.miss(ev, ev.Count)
		}
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
		if n := max(0, s.seen-refusalsKept) + s.missed; n > 0 {
			ev := s.last
			ev.Count = n
			out = append(out, ev)
		}
		delete(r.sums, key)
	}
	return out
}
