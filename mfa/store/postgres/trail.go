package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"iter"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/record"
)

const (
	// counting selects what the limits are rebuilt from, except for open prompts.
	counting = `(coalesce(e.tries, 0) > 0 OR e.reason IN ('` + string(mfa.ReasonPushDenied) + `', '` + string(mfa.ReasonWrongNumber) +
		`', '` + string(mfa.ReasonNotMe) + `', '` + string(mfa.ReasonPushNoResponse) + `', '` + string(mfa.ReasonNASTimeout) +
		`', '` + string(mfa.ReasonCodeUsed) + `', '` + string(mfa.ReasonCodesLocked) + `') IS TRUE OR coalesce(e.kind, 0) = ` + record.TryNumber + `)`

	eventColumns = `e.at, coalesce(e.name, e.usr, ''), coalesce(e.client, ''), coalesce(e.reason, ''), coalesce(e.tries, 0), coalesce(e.token, ''), e.step, coalesce(e.drift, 0), e.data`
	// sessionColumns are the same of a report of a session.
	sessionColumns = `e.at, coalesce(e.name, e.usr, ''), coalesce(e.client, ''), '', 0, '', NULL::bigint, 0, e.data`

	// blank is the kind of a row whose event is gone: it only keeps the number.
	blank = 99
)

// LastEvent implements store.Backend.
func (d *DB) LastEvent(ctx context.Context) (seq int64, err error) {
	err = d.SQL.QueryRowContext(ctx, `SELECT greatest((SELECT max(at) FROM events), (SELECT max(at) FROM accounting), 0)`).Scan(&seq)
	return seq, err
}

// Events implements store.Backend.
func (d *DB) Events(ctx context.Context, sel record.Selection) iter.Seq2[record.Entry, error] {
	return func(yield func(record.Entry, error) bool) {
		query, args := selection(&sel)
		rows, err := d.SQL.QueryContext(ctx, query, args...)
		if err != nil {
			yield(record.Entry{}, err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			var row eventRow
			e, err := row.read(rows)
			if !yield(e, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(record.Entry{}, err)
		}
	}
}

// selection is the statement for sel.
func selection(sel *record.Selection) (query string, args []any) {
	where := ` WHERE e.at > $1 AND e.at < $2`
	args = []any{sel.From, sel.To}
	if sel.User != "" {
		args = append(args, text(sel.User))
		where += fmt.Sprintf(` AND e.usr = $%d`, len(args))
	}
	if sel.Client != "" {
		args = append(args, text(sel.Client))
		where += fmt.Sprintf(` AND e.client = $%d`, len(args))
	}
	events := where + ` AND coalesce(e.kind, 0) <> 99`
	switch {
	case sel.Counting:
		events += ` AND (` + counting + ` OR e.kind = ` + record.OpenNumber + `)`
	case !sel.Steps:
		events += ` AND e.kind IS NULL`
	}
	if sel.NoCodes {
		events += ` AND e.step IS NULL`
	}
	query = `SELECT ` + eventColumns + `, e.run, e.n FROM events e` + events
	if !sel.Counting && !sel.NoReports {
		query += ` UNION ALL SELECT ` + sessionColumns + `, e.run, e.n FROM accounting e` + where
	}
	if sel.Newest {
		return query + ` ORDER BY 1 DESC, 10 DESC, 11 DESC`, args
	}
	return query + ` ORDER BY 1, 10, 11`, args
}

// eventRow is a row of eventColumns.
type eventRow struct {
	at                          int64
	name, client, reason, token string
	tries                       int
	step                        sql.NullInt64
	drift                       int
	data                        []byte
}

func (e *eventRow) read(r *sql.Rows) (record.Entry, error) {
	var run, n int64
	if err := r.Scan(&e.at, &e.name, &e.client, &e.reason, &e.tries, &e.token, &e.step, &e.drift, &e.data, &run, &n); err != nil {
		return record.Entry{}, err
	}
	return e.entry()
}

// entry is the event of the row.
func (e *eventRow) entry() (record.Entry, error) {
	out := record.Entry{Seq: e.at}
	ev := &out.Event
	ev.User, ev.Client, ev.Reason = mfa.NameOf(untext(e.name)), untext(e.client), mfa.Reason(untext(e.reason))
	ev.Tries, ev.Token, ev.Step, ev.Used, ev.Drift = e.tries, untext(e.token), e.step.Int64, e.step.Valid, e.drift
	if err := record.DecodeEvent(e.data, ev); err != nil {
		return out, fmt.Errorf("event %d: %w", e.at, err)
	}
	return out, nil
}

// feedRow is a row of the feed: NULL where a run has nothing.
type feedRow struct {
	n, seq sql.NullInt64
	usr    sql.NullString
	kind   int64
	at     sql.NullInt64
	name   sql.NullString
	client sql.NullString
	reason sql.NullString
	tries  sql.NullInt64
	token  sql.NullString
	step   sql.NullInt64
	drift  sql.NullInt64
	data   []byte
}

func (f *feedRow) scan(r *sql.Rows, run *int32, last *int64) error {
	return r.Scan(run, last, &f.n, &f.usr, &f.seq, &f.kind, &f.at, &f.name, &f.client, &f.reason, &f.tries, &f.token, &f.step, &f.drift, &f.data)
}

func (f *feedRow) event() (record.Entry, error) {
	e := eventRow{
		at: f.at.Int64, name: f.name.String, client: f.client.String, reason: f.reason.String, token: f.token.String,
		tries: int(f.tries.Int64), step: f.step, drift: int(f.drift.Int64), data: f.data,
	}
	return e.entry()
}
