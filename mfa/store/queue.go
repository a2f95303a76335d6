package store

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/record"
)

const (
	// gatherFor is how long a commit waits at most for more rows.
	gatherFor = 3 * time.Millisecond
	// pace is how long the writer rests between commits while a crowd shares them:
	// when the last one carried crowd rows. It saves a tenth of the processor time,
	// and p99 falls because fewer threads wake up. Fewer users at a time would only
	// wait: on a busy machine a rest lasts twice as long as it should, one in a hundred
	// four times. It is Go's timer: asleep in the kernel, the writer would hold a
	// processor that the runtime takes back, which costs as much again.
	pace  = 300 * time.Microsecond
	crowd = 24
	// maxQueue bounds the rows that wait for the disk.
	maxQueue = 16384
	// complainEvery bounds the log lines about a disk that does not take events.
	complainEvery = 5 * time.Second
)

// batch is what one commit carries. err and kept are set before done is closed.
type batch struct {
	done chan struct{}
	err  error
	kept []bool // by the place of a row; nil: all were kept
}

// place is where a row is: in which batch, and as which of its rows.
type place struct {
	*batch
	i     int
	leads bool // whose row it is commits the batch
}

// isKept reports whether the row was not left out. It may not be on disk: see err.
func (p place) isKept() bool { return p.err != nil || p.kept == nil || p.kept[p.i] }

// queue collects rows until they are committed, by the caller who queued the first of them
// or by the writer.
type queue struct {
	leaders sync.WaitGroup // who commit batches; none begins once it is closed
	mu      sync.Mutex
	rows    []record.Row
	batch   *batch
	spare   []record.Row  // the rows of the last batch, to be used again
	last    time.Time     // when a row came last
	wake    chan struct{} // capacity 1; closed by close
	closed  bool
	busy    bool // a batch is on its way to the disk, or has one who leads it
}

func (q *queue) init() {
	q.wake = make(chan struct{}, 1)
	q.batch = &batch{done: make(chan struct{})}
}

// Add queues a row, and returns its place. mayLead: the caller commits the batch where the
// row is its first, see place.leads; otherwise the writer is told to.
func (q *queue) Add(r record.Row, mayLead bool) (place, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.batch == nil {
		return place{}, ErrClosed
	}
	i := len(q.rows)
	if i >= maxQueue {
		return place{}, ErrFull
	}
	q.rows = append(q.rows, r)
	if i > 0 {
		return place{q.batch, i, false}, nil
	}
	q.last = time.Now()
	switch {
	case q.busy: // at its end this batch is seen
		return place{q.batch, 0, false}, nil
	case mayLead && len(q.spare) < crowd:
		q.busy = true
		q.leaders.Add(1)
		return place{q.batch, 0, true}, nil
	}
	q.call()
	return place{q.batch, 0, false}, nil
}

// call wakes the writer up. mu is held.
func (q *queue) call() {
	if q.closed { // Close looks for rows itself
		return
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// committed ends the commit of a batch. Rows that have come meanwhile are the writer's.
func (q *queue) committed() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy = false
	if len(q.rows) > 0 {
		q.call()
	}
}

// take returns all queued rows and their batch. The rows are the caller's until
// the next take. wmu is held.
func (q *queue) take() ([]record.Row, *batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy = true
	rows, b := q.rows, q.batch
	clear(q.spare)
	q.rows, q.spare = q.spare[:0], rows
	q.batch = &batch{done: make(chan struct{})}
	return rows, b
}

// gather waits while rows keep coming: it lets every goroutine run that can, and
// ends when that brought no row. So a commit carries what is there to carry, and
// a single login waits for no other. Only in a crowd it rests first: with only a
// timer, every login waited for a millisecond, or all for all.
func (q *queue) gather() {
	if q.crowded() {
		time.Sleep(pace)
	}
	begun := time.Now()
	for seen, n := 0, q.len(); n > seen && time.Since(begun) < gatherFor; n = q.len() {
		seen = n
		runtime.Gosched()
	}
}

// crowded reports whether the last commit carried many rows.
func (q *queue) crowded() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.spare) >= crowd
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.rows)
}

// idle reports whether no row waits and none came for d.
func (q *queue) idle(d time.Duration) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.rows) == 0 && time.Since(q.last) >= d
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		close(q.wake)
	}
}

// Record implements mfa.Journal. An event that was queued may still be
// committed after ctx has ended; the caller must treat ctx's error as a failure.
func (s *Store) Record(ctx context.Context, ev mfa.Event) (err error) {
	defer wrap(&err, "store: event")
	if ev.Used {
		return errors.New("a code is used up by an entry only")
	}
	if !s.opt.Server {
		return ErrNotServer
	}
	r, err := record.NewRow(ev, s.opt.Now())
	if err != nil {
		return err
	}
	at, err := s.queue.Add(r, mayLead(ctx))
	if err != nil {
		return err
	}
	s.lead(at)
	select {
	case <-at.done:
		return at.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// mayLead reports whether a caller can commit a batch: a commit is not interrupted.
func mayLead(ctx context.Context) bool { return ctx.Done() == nil }

// lead commits the batch of a place that leads, in the goroutine of the login: to hand it to
// the writer, and to be woken by it, costs a sixth of a commit of one row. In a crowd, who
// led would wait for the others, and the writer has no need to be woken.
func (s *Store) lead(at place) {
	if at.leads {
		defer s.queue.leaders.Done()
		s.commitBatch()
	}
}

// writeLoop is the writer: it commits what is queued and has no leader, until the queue is
// closed.
func (s *Store) writeLoop() {
	for open := true; open; {
		_, open = <-s.queue.wake
		s.commitBatch()
	}
}

var errCommit = errors.New("the commit did not come to its end")

// commitBatch commits what is queued.
func (s *Store) commitBatch() {
	s.queue.gather()
	s.wmu.Lock()
	rows, b := s.queue.take()
	b.err = errCommit // of a panic, which a login's goroutine outlives
	defer func() {
		s.wmu.Unlock()
		s.queue.committed()
		close(b.done)
	}()
	b.kept, b.err = s.commitRows(rows)
}

// commitRows writes rows in one commit, except for entries that others have overtaken. What
// they say about push is in memory before their waiters go on, even after a failed commit:
// that only denies. wmu is held.
func (s *Store) commitRows(rows []record.Row) (kept []bool, err error) {
	if len(rows) == 0 {
		return nil, nil
	}
	if kept = s.inOrder(rows); kept == nil {
		kept, err = s.append(rows)
	} else {
		err = s.appendSome(rows, kept)
	}
	n := 0
	for i := range rows {
		if kept != nil && !kept[i] {
			continue
		}
		r := &rows[i]
		n++
		if r.Report != nil {
			n++
		}
		if r.Barred != "" {
			s.bar(r.Key, r.Barred, r.Blocks)
			if r.Seq == 0 && s.nodes == nil {
				s.ledger.moved(r.Key)
			}
		}
		if r.Mark != nil && err == nil {
			s.reports.Add(int64(len(r.User)+len(r.Client)+len(r.Data)) + record.RowOverhead)
		}
	}
	if err != nil {
		s.lost += n
		s.complaints.Do(func() {
			s.log.Error("events could not be written: their logins are not accepted", zap.Int("events", s.lost), zap.Error(err))
			s.lost = 0
		})
		return kept, err
	}
	s.tail.Add(int64(n))
	return kept, nil
}

// inOrder tells which rows may still be written: memory may have taken over what a command
// has changed since they were queued. nil: all of them. wmu is held.
func (s *Store) inOrder(rows []record.Row) (kept []bool) {
	for i := range rows {
		if r := &rows[i]; r.Seq > 0 && !s.ledger.isNext(r) {
			if kept == nil {
				kept = slices.Repeat([]bool{true}, len(rows))
			}
			kept[i] = false
		}
	}
	return kept
}

// appendSome writes the rows that are kept, and notes which of them the database has not
// kept. wmu is held.
func (s *Store) appendSome(rows []record.Row, kept []bool) error {
	var some []record.Row
	var at []int // their places among all
	for i := range rows {
		if kept[i] {
			some, at = append(some, rows[i]), append(at, i)
		}
	}
	if len(some) == 0 {
		return nil
	}
	left, err := s.append(some)
	for i := range left {
		kept[at[i]] = left[i]
	}
	return err
}

// append commits rows and notes how that went. wmu is held.
func (s *Store) append(rows []record.Row) (kept []bool, err error) {
	s.health.Begin(s.tick())
	kept, err = s.db.Append(rows)
	s.health.End(s.tick(), err)
	return kept, err
}
