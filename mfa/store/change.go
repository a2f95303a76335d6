package store

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/datadir"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/record"
)

const (
	pollEvery = 20 * time.Millisecond
	// pollTold is how often a server looks for changes that is told of them. A command may
	// have been killed before it could tell. No login is accepted that was decided without a
	// change, seen or not: see Backend.Append.
	pollTold = time.Second
	// pollChunk is how many changes are taken over while logins wait.
	pollChunk = 512
)

// Apply applies ops and writes ev, in one commit. It returns when the change is on disk and
// the server, this process or another, works with it. On an error nothing is changed, except
// for ErrNotSeen: the change is on disk. Without an operation the event stands for itself.
func (s *Store) Apply(ctx context.Context, ev mfa.Event, ops ...op.Op) (done op.Done, err error) {
	if !s.opt.Server {
		if done, err = s.db.Apply(ctx, ev, ops...); err != nil || len(ops) == 0 {
			return done, err
		}
		return done, s.tolerate(s.db.AwaitServer(ctx, done.Change))
	}
	s.wmu.Lock()
	done, err = s.db.Apply(ctx, ev, ops...)
	s.wmu.Unlock()
	if err != nil || len(ops) == 0 {
		return done, err
	}
	return done, s.catchUp(context.WithoutCancel(ctx))
}

// tolerate says which nodes have not seen a change that is in force at each of them.
func (s *Store) tolerate(err error) error {
	if silent, ok := errors.AsType[*datadir.SilentError](err); ok && s.opt.Say != nil {
		s.opt.Say(silent.Error())
		return nil
	}
	return err
}

// Note writes an administrative event that changes nothing.
func (s *Store) Note(ctx context.Context, ev mfa.Event) (err error) {
	defer wrap(&err, "store: event")
	_, err = s.Apply(ctx, ev)
	return err
}

// keep writes notes in one commit. A server calls it with wmu held.
func (s *Store) keep(ctx context.Context, notes ...op.Note) error { return s.db.Keep(ctx, notes...) }

// keepLocked is keep for a caller that does not hold wmu.
func (s *Store) keepLocked(ctx context.Context, notes ...op.Note) error {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	return s.keep(ctx, notes...)
}

// poll takes over what other processes have changed: when they tell, or by itself now and
// then. It looks at the list of changes, by one statement that is prepared: PRAGMA
// data_version says only that someone has committed, and under load the writer always has.
func (s *Store) poll(ctx context.Context) {
	var seen int64
	var failed bool
	told := s.db.Told()
	every := pollEvery
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if next := pollAfter(told, failed); next != every {
			every = next
			tick.Reset(every)
		}
		select {
		case <-ctx.Done():
			return
		case _, more := <-told:
			if !more {
				told = nil
			}
		case <-tick.C:
		}
		id, err := s.db.LastChange()
		if err == nil && id != seen {
			if err = s.catchUp(context.Background()); err == nil {
				seen = id
			}
		}
		s.health.Read(s.tick(), err)
		if err != nil && !failed {
			s.log.Error("cannot read the changes of commands; will retry", zap.Error(err))
		}
		failed = err != nil
	}
}

// pollAfter is how long a server looks for no change. failed: the last look failed.
func pollAfter(told <-chan struct{}, failed bool) time.Duration {
	if told == nil || failed {
		return pollEvery
	}
	return pollTold
}

// catchUp takes over all changes after the last that memory has, and
// acknowledges them.
func (s *Store) catchUp(ctx context.Context) error {
	for {
		more, err := s.catchUpChunk(ctx)
		if err != nil || !more {
			return err
		}
	}
}

func (s *Store) catchUpChunk(ctx context.Context) (more bool, err error) {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	n, err := s.db.Changes(ctx, s.applied, pollChunk)
	if err != nil || n.Last == s.applied {
		return false, err
	}
	if n.Reload {
		return true, s.loadAllLocked(ctx)
	}
	if n.Site != nil {
		if err := s.knowSite(n.Site); err != nil {
			return false, err
		}
	}
	if s.nodes != nil {
		err = s.takeOver(ctx, n)
	} else {
		s.put(n.Users, n.Accounts)
		s.tellChanges(n)
	}
	if err != nil {
		return false, err
	}
	s.applied = n.Last
	s.tail.Add(1) // its event, for the janitor
	return true, s.db.Acknowledge(n.Last)
}

// tellChanges makes what was decided before the changes of n stale. wmu is held.
func (s *Store) tellChanges(n *record.News) {
	for _, user := range n.Users {
		_ = s.tell(mfa.Event{Time: s.opt.Now(), Kind: mfa.EventChange, Origin: mfa.Origin{User: mfa.NameOf(user)}})
	}
	s.ledger.moved(n.Users...)
	s.ledger.makeRoom(s.countAccounts())
	if n.Site != nil {
		s.ledger.movedAll()
	}
}

// takeOver brings into memory what other nodes and commands have appended. An entry that is
// the next of its user is enough by itself; otherwise the user is read again. wmu is held.
func (s *Store) takeOver(ctx context.Context, n *record.News) error {
	behind := make(map[string]int64)
	for _, user := range n.Users {
		behind[user] = 0
	}
	for i := range n.Entries {
		e := &n.Entries[i]
		if e.N == 0 { // it decides nothing
			_ = s.tell(e.Event)
			continue
		}
		if _, again := behind[e.User]; again {
			continue
		}
		if e.Event.Reports() || !s.follow(e) {
			behind[e.User] = 0
		}
	}
	if n.Site != nil {
		s.ledger.movedAll()
	}
	return s.refresh(ctx, behind)
}

// follow brings the next entry of a user into memory. false: there are others before it.
func (s *Store) follow(e *record.Numbered) bool {
	s.ledger.order.Lock()
	defer s.ledger.order.Unlock()
	at := s.ledger.version(e.User).N
	switch {
	case e.N <= at:
		return true
	case e.N > at+1:
		return false
	}
	if e.Event.Used {
		s.useUp(e.User, &e.Event)
	}
	_ = s.tell(e.Event)
	s.ledger.set(e.User, e.N)
	return true
}

// refresh reads users again, whose keys are those of behind, with the entries that memory
// does not have. wmu is held.
func (s *Store) refresh(ctx context.Context, behind map[string]int64) error {
	if len(behind) == 0 {
		return nil
	}
	for user := range behind {
		behind[user] = s.ledger.version(user).N
	}
	n, err := s.nodes.Since(ctx, behind)
	if err != nil {
		return err
	}
	s.ledger.order.Lock()
	defer s.ledger.order.Unlock()
	s.put(n.Users, n.Accounts)
	s.ledger.makeRoom(s.countAccounts())
	for i := range n.Entries {
		e := &n.Entries[i]
		if e.N > s.ledger.version(e.User).N {
			_ = s.tell(e.Event)
			s.ledger.set(e.User, e.N)
		}
	}
	for user, number := range n.Numbers {
		s.ledger.set(user, number)
	}
	return nil
}

// knowSite takes over the keys, the bypasses and the latches. Latches that are not yet on
// disk stay. wmu is held.
func (s *Store) knowSite(site *record.Site) error {
	if err := s.keys.Load(); err != nil {
		return err
	}
	s.knowBypasses(site.Bypasses)
	latches := latchesOf(site.Latches)
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, since := range s.unsaved.latches {
		latches[key] = since
	}
	s.latches = latches
	return nil
}

// Announce writes down for commands what this server says of itself.
func (s *Store) Announce(v datadir.Serving) error {
	err := datadir.Announce(s.opt.Dir, v)
	if s.nodes != nil {
		err = errors.Join(err, s.nodes.Announce(v.Config))
	}
	return err
}

// Nodes returns the servers that work with the database, and those of the last day: a server
// with the embedded one is the only one.
func (s *Store) Nodes(ctx context.Context) (_ []record.Node, err error) {
	defer wrap(&err, "store: nodes")
	if s.nodes != nil {
		return s.nodes.Nodes(ctx)
	}
	v, err := datadir.ReadServing(s.opt.Dir)
	if err != nil || v == nil {
		return nil, err
	}
	return []record.Node{{Run: int64(v.PID), Name: v.Node, Program: v.Program, Live: true, Keys: v.Keys, Config: v.Config}}, nil
}

// ClockOffset is how far the clock of this machine is ahead of that of the database: 0 where
// that is embedded.
func (s *Store) ClockOffset(ctx context.Context) (_ time.Duration, err error) {
	defer wrap(&err, "store: clock")
	if s.nodes == nil {
		return 0, nil
	}
	return s.nodes.ClockOffset(ctx)
}
