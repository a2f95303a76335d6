package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
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
	// A statement of its own: it costs the lines of the trail nothing.
	insertStep   = `INSERT INTO events (` + eventColumns + `, kind) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	insertPrompt = `INSERT INTO prompts (id, data) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET data = excluded.data`
	deletePrompt = `DELETE FROM prompts WHERE id = ?`
)

// Append implements store.Backend. A number says nothing to this database: one server has
// it. What a command has changed and memory has not yet is what can come between.
func (d *DB) Append(rows []record.Row) (kept []bool, err error) {
	return d.writer.insert(rows, d.acked, d.Now())
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
	open    func() (conn, error)
	conn    conn
	stmts   [statements]driver.Stmt
	changed changes
	args    [eventColumnCount + 1]driver.NamedValue // the kind of a step is the last
}

const (
	stmtBegin = iota
	stmtCommit
	stmtRollback
	stmtLast
	stmtChanges
	stmtEvent
	stmtStep
	stmtAccounting
	stmtBar
	stmtBlock
	stmtWrong
	stmtRight
	stmtPrompt
	stmtNoPrompt
	statements
)

var statementTexts = [statements]string{
	stmtBegin:      "BEGIN IMMEDIATE",
	stmtCommit:     "COMMIT",
	stmtRollback:   "ROLLBACK",
	stmtLast:       lastEvent + `, coalesce((SELECT max(id) FROM changes), 0)`,
	stmtChanges:    `SELECT id, usr FROM changes WHERE id > ? ORDER BY id`,
	stmtEvent:      insertEvent,
	stmtStep:       insertStep,
	stmtAccounting: insertAccounting,
	stmtBar:        insertBar,
	stmtBlock:      insertBlock,
	stmtWrong:      insertWrong,
	stmtRight:      "DELETE FROM wrong_codes WHERE usr = ?",
	stmtPrompt:     insertPrompt,
	stmtNoPrompt:   deletePrompt,
}

const (
	// A trail that was pruned to its end goes on behind it all the same: where the
	// clock was set back, a use would otherwise lie before the mark and be forgotten.
	lastEvent   = `SELECT max(coalesce((SELECT max(id) FROM events), 0), coalesce((SELECT max(id) FROM accounting), 0), ` + FoldedMark + `)`
	insertBar   = "INSERT OR IGNORE INTO push_blocks (usr, grp) VALUES (?, ?)"
	insertBlock = "INSERT INTO users (usr, name, blocked) VALUES (?, ?, 1) ON CONFLICT (usr) DO UPDATE SET blocked = 1"
)

// insert commits rows, except for those that are not kept, or none of them. acked is the
// last change that memory has.
func (w *writer) insert(rows []record.Row, acked int64, now time.Time) (kept []bool, err error) {
	if err := w.prepare(); err != nil {
		return nil, err
	}
	for range busyTries {
		if err = w.exec(stmtBegin); !isBusy(err) {
			break
		}
	}
	if err == nil {
		if kept, err = w.insertRows(rows, acked, now); err == nil {
			err = w.exec(stmtCommit)
		}
		if err != nil {
			w.exec(stmtRollback) // fails where SQLite has rolled back by itself
		}
	}
	if err != nil && !isBusy(err) {
		err = errors.Join(err, w.close())
	}
	if err != nil {
		return nil, err
	}
	return kept, nil
}

func (w *writer) insertRows(rows []record.Row, acked int64, now time.Time) (kept []bool, err error) {
	id, change, err := w.last()
	if err != nil {
		return nil, err
	}
	if change > acked {
		if err := w.readChanges(acked); err != nil {
			return nil, err
		}
		kept = make([]bool, len(rows))
	}
	for i := range rows {
		r := &rows[i]
		if kept != nil {
			if kept[i] = r.Seq == 0 || !w.changed.touches(r.Key, acked); !kept[i] {
				continue
			}
		}
		for ; r != nil; r = r.Report {
			id = max(id+1, now.UnixMicro())
			if err := w.insertRow(id, r); err != nil {
				return nil, err
			}
			if err := w.follow(r); err != nil {
				return nil, err
			}
		}
	}
	return kept, nil
}

// changes is what commands have changed and memory has not taken over yet: the last
// change of each user, and of what belongs to no user, such as a bypass.
type changes struct {
	site, last int64
	users      map[string]int64
}

// touches reports whether a change after one concerns user.
func (c *changes) touches(user string, after int64) bool {
	return c.site > after || c.users[user] > after
}

// readChanges reads the changes that came since it was called last. acked is the last one
// that memory has.
func (w *writer) readChanges(acked int64) error {
	c := &w.changed
	if c.last <= acked { // memory has all of them
		*c = changes{last: acked, users: make(map[string]int64)}
	}
	args := []driver.NamedValue{{Ordinal: 1, Value: c.last}}
	rows, err := w.stmts[stmtChanges].(driver.StmtQueryContext).QueryContext(context.Background(), args)
	if err != nil {
		return err
	}
	defer rows.Close()
	for {
		var v [2]driver.Value
		if err := rows.Next(v[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		id, ok := v[0].(int64)
		if !ok {
			return fmt.Errorf("id of a change is a %T", v[0])
		}
		switch user := v[1].(type) {
		case nil:
			c.site = id
		case string:
			c.users[user] = id
		default:
			return fmt.Errorf("user of a change is a %T", v[1])
		}
		c.last = id
	}
}

// follow writes what follows from r beside its event.
func (w *writer) follow(r *record.Row) error {
	if err := w.wrongCodes(r); err != nil {
		return err
	}
	if r.Barred != "" {
		if err := w.exec(stmtBar, texts(r.Key, r.Barred)...); err != nil {
			return err
		}
		if r.Blocks {
			if err := w.exec(stmtBlock, texts(r.Key, r.User)...); err != nil {
				return err
			}
		}
	}
	switch {
	case r.Prompt.ID == "":
		return nil
	case r.Prompt.Data == nil:
		return w.exec(stmtNoPrompt, texts(r.Prompt.ID)...)
	}
	return w.exec(stmtPrompt, driver.NamedValue{Ordinal: 1, Value: r.Prompt.ID}, driver.NamedValue{Ordinal: 2, Value: r.Prompt.Data})
}

// texts are arguments that are texts.
func texts(values ...string) []driver.NamedValue {
	args := make([]driver.NamedValue, len(values))
	for i, v := range values {
		args[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return args
}

func (w *writer) insertRow(id int64, r *record.Row) error {
	if r.Mark == nil {
		values(r, id, w.args[:])
		if r.Kind == 0 {
			return w.exec(stmtEvent, w.args[:eventColumnCount]...)
		}
		w.args[eventColumnCount].Value = r.Kind
		return w.exec(stmtStep, w.args[:]...)
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

// last reads the highest event id, and the last change: another process may have written.
func (w *writer) last() (id, change int64, err error) {
	rows, err := w.stmts[stmtLast].(driver.StmtQueryContext).QueryContext(context.Background(), nil)
	if err != nil {
		return 0, 0, err
	}
	defer rows.Close()
	var v [2]driver.Value
	if err := rows.Next(v[:]); err != nil {
		return 0, 0, err
	}
	id, ok := v[0].(int64)
	change, ok2 := v[1].(int64)
	if !ok || !ok2 {
		return 0, 0, fmt.Errorf("ids of event and change are %T and %T", v[0], v[1])
	}
	return id, change, nil
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
	if r.Wrong.Row == 0 {
		return w.exec(stmtRight, texts(r.Key)...)
	}
	values := [...]driver.Value{
		r.Key, int64(r.Wrong.Row), int64(r.Wrong.Locks),
		record.Micros(r.Wrong.Last), record.Micros(r.Wrong.Since), record.Micros(r.Wrong.Until),
	}
	args := make([]driver.NamedValue, len(values))
	for i, v := range values {
		args[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return w.exec(stmtWrong, args...)
}

// values fills in the columns in the order of eventColumns. NULL takes no room.
func values(r *record.Row, id int64, v []driver.NamedValue) {
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
	r, err := record.NewRow(ev, d.Now())
	if err != nil {
		return err
	}
	var last int64
	if err := tx.QueryRowContext(ctx, lastEvent).Scan(&last); err != nil {
		return err
	}
	var v [eventColumnCount]driver.NamedValue
	values(&r, max(last+1, d.Now().UnixMicro()), v[:])
	args := make([]any, len(v))
	for i := range v {
		args[i] = v[i].Value
	}
	_, err = tx.ExecContext(ctx, insertEvent, args...)
	return err
}
