package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// Entry is an event with its place in the trail, which rises strictly.
type Entry struct {
	Seq   int64
	Event mfa.Event
}

// Query selects events. The zero Query selects the newest.
type Query struct {
	User   mfa.Name  // the zero Name: everybody's
	Client string    // exact; empty: every client's
	Since  time.Time // when it was written; zero: no bound
	Until  time.Time // exclusive; zero: no bound
	// After selects what was written after this entry, from the oldest on.
	After int64
	// Limit is how many entries are returned: the newest, or with After the
	// oldest. 0 means DefaultLimit, more than MaxLimit means MaxLimit.
	Limit int
}

// The limits of one Query.
const (
	DefaultLimit = 1000
	MaxLimit     = 10_000
)

// Events returns the entries that q selects, oldest first.
func (s *Store) Events(ctx context.Context, q Query) (_ []Entry, err error) {
	defer wrap(&err, "store: events")
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	sel := q.selection()
	user, parts := q.User.Key().String(), everybody()
	if user != "" {
		parts = userParts(user)
	}
	if sel.newest {
		slices.Reverse(parts)
	}
	var found []Entry
	for _, p := range parts {
		if found, err = sel.read(ctx, tx, p, user, found); err != nil {
			return nil, err
		}
	}
	if sel.newest {
		slices.Reverse(found)
	}
	return found, nil
}

// EventsOf returns the newest events of a user, at most n, oldest first.
func (s *Store) EventsOf(ctx context.Context, user mfa.Name, n int) ([]mfa.Event, error) {
	entries, err := s.Events(ctx, Query{User: user, Limit: n})
	list := make([]mfa.Event, len(entries))
	for i := range entries {
		list[i] = entries[i].Event
	}
	return list, err
}

// counting selects what the limits are rebuilt from. Such an event stays in the
// trail longer than others, see pruneSize.
const counting = `(coalesce(tries, 0) > 0 OR coalesce(reason, '') IN ('` + string(mfa.ReasonPushDenied) + `', '` + string(mfa.ReasonWrongNumber) +
	`', '` + string(mfa.ReasonNotMe) + `', '` + string(mfa.ReasonPushNoResponse) + `', '` + string(mfa.ReasonNASTimeout) +
	`', '` + string(mfa.ReasonCodeUsed) + `', '` + string(mfa.ReasonCodesLocked) + `'))`

// EventsSince returns what counts against users since t, oldest first: wrong
// codes and prompts that were denied, not answered, taken back or ended by codes. The engine's limits are
// rebuilt from it at start.
func (s *Store) EventsSince(ctx context.Context, t time.Time) (_ []mfa.Event, err error) {
	defer wrap(&err, "store: events")
	var found []mfa.Event
	err = each(ctx, s.db, selectEvents+`events e WHERE id >= ? AND `+counting+` ORDER BY id`, []any{t.UnixMicro()}, func(r *sql.Rows) error {
		e, err := scanEvent(r)
		if e.Event.Kind != mfa.EventReport { // it has the reason of its login
			found = append(found, e.Event)
		}
		return err
	})
	return found, err
}

// AcceptedSince returns the accepted prompts since t that name the packets they let
// in, oldest first.
func (s *Store) AcceptedSince(ctx context.Context, t time.Time) (_ []mfa.Event, err error) {
	defer wrap(&err, "store: events")
	var found []mfa.Event
	err = each(ctx, s.db, selectEvents+`events e WHERE id >= ? ORDER BY id`, []any{t.UnixMicro()}, func(r *sql.Rows) error {
		e, err := scanEvent(r)
		if e.Event.Outcome == mfa.Accept && len(e.Event.Packets) > 0 {
			found = append(found, e.Event)
		}
		return err
	})
	return found, err
}

// LastEvent returns the place of the newest entry, 0 for an empty trail.
func (s *Store) LastEvent(ctx context.Context) (seq int64, err error) {
	defer wrap(&err, "store: events")
	err = s.db.QueryRowContext(ctx, lastEvent).Scan(&seq)
	return seq, err
}

// selection is a Query without its user. The bounds are exclusive.
type selection struct {
	from, to int64
	client   string
	newest   bool // the newest of them, read backwards
	limit    int
}

func (q Query) selection() selection {
	sel := selection{from: q.After, to: 1<<63 - 1, client: q.Client, newest: q.After == 0, limit: q.Limit}
	if !q.Since.IsZero() {
		sel.from = max(sel.from, q.Since.UnixMicro()-1)
	}
	if !q.Until.IsZero() {
		sel.to = q.Until.UnixMicro()
	}
	if sel.limit <= 0 {
		sel.limit = DefaultLimit
	}
	sel.limit = min(sel.limit, MaxLimit)
	return sel
}

// part is a stretch of the trail with its own way to find events, in both of its
// tables. Its parameters are ?1 and ?2, the bounds of ids (exclusive), ?3 the
// client, empty for all, and ?4 the key of the user.
type part struct {
	id   string                // the column that is in order
	from string                // TABLE stands for the table
	keep func(*mfa.Event) bool // nil: all that was found
}

func everybody() []part {
	return []part{{id: `e.id`, from: `TABLE e WHERE e.id > ?1 AND e.id < ?2`}}
}

// userParts finds a user's events by the index where they are folded, and by
// looking at every row behind that. Names were stored as they came, and SQLite's
// lower knows ASCII alone: a name with anything else, or blanks that are no part
// of it, is compared here.
func userParts(user string) []part {
	return []part{
		{id: `u.id`, from: `event_user u CROSS JOIN TABLE e ON e.id = u.id WHERE u.user = ?4 AND u.id > ?1 AND u.id < ?2`},
		{
			id:   `e.id`,
			from: `TABLE e WHERE e.id > max(?1, ` + foldedMark + `) AND e.id < ?2 AND (lower(e.user) = ?4 OR e.user GLOB '*[^ -~]*' OR e.user GLOB '*  *' OR e.user <> trim(e.user))`,
			keep: func(ev *mfa.Event) bool { return ev.User.Key().String() == user },
		},
	}
}

// query reads the two tables of the trail as one. Each comes in the order of its
// ids, so that SQLite merges them row by row.
func (p part) query() string {
	of := func(columns, table string) string {
		return `SELECT ` + p.id + `, coalesce(e.user, ''), coalesce(e.client, ''), ` + columns + `, e.data FROM ` +
			strings.Replace(p.from, "TABLE", table, 1) + ` AND (?3 = '' OR e.client = ?3) AND ?4 = ?4`
	}
	const columns = `coalesce(e.reason, ''), coalesce(e.tries, 0), coalesce(e.token, ''), coalesce(e.step, 0), coalesce(e.drift, 0)`
	return of(columns, "events") + ` UNION ALL ` + of(`'', 0, '', 0, 0`, "accounting") + ` ORDER BY 1`
}

// read appends what p has of the selection to found, up to the limit.
func (sel selection) read(ctx context.Context, q querier, p part, user string, found []Entry) ([]Entry, error) {
	query := p.query()
	if sel.newest {
		query += ` DESC`
	}
	rows, err := q.QueryContext(ctx, query, sel.from, sel.to, sel.client, user)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for len(found) < sel.limit && rows.Next() {
		e, err := scanEvent(rows)
		if err != nil {
			return nil, err
		}
		if p.keep == nil || p.keep(&e.Event) {
			found = append(found, e)
		}
	}
	return found, rows.Err()
}

const selectEvents = `SELECT e.id, coalesce(e.user, ''), coalesce(e.client, ''), coalesce(e.reason, ''), coalesce(e.tries, 0),
	coalesce(e.token, ''), coalesce(e.step, 0), coalesce(e.drift, 0), e.data FROM `

func scanEvent(r *sql.Rows) (Entry, error) {
	var e Entry
	var data sql.RawBytes
	ev := &e.Event
	var user string
	err := r.Scan(&e.Seq, &user, &ev.Client, &ev.Reason, &ev.Tries, &ev.Token, &ev.Step, &ev.Drift, &data)
	if err != nil {
		return e, err
	}
	ev.User = mfa.NameOf(user)
	if err := decodeEvent(data, ev); err != nil {
		return e, fmt.Errorf("event %d: %w", e.Seq, err)
	}
	return e, nil
}
