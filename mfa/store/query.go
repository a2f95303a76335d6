package store

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/record"
)

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
func (s *Store) Events(ctx context.Context, q Query) (_ []record.Entry, err error) {
	defer wrap(&err, "store: events")
	sel := q.selection()
	limit := min(cmp.Or(max(q.Limit, 0), DefaultLimit), MaxLimit)
	found, err := s.events(ctx, sel, limit)
	if sel.Newest {
		slices.Reverse(found)
	}
	return found, err
}

// events returns the first entries of sel, at most limit.
func (s *Store) events(ctx context.Context, sel record.Selection, limit int) (found []record.Entry, err error) {
	for e, err := range s.db.Events(ctx, sel) {
		if err != nil {
			return nil, err
		}
		if found = append(found, e); len(found) == limit {
			break
		}
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

// EventsSince returns what counts against users since t, oldest first: wrong
// codes and prompts that were denied, not answered, taken back or ended by codes. The engine's limits are
// rebuilt from it at start.
func (s *Store) EventsSince(ctx context.Context, t time.Time) (_ []mfa.Event, err error) {
	defer wrap(&err, "store: events")
	var found []mfa.Event
	for e, err := range s.db.Events(ctx, record.Selection{Counting: true}.Since(t)) {
		if err != nil {
			return found, err
		}
		if e.Event.Kind != mfa.EventReport { // it has the reason of its login
			found = append(found, e.Event)
		}
	}
	return found, nil
}

// AcceptedSince returns the accepted prompts since t that name the packets they let
// in, oldest first.
func (s *Store) AcceptedSince(ctx context.Context, t time.Time) (_ []mfa.Event, err error) {
	defer wrap(&err, "store: events")
	var found []mfa.Event
	for e, err := range s.db.Events(ctx, record.Selection{NoReports: true, NoCodes: true}.Since(t)) {
		if err != nil {
			return found, err
		}
		if e.Event.Outcome == mfa.Accept && len(e.Event.Packets) > 0 {
			found = append(found, e.Event)
		}
	}
	return found, nil
}

// maxClockStep is how far the clock may have been set back while a prompt was open.
const maxClockStep = time.Minute

// OpenPrompts returns the open prompts, those whose login has an event left out: a program
// of before wrote both apart from each other. A server calls it before its first login, and
// removes those too.
func (s *Store) OpenPrompts(ctx context.Context) (open []mfa.OpenPrompt, err error) {
	defer wrap(&err, "store: prompts")
	stored, err := s.db.Prompts(ctx)
	if err != nil || len(stored) == 0 {
		return nil, err
	}
	since := s.opt.Now()
	for _, row := range stored {
		p, err := record.DecodePrompt(row.Data)
		if err != nil {
			return nil, err
		}
		if p.Opened.Before(since) {
			since = p.Opened
		}
		open = append(open, p)
	}
	ended := make(map[string]bool) // the logins that have an event
	for e, err := range s.db.Events(ctx, record.Selection{NoReports: true}.Since(since.Add(-maxClockStep))) {
		if err != nil {
			return nil, err
		}
		ended[e.Event.ID] = true
	}
	var over []op.Note
	left := open[:0]
	for _, p := range open {
		if ended[p.ID] {
			over = append(over, op.DropPrompt{ID: p.ID})
		} else {
			left = append(left, p)
		}
	}
	if s.opt.Server && len(over) > 0 {
		err = s.keepLocked(ctx, over...)
	}
	return left, err
}

// LastEvent returns the place of the newest entry, 0 for an empty trail.
func (s *Store) LastEvent(ctx context.Context) (seq int64, err error) {
	defer wrap(&err, "store: events")
	return s.db.LastEvent(ctx)
}

// WrongCodes returns the wrong codes of all users who have some, by the form of the name.
func (s *Store) WrongCodes(ctx context.Context) (_ map[mfa.NameKey]mfa.WrongCodes, err error) {
	defer wrap(&err, "store: wrong codes")
	return s.db.WrongCodes(ctx)
}

func (q Query) selection() record.Selection {
	sel := record.Selection{From: q.After, To: math.MaxInt64, User: q.User.Key().String(), Client: q.Client, Newest: q.After == 0}
	if !q.Since.IsZero() {
		sel.From = max(sel.From, q.Since.UnixMicro()-1)
	}
	if !q.Until.IsZero() {
		sel.To = q.Until.UnixMicro()
	}
	return sel
}

// historyLook is how many rows one call of Logins looks at: a user may have
// many reports of sessions between two sign-ins.
const historyLook = 2000

// Logins returns the newest sign-ins of a user, at most limit, that began with
// the right first factor, and new devices of that user, that were written before the entry with this place (0:
// all), newest first. next is the place to go on from, 0 at the end; there may be
// fewer than limit, or none, and more to come.
func (s *Store) Logins(ctx context.Context, user mfa.Name, before int64, limit int) (_ []mfa.Event, next int64, err error) {
	defer wrap(&err, "store: sign-ins")
	if before <= 0 {
		before = math.MaxInt64
	}
	var found []mfa.Event
	looked := 0
	for e, err := range s.db.Events(ctx, record.Selection{To: before, User: user.Key().String(), Newest: true}) {
		if err != nil {
			return nil, 0, err
		}
		if ownLogin(&e.Event) {
			found = append(found, e.Event)
		}
		if looked++; looked == historyLook || len(found) == limit {
			return found, e.Seq, nil
		}
	}
	return found, 0, nil
}

// ownLogin reports whether ev is a sign-in whose first factor was right: only
// then is its user the one who has that name, not the one who typed it.
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
