package store

import (
	"context"
	"database/sql"
	"sync/atomic"
)

// reportSize is about what the reports of sessions fill. It is counted from the
// first pruning on that has to know.
type reportSize struct {
	known  bool // by the janitor alone
	octets atomic.Int64
}

// rowOverhead is about what a row of the trail takes beside its texts: the ids,
// the mark of a report, the lengths, and its row in the index by user.
const rowOverhead = 64

func (r *reportSize) size() int64      { return r.octets.Load() }
func (r *reportSize) add(octets int64) { r.octets.Add(octets) }

// countReports counts what is there, once.
func (s *Store) countReports(ctx context.Context) error {
	if s.reports.known {
		return nil
	}
	s.wmu.Lock() // the writer counts its own from here on
	var last int64
	err := s.db.QueryRowContext(ctx, `SELECT coalesce(max(id), 0) FROM accounting`).Scan(&last)
	s.reports.octets.Store(0)
	s.wmu.Unlock()
	if err != nil {
		return err
	}
	var octets int64
	const query = `SELECT coalesce(sum(coalesce(length(user), 0) + coalesce(length(client), 0) + length(data) + ?), 0) FROM accounting WHERE id <= ?`
	if err := s.db.QueryRowContext(ctx, query, rowOverhead, last).Scan(&octets); err != nil {
		return err
	}
	s.reports.add(octets)
	s.reports.known = true
	return nil
}

// size is what the database fills; room within the file is used again.
func (s *Store) size(ctx context.Context) (n int64, err error) {
	const query = `SELECT (p.page_count - f.freelist_count) * s.page_size FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size s`
	err = s.db.QueryRowContext(ctx, query).Scan(&n)
	return n, err
}

// othersSize is what everything but the trail fills.
func (s *Store) othersSize(ctx context.Context) (all int64, err error) {
	var names []string
	err = each(ctx, s.db, `SELECT name FROM sqlite_schema WHERE rootpage > 0 AND name NOT IN ('events', 'event_user', 'accounting')`, nil, func(r *sql.Rows) error {
		var name string
		err := r.Scan(&name)
		names = append(names, name)
		return err
	})
	for _, name := range names {
		var n int64
		if err := s.db.QueryRowContext(ctx, `SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name = ?`, name).Scan(&n); err != nil {
			return 0, err
		}
		all += n
	}
	return all, err
}
