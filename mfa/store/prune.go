package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/op"
)

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
	err = s.locked(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM invitations WHERE expires <= ?`, micros(now)); err != nil {
			return err
		}
		// Never one that memory does not have yet: it may be a block.
		_, err := tx.ExecContext(ctx, `DELETE FROM changes WHERE id <= min((SELECT max(id) FROM changes) - ?, ?)`, keepChanges, s.applied)
		return err
	})
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
	const query = `SELECT (SELECT value FROM meta WHERE key = 'pruned'),
		(SELECT min(id) FROM (SELECT min(id) AS id FROM events UNION ALL SELECT min(id) FROM accounting))`
	var clock, oldest sql.NullInt64
	if err := s.db.QueryRowContext(ctx, query).Scan(&clock, &oldest); err != nil {
		return now, err
	}
	switch {
	case clock.Valid:
		s.pruner.saved = fromMicros(clock.Int64)
		return s.pruner.saved, nil
	case oldest.Valid && s.opt.Keep > 0:
		return fromMicros(oldest.Int64).Add(s.opt.Keep), nil
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
	for _, table := range [...]string{"accounting", "events"} {
		n, err := s.pruneTable(ctx, table, cutoff, cutoff, func(int64) bool { return true })
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
	size, err := s.size(ctx)
	if err != nil || s.opt.MaxSize <= 0 || size <= s.opt.MaxSize {
		return 0, 0, err
	}
	if err := s.countReports(ctx); err != nil {
		return 0, 0, err
	}
	others, err := s.othersSize(ctx)
	if err != nil {
		return 0, 0, err
	}
	const all = 1<<63 - 1
	reports, err = s.pruneTable(ctx, "accounting", all, all, func(int64) bool { return s.reports.size() > s.opt.MaxSize/reportShare })
	if err != nil {
		return reports, 0, err
	}
	spare := now.Add(-spareFor).UnixMicro()
	events, err = s.pruneTable(ctx, "events", all, spare, func(size int64) bool { return size-others-s.reports.size() > s.opt.MaxSize })
	return reports, events, err
}

// pruneTable removes rows of a table of the trail that are older than cutoff,
// from the oldest on, as long as more says so of the size of the database. What
// counts against its user goes only where it is older than spare too.
func (s *Store) pruneTable(ctx context.Context, table string, cutoff, spare int64, more func(size int64) bool) (all int, err error) {
	for from := int64(0); ctx.Err() == nil; {
		size, err := s.size(ctx)
		if err != nil || !more(size) {
			return all, err
		}
		n, last, err := s.pruneChunk(ctx, table, from, cutoff, spare)
		all += n
		if err != nil || n == 0 {
			return all, err
		}
		from = last
	}
	return all, nil
}

// pruneChunk removes some of the oldest folded rows after from.
func (s *Store) pruneChunk(ctx context.Context, table string, from, cutoff, spare int64) (n int, last int64, err error) {
	query := `SELECT id, coalesce(user, ''), coalesce(length(user), 0) + coalesce(length(client), 0) + length(data) FROM ` + table +
		` WHERE id > ?1 AND id < ?2 AND id <= ` + foldedMark
	if table == "events" {
		query += ` AND (id < ?4 OR NOT ` + counting + `)`
	} else {
		query += ` AND ?4 = ?4`
	}
	var freed int64
	err = s.locked(ctx, func(tx *sql.Tx) error {
		var ids []int64
		var users []string
		err := each(ctx, tx, query+` ORDER BY id LIMIT ?3`, []any{from, cutoff, chunk, spare}, func(r *sql.Rows) error {
			var user string
			var size int64
			if err := r.Scan(&last, &user, &size); err != nil {
				return err
			}
			ids, users, freed = append(ids, last), append(users, user), freed+size+rowOverhead
			return nil
		})
		if err != nil {
			return err
		}
		for i, id := range ids {
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE id = ?`, id); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `DELETE FROM event_user WHERE user = ? AND id = ?`, mfa.NameOf(users[i]).Key().String(), id); err != nil {
				return err
			}
		}
		n = len(ids)
		return nil
	})
	if err == nil && table == "accounting" {
		s.reports.add(-freed)
	}
	return n, last, err
}

// sayEarly warns, at most hourly, of events that went before their time, and
// writes it into the trail: somebody may want them gone.
func (s *Store) sayEarly(ctx context.Context, n int) error {
	early := &s.pruner.early
	if !early.due(n, s.tick()) {
		return nil
	}
	kept := "are kept for ever"
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
