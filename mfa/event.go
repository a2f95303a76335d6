package mfa

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// MarshalJSON leaves plan and outcome out of what is no login and must not count
// as a rejected one; and the reason too, but for a person's report.
func (ev Event) MarshalJSON() ([]byte, error) {
	type event Event
	var v any = event(ev)
	switch ev.Kind {
	case EventAdmin, EventAccounting, EventReport:
		v = struct {
			event
			Plan    any    `json:"plan,omitempty"`
			Reason  Reason `json:"reason,omitempty"`
			Outcome any    `json:"outcome,omitempty"`
		}{event: event(ev), Reason: ev.Reason}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // as the caller's encoder wants it: it escapes after us
	err := enc.Encode(v)
	return b.Bytes(), err
}

// NotMe reports whether ev is a login that its user reported.
func (ev *Event) NotMe() bool {
	return ev.Kind == EventLogin && ev.Reason == ReasonNotMe && !ev.User.IsZero()
}

// Reports reports whether ev leaves a Report.
func (ev *Event) Reports() bool {
	return ev.NotMe() || ev.WrongCodes != nil && ev.WrongCodes.Alarm
}

// Report is what a login that ended with "this was not me", or locked its user's
// codes, leaves for those who must act on it: the event that monitoring looks for.
func (ev *Event) Report() Event {
	text := "somebody else has the password of this user; no push at " + cmp.Or(ev.Group, ev.Client) + " until `radmatch user unblock`"
	switch w := ev.WrongCodes; {
	case ev.BlocksUser:
		text = "somebody else has the password of this user; the user is blocked until `radmatch user unblock`"
	case ev.NotMe():
	case w.Row >= maxWrongRow:
		text = fmt.Sprintf("%d wrong codes in a row: the codes are locked until `radmatch user unblock`", w.Row)
	default:
		text = fmt.Sprintf("%d wrong codes: the codes are locked until %s. Unless it was the user, somebody else has the password",
			w.Row, w.Until.UTC().Format(time.RFC3339))
	}
	return Event{
		ID: ev.ID, Time: ev.Time, Kind: EventReport, Client: ev.Client, Group: ev.Group, User: ev.User,
		EndUser: ev.EndUser, Claimed: ev.Claimed, Source: ev.Source, Reason: ev.Reason, Approval: ev.Approval, Requests: ev.Requests,
		BlocksUser: ev.BlocksUser, Text: text,
	}
}

// Refusals records requests for which no login was opened. Each has an event,
// but under attack, when a client brings more than refusalsKept of one reason
// in refusalWindow, the rest is summed up in one event with a Count, so that
// guessing cannot fill the disk. Its exported fields may be changed until the
// first use; it outlives every engine.
type Refusals struct {
	Journal Journal

	mu   sync.Mutex
	sums map[refusalKey]*refusalSum
}

const (
	refusalsKept  = 50
	refusalWindow = 10 * time.Second
)

type refusalKey struct {
	client string
	reason Reason
}

type refusalSum struct {
	since time.Time
	seen  int
	last  Event
}

// Record commits ev, or counts it into the sum that follows. nil means on disk
// or counted.
func (r *Refusals) Record(ctx context.Context, ev Event) error {
	if r.sum(ev) {
		return nil
	}
	return r.Journal.Record(ctx, ev)
}

func (r *Refusals) sum(ev Event) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := refusalKey{ev.Client, ev.Reason}
	s := r.sums[key]
	if s == nil {
		if r.sums == nil {
			r.sums = make(map[refusalKey]*refusalSum)
		}
		s = &refusalSum{since: ev.Time}
		r.sums[key] = s
	}
	s.seen++
	s.last = ev
	return s.seen > refusalsKept
}

// Run writes the sums until ctx ends, and then the last ones.
func (r *Refusals) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			r.flush(context.WithoutCancel(ctx), time.Now(), 0)
			return
		case now := <-tick.C:
			r.flush(ctx, now, refusalWindow)
		}
	}
}

// flush writes the sums that are older than age. One that cannot be written is
// lost: each refusal was answered and logged all the same.
func (r *Refusals) flush(ctx context.Context, now time.Time, age time.Duration) {
	for _, ev := range r.take(now, age) {
		_ = r.Journal.Record(ctx, ev)
	}
}

func (r *Refusals) take(now time.Time, age time.Duration) []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Event
	for key, s := range r.sums {
		if now.Sub(s.since) < age {
			continue
		}
		if n := s.seen - refusalsKept; n > 0 {
			ev := s.last
			ev.Count = n
			out = append(out, ev)
		}
		delete(r.sums, key)
	}
	return out
}
