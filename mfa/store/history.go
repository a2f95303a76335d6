package store

import (
	"context"
	"database/sql"
	"slices"

	"github.com/radmatch/radmatch/mfa"
)

// historyLook is how many rows one call of Logins looks at: a person may have
// many reports of sessions between two sign-ins.
const historyLook = 2000

// Logins returns the newest sign-ins of a user, at most limit, that began with
// the right first factor, and new devices of that user, that were written before the entry with this place (0:
// all), newest first. next is the place to go on from, 0 at the end; there may be
// fewer than limit, or none, and more to come.
func (s *Store) Logins(ctx context.Context, user mfa.Name, before int64, limit int) (_ []mfa.Event, next int64, err error) {
	defer wrap(&err, "store: sign-ins")
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, 0, err
	}
	defer tx.Rollback()
	h := history{user: user.Key().String(), last: before, limit: limit}
	if before <= 0 {
		h.last = 1<<63 - 1
	}
	parts := userParts(h.user)
	slices.Reverse(parts)
	for _, p := range parts {
		if err := h.read(ctx, tx, p); err != nil {
			return nil, 0, err
		}
		if h.full() {
			return h.found, h.last, nil
		}
	}
	return h.found, 0, nil
}

// history collects a user's sign-ins, newest first.
type history struct {
	user   string // the key
	limit  int
	last   int64 // place of the last row that was read
	looked int
	found  []mfa.Event
}

func (h *history) full() bool { return h.looked == historyLook || len(h.found) == h.limit }

// read adds what p has before the last row.
func (h *history) read(ctx context.Context, q querier, p part) error {
	rows, err := q.QueryContext(ctx, p.query()+` DESC`, 0, h.last, "", h.user)
	if err != nil {
		return err
	}
	defer rows.Close()
	for !h.full() && rows.Next() {
		e, err := scanEvent(rows)
		if err != nil {
			return err
		}
		h.last = e.Seq
		h.looked++
		if (p.keep == nil || p.keep(&e.Event)) && ownLogin(&e.Event) {
			h.found = append(h.found, e.Event)
		}
	}
	return rows.Err()
}

// ownLogin reports whether ev is a sign-in whose first factor was right: only
// then is its user the one who has that name, and not whoever typed it.
func ownLogin(ev *mfa.Event) bool {
	switch {
	case ev.Kind == mfa.EventUnclaimed, ev.Kind == mfa.EventAdmin && ev.Reason == mfa.ReasonDeviceAdded:
		return true
	case ev.Kind != mfa.EventLogin || ev.Count > 1:
		return false
	}
	switch ev.Reason {
	case mfa.ReasonRecentlyDenied, mfa.ReasonPromptPending, mfa.ReasonTooManyLogins: // an open login was in the way
		return true
	}
	return ev.Primary > 0 // the time that a right first factor took; nothing else has one
}
