package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
)

const (
	janitorEvery = 250 * time.Millisecond
	pruneEvery   = time.Minute
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
	tick := time.NewTicker(janitorEvery)
	defer tick.Stop()
	var pruned, said time.Time
	var failed bool
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// Each for itself: what is damaged or full keeps none of the others.
		err := errors.Join(s.flush(ctx), s.flushPrompts(ctx), s.foldWhileIdle(ctx))
		if time.Since(pruned) >= pruneEvery {
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

// sayFailed logs that housekeeping failed, and what to do about it.
func (s *Store) sayFailed(err error) {
	if IsDamage(err) {
		s.log.Error("the database is damaged: logins go on while they can, but nothing is folded or removed any more; restore it (docs/backup.md)", zap.Error(err))
		return
	}
	s.log.Error("housekeeping of the database failed; trying on", zap.Error(err))
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

// fold brings the next events into the tables that are slow to write: the uses
// into tokens, the users into the index. Rows after meta 'folded' are found by
// looking at all of them.
func (s *Store) fold(ctx context.Context) (n int, err error) {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	var last int64
	err = s.update(ctx, func(tx *sql.Tx) error {
		uses := make(map[string]*token)
		var users []string
		var ids []int64
		const query = `SELECT id, coalesce(user, ''), coalesce(token, ''), step, coalesce(drift, 0) FROM events WHERE id > ` + foldedMark + `
			UNION ALL SELECT id, coalesce(user, ''), '', NULL, 0 FROM accounting WHERE id > ` + foldedMark + ` ORDER BY 1 LIMIT ?`
		err := each(ctx, tx, query, []any{chunk}, func(r *sql.Rows) error {
			var user, id string
			var step sql.NullInt64
			var drift int64
			if err := r.Scan(&last, &user, &id, &step, &drift); err != nil {
				return err
			}
			n++
			if user != "" {
				users, ids = append(users, mfa.NameOf(user).Key().String()), append(ids, last)
			}
			if step.Valid {
				if uses[id] == nil {
					uses[id] = new(token)
				}
				uses[id].used(step.Int64, drift)
			}
			return nil
		})
		if err != nil || n == 0 {
			return err
		}
		insert, err := tx.PrepareContext(ctx, `INSERT OR IGNORE INTO event_user (user, id) VALUES (?, ?)`)
		if err != nil {
			return err
		}
		defer insert.Close()
		for i, user := range users {
			if _, err := insert.ExecContext(ctx, user, ids[i]); err != nil {
				return err
			}
		}
		if err := foldUses(ctx, tx, uses); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE meta SET value = ? WHERE key = 'folded'`, last)
		return err
	})
	if err != nil {
		return 0, err
	}
	left := max(s.tail.Load()-int64(n), 1) // others write events too, which are not counted
	if n < chunk {
		left = 0
	}
	s.tail.Store(left)
	return n, nil
}

// foldUses brings the last uses of tokens into their rows. A use may have waited
// for the disk while its token was removed.
func foldUses(ctx context.Context, tx *sql.Tx, uses map[string]*token) error {
	update, err := tx.PrepareContext(ctx, `UPDATE tokens SET next = ?2, drift = ?3 WHERE id = ?1 AND next < ?2`)
	if err != nil {
		return err
	}
	defer update.Close()
	for id, t := range uses {
		r, err := update.ExecContext(ctx, id, t.next, t.drift)
		if err := changed(r, err, ErrNotFound); err == nil {
			continue
		} else if !errors.Is(err, ErrNotFound) {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE removed SET next = ?2 WHERE id = ?1 AND next < ?2`, id, t.next); err != nil {
			return err
		}
	}
	return nil
}

// locked is update for what does not change memory.
func (s *Store) locked(ctx context.Context, f func(*sql.Tx) error) error {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	return s.update(ctx, f)
}
