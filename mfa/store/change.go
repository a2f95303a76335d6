package store

import (
	"context"
	"database/sql"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/op"
)

const (
	pollEvery = 20 * time.Millisecond
	// pollChunk is how many changes are taken over while logins wait.
	pollChunk = 512
)

// Apply applies ops and writes ev, in one commit. It returns when the change is on disk and
// the server, this process or another, works with it. On an error nothing is changed, except
// for ErrNotSeen: the change is on disk. Without an operation the event stands for itself.
func (s *Store) Apply(ctx context.Context, ev mfa.Event, ops ...op.Op) (done op.Done, err error) {
	if !s.opt.Server {
		if done, err = s.commitOps(ctx, ev, ops...); err != nil || len(ops) == 0 {
			return done, err
		}
		return done, s.awaitServer(ctx, done.Change)
	}
	s.wmu.Lock()
	done, err = s.commitOps(ctx, ev, ops...)
	s.wmu.Unlock()
	if err != nil || len(ops) == 0 {
		return done, err
	}
	return done, s.catchUp(context.WithoutCancel(ctx))
}

// keep writes notes in one commit. A server calls it with wmu held.
func (s *Store) keep(ctx context.Context, notes ...op.Note) error { return s.keepNotes(ctx, notes...) }

// keepLocked is keep for a caller that does not hold wmu.
func (s *Store) keepLocked(ctx context.Context, notes ...op.Note) error {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	return s.keep(ctx, notes...)
}

// poll takes over what other processes have changed. It looks at the list of
// changes itself, by one statement that is prepared: PRAGMA data_version, which
// is cheaper on an idle server, says only that somebody has committed, and under
// load the writer always has.
func (s *Store) poll(ctx context.Context) {
	last, err := s.db.PrepareContext(ctx, `SELECT coalesce(max(id), 0) FROM changes`)
	if err != nil {
		s.log.Error("changes by commands are not seen: restart the server", zap.Error(err))
		return
	}
	defer last.Close()
	var seen int64
	var failed bool
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var id int64
		// Without the context: one that can end costs a goroutine a statement.
		err := last.QueryRowContext(context.Background()).Scan(&id)
		if err == nil && id != seen {
			if err = s.catchUp(context.Background()); err == nil {
				seen = id
			}
		}
		if err != nil && !failed {
			s.log.Error("changes by commands cannot be read; trying on", zap.Error(err))
		}
		failed = err != nil
	}
}

// catchUp takes over all changes after the last that memory has, and
// acknowledges them.
func (s *Store) catchUp(ctx context.Context) error {
	for {
		more, err := s.catchUpChunk(ctx)
		if err != nil || !more {
			return err
		}
	}
}

func (s *Store) catchUpChunk(ctx context.Context) (more bool, err error) {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return false, err
	}
	defer tx.Rollback()
	var users []string
	var last int64
	var global bool
	const query = `SELECT id, user FROM changes WHERE id > ? ORDER BY id LIMIT ?`
	err = each(ctx, tx, query, []any{s.applied, pollChunk}, func(r *sql.Rows) error {
		var user sql.NullString
		if err := r.Scan(&last, &user); err != nil {
			return err
		}
		if global = global || !user.Valid; user.Valid {
			users = append(users, user.String)
		}
		return nil
	})
	if err != nil || last == 0 {
		return false, err
	}
	if global {
		if err := s.reloadGlobal(ctx, tx); err != nil {
			return false, err
		}
	}
	if len(users) > 0 {
		read, err := pull(ctx, tx, `WHERE user IN (SELECT user FROM changes WHERE id > ? AND id <= ?)`, s.applied, last)
		if err != nil {
			return false, err
		}
		s.put(users, read)
	}
	s.applied = last
	s.tail.Add(1) // its event, for the janitor
	return true, s.acknowledge(last)
}

// reloadGlobal reads the keys, the bypasses and the latches again. Latches that
// are not yet on disk stay.
func (s *Store) reloadGlobal(ctx context.Context, q querier) error {
	if err := s.readKeys(); err != nil {
		return err
	}
	if err := s.readBypasses(ctx, q); err != nil {
		return err
	}
	latches, err := pullLatches(ctx, q)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, since := range s.unsaved.latches {
		latches[key] = since
	}
	s.latches = latches
	return nil
}
