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
	pollEvery = 20 * time.Millisecond
	// pollChunk is how many changes are taken over while logins wait.
	pollChunk = 512
)

// change runs f, which changes the given users (folded), and records ev, in one
// transaction. None at all means latches, bypasses and sealing keys. It returns when the
// change is on disk and the server, this process or another, works with it.
func (s *Store) change(ctx context.Context, users []string, ev mfa.Event, f func(*sql.Tx) error) error {
	return s.changeAs(ctx, users, func(tx *sql.Tx) (mfa.Event, error) { return ev, f(tx) })
}

// changeAs is change for an event that depends on what f finds.
func (s *Store) changeAs(ctx context.Context, users []string, f func(*sql.Tx) (mfa.Event, error)) error {
	var id int64
	commit := func() error {
		return s.update(ctx, func(tx *sql.Tx) (err error) {
			ev, err := f(tx)
			if err != nil {
				return err
			}
			if err := s.insertAdmin(ctx, tx, ev); err != nil {
				return err
			}
			id, err = noteChange(ctx, tx, users)
			return err
		})
	}
	if !s.opt.Server {
		if err := commit(); err != nil {
			return err
		}
		return s.awaitServer(ctx, id)
	}
	s.wmu.Lock()
	err := commit()
	s.wmu.Unlock()
	if err != nil {
		return err
	}
	return s.catchUp(context.WithoutCancel(ctx))
}

// noteChange tells the server what to read again.
func noteChange(ctx context.Context, tx *sql.Tx, users []string) (id int64, err error) {
	insert, err := tx.PrepareContext(ctx, `INSERT INTO changes (user) VALUES (?)`)
	if err != nil {
		return 0, err
	}
	defer insert.Close()
	note := func(user any) error {
		r, err := insert.ExecContext(ctx, user)
		if err == nil {
			id, err = r.LastInsertId()
		}
		return err
	}
	if len(users) == 0 {
		err = note(nil)
		return id, err
	}
	for _, user := range users {
		if err := note(user); err != nil {
			return 0, err
		}
	}
	return id, nil
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

// ensureUser adds a user that is enrolled for the first time.
func ensureUser(ctx context.Context, tx *sql.Tx, name mfa.Name) error {
	_, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO users (user, name) VALUES (?, ?)`, name.Key().String(), name.String())
	return err
}

// changed returns missing if r changed nothing.
func changed(r sql.Result, err, missing error) error {
	if err != nil {
		return err
	}
	n, err := r.RowsAffected()
	if err == nil && n == 0 {
		err = missing
	}
	return err
}

// isUnique reports whether a row was refused because there is one like it.
func isUnique(err error) bool {
	const unique, primaryKey = 2067, 1555 // SQLITE_CONSTRAINT_UNIQUE, _PRIMARYKEY
	var e interface{ Code() int }
	return errors.As(err, &e) && (e.Code() == unique || e.Code() == primaryKey)
}
