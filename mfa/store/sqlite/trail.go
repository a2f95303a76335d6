package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/store/sqlstore"
)

// counting selects what the limits are rebuilt from, except for open prompts. Such an event
// stays in the trail longer than others; of the prompts, only the last hours count.
const counting = `(coalesce(tries, 0) > 0 OR coalesce(reason, '') IN ('` + string(mfa.ReasonPushDenied) + `', '` + string(mfa.ReasonWrongNumber) +
	`', '` + string(mfa.ReasonNotMe) + `', '` + string(mfa.ReasonPushNoResponse) + `', '` + string(mfa.ReasonNASTimeout) +
	`', '` + string(mfa.ReasonCodeUsed) + `', '` + string(mfa.ReasonCodesLocked) + `')` +
	` OR coalesce(kind, 0) = ` + record.TryNumber + `)`

const FoldedMark = `(SELECT value FROM meta WHERE key = 'folded')`

// LastEvent implements store.Backend.
func (d *DB) LastEvent(ctx context.Context) (seq int64, err error) {
	err = d.SQL.QueryRowContext(ctx, lastEvent).Scan(&seq)
	return seq, err
}

// Events implements store.Backend.
func (d *DB) Events(ctx context.Context, sel record.Selection) iter.Seq2[record.Entry, error] {
	return func(yield func(record.Entry, error) bool) {
		err := d.View(ctx, func(tx *sql.Tx) error {
			parts := partsOf(&sel)
			if sel.Newest {
				slices.Reverse(parts)
			}
			for _, p := range parts {
				if more, err := p.read(ctx, tx, sel, yield); err != nil || !more {
					return err
				}
			}
			return nil
		})
		if err != nil {
			yield(record.Entry{}, err)
		}
	}
}

// partsOf returns where the selected events are found.
func partsOf(sel *record.Selection) []part {
	switch {
	case sel.Counting:
		return []part{{id: `e.id`, from: `events e WHERE e.id > ?1 AND e.id < ?2 AND (` + counting + ` OR coalesce(kind, 0) = ` + record.OpenNumber + `)`, alone: true}}
	case sel.NoReports && sel.NoCodes:
		return []part{{id: `e.id`, from: `events e WHERE e.id > ?1 AND e.id < ?2 AND e.step IS NULL`, alone: true}}
	case sel.NoReports:
		return []part{{id: `e.id`, from: `events e WHERE e.id > ?1 AND e.id < ?2`, alone: true}}
	case sel.User != "":
		return userParts(sel.User)
	}
	return everybody()
}

// part is a stretch of the trail with its own way to find events, in both of its
// tables. Its parameters are ?1 and ?2, the bounds of ids (exclusive), ?3 the
// client, empty for all, and ?4 the key of the user.
type part struct {
	id    string                // the column that is in order
	from  string                // TABLE stands for the table
	keep  func(*mfa.Event) bool // nil: all that was found
	alone bool                  // only events, without reports of sessions: from names the table
}

func everybody() []part {
	return []part{{id: `e.id`, from: `TABLE e WHERE e.id > ?1 AND e.id < ?2`}}
}

// userParts finds a user's events by the index where they are folded, and by
// looking at every row behind that. Names were stored as they came, and SQLite's
// lower knows only ASCII: a name with anything else, or blanks that are no part
// of it, is compared here.
func userParts(user string) []part {
	return []part{
		{id: `u.id`, from: `event_user u CROSS JOIN TABLE e ON e.id = u.id WHERE u.usr = ?4 AND u.id > ?1 AND u.id < ?2`},
		{
			id:   `e.id`,
			from: `TABLE e WHERE e.id > max(?1, ` + FoldedMark + `) AND e.id < ?2 AND (lower(e.usr) = ?4 OR e.usr GLOB '*[^ -~]*' OR e.usr GLOB '*  *' OR e.usr <> trim(e.usr))`,
			keep: func(ev *mfa.Event) bool { return ev.User.Key().String() == user },
		},
	}
}

// query reads the two tables of the trail as one. Each comes in the order of its
// ids, so that SQLite merges them row by row.
func (p part) query(steps bool) string {
	of := func(columns, table string) string {
		return `SELECT ` + p.id + `, coalesce(e.usr, ''), coalesce(e.client, ''), ` + columns + `, e.data FROM ` +
			strings.Replace(p.from, "TABLE", table, 1) + ` AND (?3 = '' OR e.client = ?3) AND ?4 = ?4`
	}
	const columns = `coalesce(e.reason, ''), coalesce(e.tries, 0), coalesce(e.token, ''), e.step, coalesce(e.drift, 0)`
	lines := ` AND e.kind IS NULL`
	if steps {
		lines = ``
	}
	if p.alone {
		return of(columns, "") + lines + ` ORDER BY 1`
	}
	return of(columns, "events") + lines + ` UNION ALL ` + of(`'', 0, '', NULL, 0`, "accounting") + ` ORDER BY 1`
}

// read yields what p has of the selection, and reports whether there may be more to yield.
func (p part) read(ctx context.Context, q sqlstore.Querier, sel record.Selection, yield func(record.Entry, error) bool) (more bool, err error) {
	query := p.query(sel.Steps || sel.Counting)
	if sel.Newest {
		query += ` DESC`
	}
	rows, err := q.QueryContext(ctx, query, sel.From, sel.To, sel.Client, sel.User)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for rows.Next() {
		e, err := scanEvent(rows)
		if err != nil {
			return false, err
		}
		if (p.keep == nil || p.keep(&e.Event)) && !yield(e, nil) {
			return false, nil
		}
	}
	return true, rows.Err()
}

func scanEvent(r *sql.Rows) (record.Entry, error) {
	var e record.Entry
	var data sql.RawBytes
	ev := &e.Event
	var user string
	var step sql.NullInt64
	err := r.Scan(&e.Seq, &user, &ev.Client, &ev.Reason, &ev.Tries, &ev.Token, &step, &ev.Drift, &data)
	if err != nil {
		return e, err
	}
	ev.Step, ev.Used = step.Int64, step.Valid
	ev.User = mfa.NameOf(user)
	if err := record.DecodeEvent(data, ev); err != nil {
		return e, fmt.Errorf("event %d: %w", e.Seq, err)
	}
	return e, nil
}
