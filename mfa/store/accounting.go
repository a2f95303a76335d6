package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/record"
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
	r, err := record.NewRow(ev, s.opt.Now())
	if err != nil {
		return false, err
	}
	r.Mark, r.Interim = key[:], ev.Session.Status == "interim"
	b, again, err := s.marks.begin(key, s.opt.Now(), func() (*batch, error) {
		at, err := s.queue.Add(r, false)
		return at.batch, err
	})
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
	keys, err := s.db.Marks(ctx, now.Add(-keepMarks), maxMarks-1)
	for _, key := range keys {
		if len(key) == len(mark{}) {
			s.marks.young[mark(key)] = nil
		}
	}
	return err
}

// ClassKey signs the Class attribute of an Access-Accept. It is the same for the
// life of the database.
func (s *Store) ClassKey(ctx context.Context) (key []byte, err error) {
	defer wrap(&err, "store: accounting")
	return s.db.ClassKey(ctx)
}

// thin removes interim reports that are older than keepInterim: they come every
// few minutes for each session, and would push the logins out of the trail.
func (s *Store) thin(ctx context.Context, now time.Time) (n int, err error) {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	n, freed, err := s.db.Thin(ctx, now.Add(-keepInterim), chunk)
	if err == nil {
		s.reports.Add(-freed)
	}
	return n, err
}
