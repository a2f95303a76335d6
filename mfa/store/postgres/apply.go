package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/datadir"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/record"
)

const (
	// applyTries is how often a change is tried that met others.
	applyTries = 5
	// numberTries is how often an entry is tried while logins of its user come first.
	numberTries = 100
	// seenTime is how long a command waits for the nodes, seenPoll how often it looks.
	seenTime = 2 * time.Second
	seenPoll = 5 * time.Millisecond
	// alive is how old the last sign of a node is that a command waits for.
	alive = "3 seconds"
)

// Apply implements store.Backend. The entries of the users come first: what a login has
// appended before is seen, and what it appends later is stale.
func (d *DB) Apply(ctx context.Context, ev mfa.Event, ops ...op.Op) (done op.Done, err error) {
	for try := 1; ; try++ {
		done = op.Done{}
		warned := d.warned.Load()
		err = d.Update(ctx, func(tx *sql.Tx) error { return d.apply(ctx, tx, ev, ops, &done) })
		if err == nil && d.warned.Load() != warned {
			err = d.confirm(ctx)
		}
		var refused *pgconn.PgError
		if try == applyTries || !errors.As(err, &refused) || refused.Code != "40P01" && refused.Code != "40001" {
			return done, err
		}
	}
}

// confirm returns when a commit is confirmed as it should be, and with it those before: one
// that was cancelled while it waited for a standby is only on the primary.
func (d *DB) confirm(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	for {
		warned := d.warned.Load()
		_, err := d.SQL.ExecContext(ctx, `UPDATE nodes SET beat = now() WHERE run = 0`)
		if err != nil {
			return fmt.Errorf("the change is on the primary, but no standby has confirmed it: %w", err)
		}
		if d.warned.Load() == warned {
			return nil
		}
	}
}

func (d *DB) apply(ctx context.Context, tx *sql.Tx, ev mfa.Event, ops []op.Op, done *op.Done) error {
	return d.inStream(ctx, tx, func(s *stream) error {
		// Tokens that are added change nothing that a login has decided; there may be many.
		late := !slices.ContainsFunc(ops, func(o op.Op) bool { _, adds := o.(op.AddTokens); return !adds })
		if !late {
			if err := s.changes(ctx, ops); err != nil {
				return err
			}
		}
		for _, o := range ops {
			if err := d.ApplyOp(ctx, tx, o, done); err != nil {
				return err
			}
			if o, ok := o.(op.Reseal); ok {
				if err := errors.Join(d.resealSecret(ctx, tx, o.Key), d.resealCertificates(ctx, tx, o.Key)); err != nil {
					return err
				}
			}
		}
		if late {
			if err := s.changes(ctx, ops); err != nil {
				return err
			}
		}
		done.Change = s.fed
		ev.Kind = mfa.EventAdmin
		return s.add(ctx, ev, false)
	})
}

// Keep implements store.Backend. That an address signs is told to the nodes, which refuse what
// is not signed from there.
func (d *DB) Keep(ctx context.Context, notes ...op.Note) error {
	if !slices.ContainsFunc(notes, func(n op.Note) bool { _, latches := n.(op.KeepLatch); return latches }) {
		return d.DB.Keep(ctx, notes...)
	}
	return d.Update(ctx, func(tx *sql.Tx) error {
		return d.inStream(ctx, tx, func(s *stream) error {
			if err := d.KeepNotes(ctx, tx, notes); err != nil {
				return err
			}
			return s.tellSite(ctx)
		})
	})
}

// inStream has f write to run 0 in tx: that run has one writer at a time, and the next one
// waits until tx has ended. ErrMoved where a copy has taken the place of the database.
func (d *DB) inStream(ctx context.Context, tx *sql.Tx, f func(s *stream) error) error {
	s := stream{tx: tx, at: d.Now().UnixMicro()}
	const begin = `UPDATE nodes SET batch = batch + 1 WHERE run = 0 AND NOT EXISTS (SELECT 1 FROM meta WHERE key = '` + movedKey + `') RETURNING n`
	if err := tx.QueryRowContext(ctx, begin).Scan(&s.n); errors.Is(err, sql.ErrNoRows) {
		return ErrMoved
	} else if err != nil {
		return err
	}
	if err := f(&s); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE nodes SET n = $1, fed = greatest(fed, $2), beat = now() WHERE run = 0`, s.n, s.fed)
	return err
}

// stream is run 0 in a transaction.
type stream struct {
	tx     *sql.Tx
	at     int64 // when it is written: after all that it comes after
	n, fed int64
}

// changes appends an entry to the log of each user that ops change, and tells the nodes where
// they change what belongs to no user.
func (s *stream) changes(ctx context.Context, ops []op.Op) error {
	users := make(map[string]mfa.Name)
	site := false
	for _, o := range ops {
		of := o.Users()
		site = site || len(of) == 0
		for _, user := range of {
			users[user.Key().String()] = user
		}
	}
	keys := make([]string, 0, len(users))
	for key := range users {
		keys = append(keys, key)
	}
	slices.Sort(keys) // the order of the batches
	for _, key := range keys {
		if err := s.number(ctx, users[key]); err != nil {
			return err
		}
	}
	if !site {
		return nil
	}
	return s.tellSite(ctx)
}

// tellSite tells the nodes that what belongs to no user has changed.
func (s *stream) tellSite(ctx context.Context) error {
	if err := s.add(ctx, mfa.Event{Kind: mfa.EventChange}, true); err != nil {
		return err
	}
	_, err := s.tx.ExecContext(ctx, `UPDATE site SET changes = $1`, s.n)
	return err
}

// number appends an entry to the log of a user.
func (s *stream) number(ctx context.Context, user mfa.Name) error {
	r, err := record.NewRow(mfa.Event{Kind: mfa.EventChange, Origin: mfa.Origin{User: user}}, time.UnixMicro(s.at))
	if err != nil {
		return err
	}
	s.n++
	const query = `INSERT INTO events (usr, seq, run, n, at, kind, name, feed, data)
		SELECT $1, coalesce(max(seq), 0) + 1, 0, $2, greatest($3, max(at) + 1), $4, $5, true, $6
		FROM (SELECT seq, at FROM events WHERE usr = $1 AND seq IS NOT NULL ORDER BY seq DESC LIMIT 1) AS last
		ON CONFLICT (usr, seq) DO NOTHING RETURNING at`
	for range numberTries {
		var at int64
		err := s.tx.QueryRowContext(ctx, query, text(r.Key), s.n, s.at, r.Kind, text(r.User), r.Data).Scan(&at)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		s.at, s.fed = max(s.at, at), s.n
		return err
	}
	return fmt.Errorf("logins of user %q come faster than this change", user)
}

// add writes a row without a number.
func (s *stream) add(ctx context.Context, ev mfa.Event, feed bool) error {
	r, err := record.NewRow(ev, time.UnixMicro(s.at))
	if err != nil {
		return err
	}
	s.n++
	if feed {
		s.fed = s.n
	}
	const query = `INSERT INTO events (usr, run, n, at, kind, name, client, reason, feed, data)
		VALUES (nullif($1, ''), 0, $2, $3, nullif($4::smallint, 0), nullif($5, ''), nullif($6, ''), nullif($7, ''), nullif($8, false), $9)`
	_, err = s.tx.ExecContext(ctx, query, text(r.Key), s.n, s.at, r.Kind, text(r.User), text(r.Client), text(r.Reason), feed, r.Data)
	return err
}

// AwaitServer implements store.Backend: the nodes that have given a sign of life. The change
// is in force at each of them in any case: what they decide without it is stale.
func (d *DB) AwaitServer(ctx context.Context, change int64) error {
	deadline := time.Now().Add(seenTime)
	tick := time.NewTicker(seenPoll)
	defer tick.Stop()
	for {
		var silent sql.NullString
		const query = `SELECT string_agg(name, ', ' ORDER BY name) FROM nodes WHERE run > 0 AND seen < $1 AND beat > now() - interval '` + alive + `'`
		err := d.SQL.QueryRowContext(ctx, query, change).Scan(&silent)
		if err == nil && !silent.Valid {
			return nil
		}
		if time.Now().After(deadline) {
			if err != nil {
				return errors.Join(datadir.ErrNotSeen, err)
			}
			return &datadir.SilentError{Nodes: strings.ToValidUTF8(silent.String, "?")}
		}
		select {
		case <-ctx.Done():
			return errors.Join(datadir.ErrNotSeen, ctx.Err())
		case <-tick.C:
		}
	}
}

// Prompts implements store.Backend.
func (d *DB) Prompts(ctx context.Context) (list []record.Prompt, err error) {
	rows, err := d.SQL.QueryContext(ctx, `SELECT id, data FROM prompts ORDER BY id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var p record.Prompt
		if err := rows.Scan(&p.ID, &p.Data); err != nil {
			return nil, err
		}
		p.ID = untext(p.ID)
		list = append(list, p)
	}
	return list, rows.Err()
}

// Marks implements store.Backend.
func (d *DB) Marks(ctx context.Context, since time.Time, limit int) (marks [][]byte, err error) {
	rows, err := d.SQL.QueryContext(ctx, `SELECT mark FROM accounting WHERE at >= $1 ORDER BY at DESC LIMIT $2`, since.UnixMicro(), limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var mark []byte
		if err := rows.Scan(&mark); err != nil {
			return nil, err
		}
		marks = append(marks, mark)
	}
	return marks, rows.Err()
}

// ClassKey implements store.Backend.
func (d *DB) ClassKey(ctx context.Context) (key []byte, err error) {
	err = d.SQL.QueryRowContext(ctx, `SELECT class_key FROM site`).Scan(&key)
	return key, err
}

// Exclusive implements store.Backend.
func (d *DB) Exclusive(ctx context.Context, f func() error) error {
	return d.Update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `LOCK TABLE seal_key, tokens, web_push_key, acme IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
		return f()
	})
}
