package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/record"
)

const (
	// clockSlack is how far a clock may go back without having been set back.
	clockSlack = 5 * time.Second
	// seenEvery is how often a server notes on disk that a bypass is in force.
	seenEvery = 10 * time.Second
)

// bypass is an mfa.Bypass that no clock can prolong: the server that knows it
// counts with the monotonic clock, and one that starts later believes the wall
// clock only where it has not been set back since.
type bypass struct {
	record.Bypass
	ends time.Time // by the monotonic clock; set where it is in a server's memory
}

// timeLeft is how long a bypass that comes from the disk still lasts.
func timeLeft(b *record.Bypass, wall time.Time) time.Duration {
	if wall.Before(b.Seen.Add(-clockSlack)) {
		return 0
	}
	return min(b.Until.Sub(wall), b.Until.Sub(b.Began), mfa.MaxBypass)
}

// over reports whether it has ended by either clock. now has a monotonic reading.
func (b *bypass) over(wall, now time.Time) bool {
	return !wall.Before(b.Until) || !now.Before(b.ends)
}

// BeginBypass begins b, which lasts from now for d, and returns it as it is
// stored. It is in force in the running server when BeginBypass returns.
func (s *Store) BeginBypass(ctx context.Context, b mfa.Bypass, d time.Duration, ev mfa.Event) (_ mfa.Bypass, err error) {
	defer wrap(&err, "store: bypass")
	switch {
	case b.Group.IsZero() == b.User.IsZero() || b.Group.Everyone():
		return b, errors.New("must be for one group or one user")
	case b.Reason == "":
		return b, errors.New("must have a reason")
	case d <= 0 || d > mfa.MaxBypass:
		return b, fmt.Errorf("must be for at most %v; got %v", mfa.MaxBypass, d)
	}
	b.Began = s.opt.Now().UTC().Truncate(time.Microsecond)
	b.Until = b.Began.Add(d).Truncate(time.Microsecond)
	ev.User, ev.Client, ev.Text = b.User, b.Client, "bypass begun: "+b.String()
	done, err := s.Apply(ctx, ev, op.BeginBypass{Bypass: b})
	b.ID = done.Bypass
	return b, err
}

// EndBypass ends a bypass before its time; ErrNotFound if there is none with this id.
func (s *Store) EndBypass(ctx context.Context, id int64, ev mfa.Event) (err error) {
	defer wrap(&err, "store: bypass")
	list, err := s.db.Bypasses(ctx)
	if err != nil {
		return err
	}
	for _, b := range list {
		if b.ID == id {
			ev.User, ev.Client, ev.Text = b.User, b.Client, "bypass ended: "+b.String()
		}
	}
	_, err = s.Apply(ctx, ev, op.EndBypass{ID: id})
	return err
}

// StoredBypasses returns what is on disk, with the time that is left by the wall
// clock; at or below 0 it is over, and a server has yet to note it.
func (s *Store) StoredBypasses(ctx context.Context) (list []mfa.Bypass, left []time.Duration, err error) {
	defer wrap(&err, "store: bypasses")
	stored, err := s.db.Bypasses(ctx)
	for i := range stored {
		list, left = append(list, stored[i].Bypass), append(left, timeLeft(&stored[i], s.opt.Now()))
	}
	return list, left, err
}

// Bypasses implements mfa.Bypasses.
func (s *Store) Bypasses() []mfa.Bypass {
	stored := s.bypasses.Load()
	if stored == nil {
		return nil
	}
	wall, now := s.opt.Now(), time.Now()
	var list []mfa.Bypass
	for i := range *stored {
		if b := &(*stored)[i]; !b.over(wall, now) {
			list = append(list, b.Bypass.Bypass)
		}
	}
	return list
}

// TendBypasses removes the bypasses that are over from the disk, each with an
// event, and notes that the others are in force. A server calls it about once a
// second.
func (s *Store) TendBypasses(ctx context.Context) (err error) {
	defer wrap(&err, "store: bypasses")
	stored := s.bypasses.Load()
	if stored == nil {
		return nil
	}
	wall, now := s.opt.Now(), time.Now()
	note := false
	for i := range *stored {
		b := &(*stored)[i]
		if !b.over(wall, now) {
			note = note || wall.Sub(b.Seen) >= seenEvery
			continue
		}
		ev := mfa.Event{Time: wall, Origin: mfa.Origin{User: b.User, Client: b.Client}, Details: mfa.Details{Text: "bypass ended by itself: " + b.String()}}
		if _, err := s.Apply(ctx, ev, op.EndBypass{ID: b.ID}); err != nil && !errors.Is(err, ErrNotFound) { // a command was first
			return err
		}
	}
	if !note {
		return nil
	}
	s.wmu.Lock()
	defer s.wmu.Unlock()
	err = s.keep(ctx, op.SeeBypasses{At: wall})
	if err != nil {
		return err
	}
	list, err := s.db.Bypasses(ctx)
	if err == nil {
		s.knowBypasses(list)
	}
	return err
}

// knowBypasses takes over what is on disk. One that is known keeps its end: the
// wall clock may have been set since. wmu is held.
func (s *Store) knowBypasses(stored []record.Bypass) {
	if len(stored) == 0 {
		s.bypasses.Store(nil)
		return
	}
	ends := map[int64]time.Time{}
	if known := s.bypasses.Load(); known != nil {
		for _, b := range *known {
			ends[b.ID] = b.ends
		}
	}
	wall, now := s.opt.Now(), time.Now()
	list := make([]bypass, len(stored))
	for i := range stored {
		end, known := ends[stored[i].ID]
		if !known {
			end = now.Add(timeLeft(&stored[i], wall))
		}
		list[i] = bypass{stored[i], end}
	}
	s.bypasses.Store(&list)
}
