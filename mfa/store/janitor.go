package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/record"
)

const (
	janitorEvery = 250 * time.Millisecond
	// startRest is how long after a start nothing is folded or removed: until the server is
	// ready it needs the processors itself.
	startRest = 3 * time.Second
	// restEvery is how often the janitor looks for work while there is none.
	restEvery  = time.Second
	pruneEvery = time.Minute
	// beatTime is how long a trial commit may take.
	beatTime = 2 * time.Second
	// failedRest is how long the janitor rests where something failed, and
	// failedEvery how often it says so.
	failedRest  = time.Second
	failedEvery = 5 * time.Minute
	// foldIdle is how long no row must have come before events are folded.
	foldIdle = 200 * time.Millisecond
	// foldForced is how many events may wait for an idle moment. They are read
	// at start, some hundred thousand a second.
	foldForced = 500_000
	// chunk is how many events are folded or pruned while logins wait.
	chunk = 256
	// keepChanges is how many old changes stay for a command that waits for its own.
	keepChanges = 1000
)

// janitor does what is off the path of a login.
func (s *Store) janitor(ctx context.Context) {
	every := janitorEvery
	tick := time.NewTicker(every)
	defer tick.Stop()
	begun := time.Now()
	var pruned, said time.Time
	var failed bool
	for {
		if next := s.nextLook(); next != every {
			every = next
			tick.Reset(every)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// Each for itself: what is damaged or full keeps none of the others.
		err := s.flush(ctx)
		started := time.Since(begun) >= startRest
		if started {
			err = errors.Join(err, s.foldWhileIdle(ctx))
		}
		if started && time.Since(pruned) >= pruneEvery {
			pruned = time.Now()
			err = errors.Join(err, s.prune(ctx))
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil && (!failed || time.Since(said) >= failedEvery) {
			said = time.Now()
			s.sayFailed(err)
		}
		if failed = err != nil; failed && !pause(ctx, failedRest) {
			return
		}
	}
}

// nextLook is when the janitor looks for work again.
func (s *Store) nextLook() time.Duration {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.tail.Load() > 0 || len(s.unsaved.latches)+len(s.unsaved.devices) > 0 {
		return janitorEvery
	}
	return restEvery
}

// heartbeat tries a commit where there is a reason to. See health.Health.Trial.
func (s *Store) heartbeat(ctx context.Context) {
	for {
		var due <-chan time.Time
		if s.health.Expected() {
			due = time.After(janitorEvery)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.health.Called():
		case <-due:
		}
		if s.health.Trial(s.tick()) {
			s.beat(ctx)
		}
	}
}

// beat tries a commit. It begins when it waits for wmu: its holder may wait for the database.
func (s *Store) beat(ctx context.Context) {
	s.health.Begin(s.tick())
	s.wmu.Lock()
	defer s.wmu.Unlock()
	limited, cancel := context.WithTimeout(ctx, beatTime)
	defer cancel()
	err := s.db.Beat(limited)
	if ctx.Err() != nil {
		err = nil // the store closes
	}
	s.health.End(s.tick(), err)
}

// sayFailed logs that housekeeping failed, and what to do about it.
func (s *Store) sayFailed(err error) {
	if IsDamage(err) {
		s.log.Error("the database is damaged: logins go on while they can, but nothing is folded or removed any more; restore it (docs/backup.md)", zap.Error(err))
		return
	}
	s.log.Error("housekeeping of the database failed; will retry", zap.Error(err))
}

// pause waits for d, and reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// foldWhileIdle folds as long as no login comes, or too much is waiting.
func (s *Store) foldWhileIdle(ctx context.Context) error {
	for s.tail.Load() > foldForced || s.tail.Load() > 0 && s.queue.idle(foldIdle) {
		n, err := s.fold(ctx)
		if err != nil || n == 0 {
			return err
		}
	}
	return nil
}

// fold folds the next events.
func (s *Store) fold(ctx context.Context) (n int, err error) {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	if n, err = s.db.Fold(ctx, chunk); err != nil {
		return 0, err
	}
	left := max(s.tail.Load()-int64(n), 1) // others write events too, which are not counted
	if n < chunk {
		left = 0
	}
	s.tail.Store(left)
	return n, nil
}

const (
	// reportShare is the part of MaxSize that reports of sessions may fill, beside
	// the events: however many come, no event goes for one.
	reportShare = 4
	// spareFor is how long an event that counts against its user stays, whatever
	// the size: a server that starts rebuilds the limits from them.
	spareFor = 30 * 24 * time.Hour
	// sayEvery bounds the lines about what was removed.
	sayEvery = time.Hour
	// clockEvery is how far the clock that prunes may be behind after a restart.
	clockEvery = time.Hour
)

// earliest is before any server of this program: a clock before it was never
// set, and is not remembered.
var earliest = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// pruner is what the janitor keeps from one pruning to the next.
type pruner struct {
	clock time.Time // see trusted; zero: not read yet
	saved time.Time // clock as it is on disk
	at    time.Time // when clock was set, for its monotonic part

	old, reports, early gone // older than Keep; reports, and events, for their size
}

// gone is what was removed since the last line about it.
type gone struct {
	n    int
	said time.Time
}

// due adds n and reports whether it is time for a line.
func (g *gone) due(n int, now time.Time) bool {
	g.n += n
	return g.n > 0 && (g.said.IsZero() || now.Sub(g.said) >= sayEvery)
}

// flush begins anew after a line.
func (g *gone) flush(now time.Time) { *g = gone{said: now} }

// prune removes the oldest events as Keep and MaxSize say, but none that is not
// folded, and what else is outdated.
func (s *Store) prune(ctx context.Context) error {
	now, err := s.trusted(ctx)
	if err != nil {
		return err
	}
	// No change that memory does not have yet: it may be a block.
	s.wmu.Lock()
	err = s.db.Tidy(ctx, now, s.applied, keepChanges)
	s.wmu.Unlock()
	for n := 1; n > 0 && err == nil && ctx.Err() == nil; {
		n, err = s.thin(ctx, now)
	}
	if err != nil {
		return err
	}
	p := &s.pruner
	old, err := s.pruneAge(ctx, now)
	if p.old.due(old, s.tick()) {
		s.log.Info("events older than events.keep were removed", zap.Int("events", p.old.n), zap.Time("older_than", now.Add(-s.opt.Keep)))
		p.old.flush(s.tick())
	}
	if err != nil {
		return err
	}
	reports, events, err := s.pruneSize(ctx, now)
	if p.reports.due(reports, s.tick()) {
		s.log.Warn("reports of sessions were removed: they fill their part of events.max_size", zap.Int("reports", p.reports.n))
		p.reports.flush(s.tick())
	}
	return errors.Join(err, s.sayEarly(ctx, events))
}

// trusted is the clock for what is old. It follows the wall clock, but however
// far that jumps, it moves on by no more than twice the time that has passed: a
// clock that is wrong for a while must not empty the trail. Twice, so that the
// time catches up in which no server ran.
func (s *Store) trusted(ctx context.Context) (time.Time, error) {
	p, now, tick := &s.pruner, s.opt.Now(), s.tick()
	if p.clock.IsZero() {
		clock, err := s.firstClock(ctx, now)
		if err != nil {
			return now, err
		}
		p.clock, p.at = clock, tick
	}
	p.clock, p.at = p.clock.Add(2*tick.Sub(p.at)), tick
	if p.clock.After(now) {
		p.clock = now
	}
	if d := p.clock.Sub(p.saved); d > -clockEvery && d < clockEvery || now.Before(earliest) {
		return p.clock, nil
	}
	err := s.keepLocked(ctx, op.SetClock{At: p.clock})
	if err == nil {
		p.saved = p.clock
	}
	return p.clock, err
}

// firstClock is the trusted clock of the server before this one. Where there was
// none it is when the oldest event is due: so none goes at once.
func (s *Store) firstClock(ctx context.Context, now time.Time) (time.Time, error) {
	clock, oldest, err := s.db.Clock(ctx)
	switch {
	case err != nil:
		return now, err
	case !clock.IsZero():
		s.pruner.saved = clock
		return clock, nil
	case !oldest.IsZero() && s.opt.Keep > 0:
		return oldest.Add(s.opt.Keep), nil
	}
	return now, nil
}

// tick is a time whose differences are those of the monotonic clock.
func (s *Store) tick() time.Time {
	if s.opt.Tick != nil {
		return s.opt.Tick()
	}
	return time.Now()
}

// pruneAge removes what is older than Keep.
func (s *Store) pruneAge(ctx context.Context, now time.Time) (all int, err error) {
	if s.opt.Keep <= 0 {
		return 0, nil
	}
	cutoff := now.Add(-s.opt.Keep).UnixMicro()
	for _, reports := range [...]bool{true, false} {
		n, err := s.pruneTable(ctx, record.Pruning{Reports: reports, Before: cutoff, Spare: cutoff}, func(int64) bool { return true })
		if all += n; err != nil {
			return all, err
		}
	}
	return all, nil
}

// pruneSize removes the oldest reports of sessions beyond their part of MaxSize,
// and then the oldest events beyond MaxSize. Users, tokens and devices count into
// neither.
func (s *Store) pruneSize(ctx context.Context, now time.Time) (reports, events int, err error) {
	size, err := s.db.Size(ctx)
	if err != nil || s.opt.MaxSize <= 0 || size <= s.opt.MaxSize {
		return 0, 0, err
	}
	if err := s.countReports(ctx); err != nil {
		return 0, 0, err
	}
	others, err := s.db.OthersSize(ctx)
	if err != nil {
		return 0, 0, err
	}
	const all = 1<<63 - 1
	reports, err = s.pruneTable(ctx, record.Pruning{Reports: true, Before: all, Spare: all}, func(int64) bool { return s.reports.size() > s.opt.MaxSize/reportShare })
	if err != nil {
		return reports, 0, err
	}
	spare := now.Add(-spareFor).UnixMicro()
	events, err = s.pruneTable(ctx, record.Pruning{Before: all, Spare: spare}, func(size int64) bool { return size-others-s.reports.size() > s.opt.MaxSize })
	return reports, events, err
}

// pruneTable removes rows of p from the oldest on, as long as more says so of the size of
// the database.
func (s *Store) pruneTable(ctx context.Context, p record.Pruning, more func(size int64) bool) (all int, err error) {
	for p.Limit = chunk; ctx.Err() == nil; {
		size, err := s.db.Size(ctx)
		if err != nil || !more(size) {
			return all, err
		}
		n, last, err := s.pruneChunk(ctx, p)
		all += n
		if err != nil || n == 0 {
			return all, err
		}
		p.From = last
	}
	return all, nil
}

func (s *Store) pruneChunk(ctx context.Context, p record.Pruning) (n int, last int64, err error) {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	n, last, freed, err := s.db.Prune(ctx, p)
	if err == nil && p.Reports {
		s.reports.Add(-freed)
	}
	return n, last, err
}

// sayEarly warns, at most hourly, of events that went before their time, and
// writes it into the trail: someone may want them gone.
func (s *Store) sayEarly(ctx context.Context, n int) error {
	early := &s.pruner.early
	if !early.due(n, s.tick()) {
		return nil
	}
	kept := "are kept without limit"
	if s.opt.Keep > 0 {
		kept = "should be kept for " + s.opt.Keep.String()
	}
	text := fmt.Sprintf("%d events that %s were removed: events.max_size is full", early.n, kept)
	err := s.Note(ctx, mfa.Event{Details: mfa.Details{Text: text}})
	if err != nil {
		return err
	}
	s.tail.Add(1)
	s.log.Warn("events were removed before their time: events.max_size is full", zap.Int("events", early.n), zap.Duration("keep", s.opt.Keep))
	early.flush(s.tick())
	return nil
}

// reportSize is about what the reports of sessions fill. It is counted from the
// first pruning on that has to know.
type reportSize struct {
	known  bool // only to the janitor
	octets atomic.Int64
}

func (r *reportSize) size() int64      { return r.octets.Load() }
func (r *reportSize) Add(octets int64) { r.octets.Add(octets) }

// countReports counts what is there, once.
func (s *Store) countReports(ctx context.Context) error {
	if s.reports.known {
		return nil
	}
	s.wmu.Lock() // the writer counts its own from here on
	last, err := s.db.LastEvent(ctx)
	s.reports.octets.Store(0)
	s.wmu.Unlock()
	if err != nil {
		return err
	}
	octets, err := s.db.ReportsSize(ctx, last)
	if err != nil {
		return err
	}
	s.reports.Add(octets)
	s.reports.known = true
	return nil
}
