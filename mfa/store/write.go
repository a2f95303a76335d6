package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"go.uber.org/zap"
	"modernc.org/sqlite"

	"github.com/radmatch/radmatch/mfa"
)

const (
	// gatherFor is how long a commit waits at most for more rows.
	gatherFor = 3 * time.Millisecond
	// pace is how long the writer rests between commits while a crowd shares them:
	// when the last one carried crowd rows. It saves a tenth of the processor time,
	// and p99 falls because fewer threads wake up. Fewer people at a time would only
	// wait: on a busy machine a rest lasts twice as long as it should, one in a hundred
	// four times. It is Go's timer: asleep in the kernel, the writer would hold a
	// processor that the runtime takes back, which costs as much again.
	pace  = 300 * time.Microsecond
	crowd = 24
	// maxQueue bounds the rows that wait for the disk.
	maxQueue = 16384
	// complainEvery bounds the log lines about a disk that does not take events.
	complainEvery = 5 * time.Second
	// busyTries of busy_timeout each: how long a batch waits for another
	// process that writes.
	busyTries = 3
)

// batch is what one commit carries. err is set before done is closed.
type batch struct {
	done chan struct{}
	err  error
}

// queue collects rows until the writer takes them.
type queue struct {
	mu     sync.Mutex
	rows   []row
	batch  *batch
	spare  []row         // the rows of the last batch, to be used again
	last   time.Time     // when a row came last
	wake   chan struct{} // capacity 1; closed by close
	closed bool
}

func (q *queue) init() {
	q.wake = make(chan struct{}, 1)
	q.batch = &batch{done: make(chan struct{})}
}

// add queues rows, which are committed together.
func (q *queue) add(rows ...row) (*batch, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.batch == nil {
		return nil, ErrClosed
	}
	if len(q.rows) >= maxQueue {
		return nil, ErrFull
	}
	first := len(q.rows) == 0
	q.rows = append(q.rows, rows...)
	if first {
		q.last = time.Now()
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	return q.batch, nil
}

// take returns all queued rows and their batch. The rows are the writer's until
// the next take.
func (q *queue) take() ([]row, *batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	rows, b := q.rows, q.batch
	clear(q.spare)
	q.rows, q.spare = q.spare[:0], rows
	q.batch = &batch{done: make(chan struct{})}
	return rows, b
}

// gather waits while rows keep coming: it lets every goroutine run that can, and
// ends when that brought no row. So a commit carries what is there to carry, and
// a lone login waits for nobody. Only in a crowd it rests first: a timer alone
// made every login wait for a millisecond, or all for all.
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
func (s *Store) Record(ctx context.Context, ev mfa.Event) error {
	return s.commit(ctx, ev, false)
}

// commit queues one row and waits until it is on disk.
func (s *Store) commit(ctx context.Context, ev mfa.Event, used bool) (err error) {
	defer wrap(&err, "store: event")
	if !s.opt.Server {
		return ErrNotServer
	}
	r, err := s.newRow(ev, used)
	if err != nil {
		return err
	}
	b, err := s.enqueue(ev, r)
	if err != nil {
		return err
	}
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enqueue queues the row of ev, and behind it the report that follows from it.
func (s *Store) enqueue(ev mfa.Event, r row) (*batch, error) {
	if !ev.Reports() {
		return s.queue.add(r)
	}
	report, err := s.newRow(ev.Report(), false)
	if err != nil {
		return nil, err
	}
	return s.queue.add(r, report)
}

// writeLoop is the writer: it commits whatever is queued, until the queue is
// closed and empty.
func (s *Store) writeLoop() {
	for open := true; open; {
		_, open = <-s.queue.wake
		s.queue.gather()
		rows, b := s.queue.take()
		if len(rows) > 0 {
			b.err = s.commitRows(rows)
		}
		close(b.done)
	}
}

// commitRows writes rows in one commit. What they say about push is in memory
// before their waiters go on, even after a failed commit: that only denies.
func (s *Store) commitRows(rows []row) error {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	err := s.writer.insert(rows, s.opt.Now())
	for i := range rows {
		if r := &rows[i]; r.barred != "" {
			s.bar(mfa.NameOf(r.user).Key().String(), r.barred, r.blocks)
		}
	}
	if err != nil {
		s.lost += len(rows)
		s.complaints.Do(func() {
			s.log.Error("events could not be written: their logins are not accepted", zap.Int("events", s.lost), zap.Error(err))
			s.lost = 0
		})
		return err
	}
	s.tail.Add(int64(len(rows)))
	for i := range rows {
		if r := &rows[i]; r.mark != nil {
			s.reports.add(int64(len(r.user)+len(r.client)+len(r.data)) + rowOverhead)
		}
	}
	return nil
}

// conn is what the SQLite driver's connection can do, of what is needed here.
// database/sql in between costs as much again as the insert.
type conn interface {
	driver.Conn
	driver.ConnPrepareContext
}

// writer is the connection that inserts events, with its statements prepared.
// It is opened when it is needed, and anew after a failure. wmu guards it.
type writer struct {
	open  func() (conn, error)
	conn  conn
	stmts [statements]driver.Stmt
	args  [eventColumnCount]driver.NamedValue
}

const (
	stmtBegin = iota
	stmtCommit
	stmtRollback
	stmtLast
	stmtEvent
	stmtAccounting
	stmtBar
	stmtBlock
	stmtWrong
	stmtRight
	statements
)

var statementTexts = [statements]string{
	stmtBegin:      "BEGIN IMMEDIATE",
	stmtCommit:     "COMMIT",
	stmtRollback:   "ROLLBACK",
	stmtLast:       lastEvent,
	stmtEvent:      insertEvent,
	stmtAccounting: insertAccounting,
	stmtBar:        insertBar,
	stmtBlock:      insertBlock,
	stmtWrong:      insertWrong,
	stmtRight:      "DELETE FROM wrong_codes WHERE user = ?",
}

const (
	// A trail that was pruned to its end goes on behind it all the same: where the
	// clock was set back, a use would else lie before the mark and be forgotten.
	lastEvent   = `SELECT max(coalesce((SELECT max(id) FROM events), 0), coalesce((SELECT max(id) FROM accounting), 0), ` + foldedMark + `)`
	insertBar   = "INSERT OR IGNORE INTO push_blocks (user, grp) VALUES (?, ?)"
	insertBlock = "INSERT INTO users (user, name, blocked) VALUES (?, ?, 1) ON CONFLICT (user) DO UPDATE SET blocked = 1"
)

// insert commits rows, or none of them.
func (w *writer) insert(rows []row, now time.Time) (err error) {
	if err := w.prepare(); err != nil {
		return err
	}
	for range busyTries {
		if err = w.exec(stmtBegin); !isBusy(err) {
			break
		}
	}
	if err == nil {
		if err = w.insertRows(rows, now); err == nil {
			err = w.exec(stmtCommit)
		}
		if err != nil {
			w.exec(stmtRollback) // fails where SQLite has rolled back by itself
		}
	}
	if err != nil && !isBusy(err) {
		return errors.Join(err, w.close())
	}
	return err
}

func (w *writer) insertRows(rows []row, now time.Time) error {
	id, err := w.last()
	if err != nil {
		return err
	}
	for i := range rows {
		id = max(id+1, now.UnixMicro())
		if err := w.insertRow(id, &rows[i]); err != nil {
			return err
		}
		if err := w.wrongCodes(&rows[i]); err != nil {
			return err
		}
		if r := &rows[i]; r.barred != "" {
			args := []driver.NamedValue{{Ordinal: 1, Value: mfa.NameOf(r.user).Key().String()}, {Ordinal: 2, Value: r.barred}}
			if err := w.exec(stmtBar, args...); err != nil {
				return err
			}
			if args[1].Value = r.user; r.blocks {
				if err := w.exec(stmtBlock, args...); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (w *writer) insertRow(id int64, r *row) error {
	if r.mark == nil {
		r.values(id, &w.args)
		return w.exec(stmtEvent, w.args[:]...)
	}
	values := [...]driver.Value{id, text(r.user), text(r.client), r.mark, nil, r.data}
	if r.interim {
		values[4] = int64(1)
	}
	for i, v := range values {
		w.args[i].Value = v
	}
	return w.exec(stmtAccounting, w.args[:len(values)]...)
}

// last reads the highest event id: another process may have written one.
func (w *writer) last() (int64, error) {
	rows, err := w.stmts[stmtLast].(driver.StmtQueryContext).QueryContext(context.Background(), nil)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var v [1]driver.Value
	if err := rows.Next(v[:]); err != nil {
		return 0, err
	}
	id, ok := v[0].(int64)
	if !ok {
		return 0, fmt.Errorf("event id is a %T", v[0])
	}
	return id, nil
}

// exec runs a statement without a context: a commit is never interrupted.
func (w *writer) exec(stmt int, args ...driver.NamedValue) error {
	_, err := w.stmts[stmt].(driver.StmtExecContext).ExecContext(context.Background(), args)
	return err
}

func (w *writer) prepare() (err error) {
	if w.conn != nil {
		return nil
	}
	if w.conn, err = w.open(); err != nil {
		w.conn = nil
		return err
	}
	for i, text := range statementTexts {
		if w.stmts[i], err = w.conn.PrepareContext(context.Background(), text); err != nil {
			return errors.Join(err, w.close())
		}
	}
	for i := range w.args {
		w.args[i].Ordinal = i + 1
	}
	return nil
}

func (w *writer) close() error {
	if w.conn == nil {
		return nil
	}
	var errs []error
	for i, stmt := range w.stmts {
		if stmt != nil {
			errs = append(errs, stmt.Close())
		}
		w.stmts[i] = nil
	}
	errs = append(errs, w.conn.Close())
	w.conn = nil
	return errors.Join(errs...)
}

// isBusy reports whether another process had the database for busy_timeout.
func isBusy(err error) bool {
	const busy = 5 // SQLITE_BUSY; the bits above say where
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == busy
}
