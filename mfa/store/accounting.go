package store

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

const (
	// keepMarks is how long a report is told from its retransmission at least.
	keepMarks = 10 * time.Minute
	// maxMarks bounds each of the two generations of marks.
	maxMarks = 1 << 15
	// keepInterim is how long interim reports stay: the last report of a session
	// holds its sums.
	keepInterim = 24 * time.Hour
)

const insertAccounting = `INSERT INTO accounting (id, user, client, mark, interim, data) VALUES (?, ?, ?, ?, ?, ?)`

// mark is what a report and its retransmission have in common.
type mark [16]byte

// marks tells retransmissions of reports. It is bounded: the younger generation
// becomes the older one when it is full or keepMarks old.
type marks struct {
	mu      sync.Mutex
	young   map[mark]*batch // the commit that carries the report, nil once it is on disk
	old     map[mark]*batch
	rotated time.Time
}

func (m *marks) rotate(now time.Time) {
	if m.young == nil || len(m.young) >= maxMarks || now.Sub(m.rotated) >= keepMarks {
		m.old, m.young, m.rotated = m.young, make(map[mark]*batch), now
	}
}

// begin returns the commit that the report with this mark is in, nil if it is on
// disk. A new one goes into the commit that add gives.
func (m *marks) begin(k mark, now time.Time, add func() (*batch, error)) (b *batch, again bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rotate(now)
	for _, generation := range [...]map[mark]*batch{m.young, m.old} {
		if b, again = generation[k]; again {
			return b, true, nil
		}
	}
	if b, err = add(); err == nil {
		m.young[k] = b
	}
	return b, false, err
}

// end notes how the commit b of a report went. One that failed is forgotten, so
// that its retransmission is recorded.
func (m *marks) end(k mark, b *batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, generation := range [...]map[mark]*batch{m.young, m.old} {
		switch {
		case generation[k] != b:
		case b.err != nil:
			delete(generation, k)
		default:
			generation[k] = nil
		}
	}
}

// RecordSession returns nil when the report ev is on disk. again means that one
// with the same mark, which a retransmission has, was recorded within the last
// minutes: it is kept once. It may be called concurrently. Like Record it may
// commit after ctx has ended.
func (s *Store) RecordSession(ctx context.Context, ev mfa.Event, key [16]byte) (again bool, err error) {
	defer wrap(&err, "store: accounting")
	if !s.opt.Server {
		return false, ErrNotServer
	}
	if ev.Session == nil {
		return false, errors.New("a report without a session")
	}
	r, err := s.newRow(ev, false)
	if err != nil {
		return false, err
	}
	r.mark, r.interim = key[:], ev.Session.Status == "interim"
	b, again, err := s.marks.begin(key, s.opt.Now(), func() (*batch, error) { return s.queue.add(r) })
	if err != nil || b == nil {
		return again, err
	}
	select {
	case <-b.done:
		s.marks.end(key, b)
		return again, b.err
	case <-ctx.Done():
		return again, ctx.Err()
	}
}

// loadMarks remembers the reports that may be sent again from before the start.
func (s *Store) loadMarks(ctx context.Context) error {
	now := s.opt.Now()
	s.marks.rotate(now)
	const query = `SELECT mark FROM accounting WHERE id >= ? ORDER BY id DESC LIMIT ?`
	return each(ctx, s.db, query, []any{now.Add(-keepMarks).UnixMicro(), maxMarks - 1}, func(r *sql.Rows) error {
		var key []byte
		err := r.Scan(&key)
		if err == nil && len(key) == len(mark{}) {
			s.marks.young[mark(key)] = nil
		}
		return err
	})
}

// ClassKey signs the Class attribute of an Access-Accept. It is the same for the
// life of the database.
func (s *Store) ClassKey(ctx context.Context) (key []byte, err error) {
	defer wrap(&err, "store: accounting")
	err = s.db.QueryRowContext(ctx, `SELECT key FROM class_key`).Scan(&key)
	return key, err
}

// thin removes interim reports that are older than keepInterim: they come every
// few minutes for each session, and would push the logins out of the trail. Each
// row is looked at once.
func (s *Store) thin(ctx context.Context, now time.Time) (n int, err error) {
	cutoff := now.Add(-keepInterim).UnixMicro()
	var freed int64
	err = s.locked(ctx, func(tx *sql.Tx) error {
		type row struct {
			id   int64
			user string
		}
		freed = 0
		var last int64
		var rows []row
		const query = `SELECT id, coalesce(user, ''), interim IS NOT NULL, coalesce(length(user), 0) + coalesce(length(client), 0) + length(data) FROM accounting
			WHERE id > (SELECT value FROM meta WHERE key = 'thinned') AND id < ? AND id <= ` + foldedMark + ` ORDER BY id LIMIT ?`
		err := each(ctx, tx, query, []any{cutoff, chunk}, func(r *sql.Rows) error {
			var interim bool
			var user string
			var size int64
			if err := r.Scan(&last, &user, &interim, &size); err != nil {
				return err
			}
			n++
			if interim {
				freed += size + rowOverhead
				rows = append(rows, row{last, mfa.NameOf(user).Key().String()})
			}
			return nil
		})
		if err != nil || n == 0 {
			return err
		}
		for _, r := range rows {
			if _, err := tx.ExecContext(ctx, `DELETE FROM accounting WHERE id = ?`, r.id); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `DELETE FROM event_user WHERE user = ? AND id = ?`, r.user, r.id); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `UPDATE meta SET value = ? WHERE key = 'thinned'`, last)
		return err
	})
	if err == nil {
		s.reports.add(-freed)
	}
	return n, err
}
