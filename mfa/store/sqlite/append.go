package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"modernc.org/sqlite"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/record"
)

const (
	// busyTries of busy_timeout each: how long a batch waits for another
	// process that writes.
	busyTries = 3

	insertAccounting = `INSERT INTO accounting (id, usr, client, mark, interim, data) VALUES (?, ?, ?, ?, ?, ?)`
	insertWrong      = `INSERT OR REPLACE INTO wrong_codes (usr, row, locks, last, since, until) VALUES (?, ?, ?, ?, ?, ?)`
	eventColumns     = `id, usr, client, reason, tries, token, step, drift, data`
	eventColumnCount = 9
	insertEvent      = `INSERT INTO events (` + eventColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

// Append implements store.Backend.
func (d *DB) Append(rows []record.Row) error { return d.writer.insert(rows, d.Now()) }

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
	stmtRight:      "DELETE FROM wrong_codes WHERE usr = ?",
}

const (
	// A trail that was pruned to its end goes on behind it all the same: where the
	// clock was set back, a use would otherwise lie before the mark and be forgotten.
	lastEvent   = `SELECT max(coalesce((SELECT max(id) FROM events), 0), coalesce((SELECT max(id) FROM accounting), 0), ` + FoldedMark + `)`
	insertBar   = "INSERT OR IGNORE INTO push_blocks (usr, grp) VALUES (?, ?)"
	insertBlock = "INSERT INTO users (usr, name, blocked) VALUES (?, ?, 1) ON CONFLICT (usr) DO UPDATE SET blocked = 1"
)

// insert commits rows, or none of them.
func (w *writer) insert(rows []record.Row, now time.Time) (err error) {
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

func (w *writer) insertRows(rows []record.Row, now time.Time) error {
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
		if r := &rows[i]; r.Barred != "" {
			args := []driver.NamedValue{{Ordinal: 1, Value: mfa.NameOf(r.User).Key().String()}, {Ordinal: 2, Value: r.Barred}}
			if err := w.exec(stmtBar, args...); err != nil {
				return err
			}
			if args[1].Value = r.User; r.Blocks {
				if err := w.exec(stmtBlock, args...); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (w *writer) insertRow(id int64, r *record.Row) error {
	if r.Mark == nil {
		values(r, id, &w.args)
		return w.exec(stmtEvent, w.args[:]...)
	}
	values := [...]driver.Value{id, text(r.User), text(r.Client), r.Mark, nil, r.Data}
	if r.Interim {
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

// wrongCodes writes what the event of r says of its user's wrong codes.
func (w *writer) wrongCodes(r *record.Row) error {
	if r.Wrong == nil {
		return nil
	}
	key := mfa.NameOf(r.User).Key().String()
	if r.Wrong.Row == 0 {
		return w.exec(stmtRight, driver.NamedValue{Ordinal: 1, Value: key})
	}
	values := [...]driver.Value{
		key, int64(r.Wrong.Row), int64(r.Wrong.Locks),
		record.Micros(r.Wrong.Last), record.Micros(r.Wrong.Since), record.Micros(r.Wrong.Until),
	}
	args := make([]driver.NamedValue, len(values))
	for i, v := range values {
		args[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return w.exec(stmtWrong, args...)
}

// values fills in the columns in the order of eventColumns. NULL takes no room.
func values(r *record.Row, id int64, v *[eventColumnCount]driver.NamedValue) {
	v[0].Value = id
	v[1].Value = text(r.User)
	v[2].Value = text(r.Client)
	v[3].Value = text(r.Reason)
	v[4].Value = number(r.Tries)
	v[5].Value = text(r.Token)
	v[6].Value = nil
	if r.Used {
		v[6].Value = r.Step
	}
	v[7].Value = number(r.Drift)
	v[8].Value = r.Data
}

func text(s string) driver.Value {
	if s == "" {
		return nil
	}
	return s
}

func number(n int64) driver.Value {
	if n == 0 {
		return nil
	}
	return n
}

// insertAdmin writes the event of an administrative change in its transaction.
func (d *DB) insertAdmin(ctx context.Context, tx *sql.Tx, ev mfa.Event) error {
	ev.Kind = mfa.EventAdmin
	r, err := record.NewRow(ev, false, d.Now())
	if err != nil {
		return err
	}
	var last int64
	if err := tx.QueryRowContext(ctx, lastEvent).Scan(&last); err != nil {
		return err
	}
	var v [eventColumnCount]driver.NamedValue
	values(&r, max(last+1, d.Now().UnixMicro()), &v)
	args := make([]any, len(v))
	for i := range v {
		args[i] = v[i].Value
	}
	_, err = tx.ExecContext(ctx, insertEvent, args...)
	return err
}
