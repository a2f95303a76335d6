package login

import (
	"slices"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/bound"
)

// Rule bounds how often something may happen to one user: Max times in Window,
// then it is locked for For.
type Rule struct {
	Max    int
	Window time.Duration
	For    time.Duration
}

// Limits counts what must not happen too often: wrong codes, denied or ignored
// prompts, prompts of any kind, wrong passwords. It outlives every engine, so a reload forgets
// nothing. It may be used concurrently; its zero value is ready.
type Limits struct {
	codes   codeLocks
	fatigue tallies[mfa.NameKey] // that the user did not approve
	sent    tallies[mfa.NameKey] // all prompts, however they ended
	tries   tries                // of passwords
}

// maxTallies bounds each table (about 20 MiB at the most). Only a right
// password makes an entry in one.
const maxTallies = 100_000

// tallies is a table of sliding windows.
type tallies[K comparable] struct {
	mu     sync.Mutex
	m      *bound.Table[K, *tally]
	window time.Duration // of the rule that was last applied
}

type tally struct {
	times []time.Time // at most Max, oldest first
	since time.Time   // when the lock began
	until time.Time   // locked
}

// over reports whether the tally is that of a key which was never counted.
func (e *tally) over(now time.Time, window time.Duration) bool {
	n := len(e.times)
	return !now.Before(e.until) && (n == 0 || now.Sub(e.times[n-1]) >= window)
}

// take counts one event before its cause is examined, so that of many guesses
// in parallel no more than r.Max are examined. It reports false, and counts
// nothing, while the key is locked or the window is full. What happened before
// cleared is forgotten. A table that is full takes no new key.
func (t *tallies[K]) take(key K, now, cleared time.Time, r Rule) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entry(key, now, cleared, r)
	if e == nil || now.Before(e.until) || len(e.times) >= r.Max {
		return false
	}
	e.times = append(e.times, now)
	return true
}

// refund takes back what take counted at that time: it was right after all.
func (t *tallies[K]) refund(key K, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.m.Get(key, at)
	if !ok {
		return
	}
	for i, x := range e.times {
		if x.Equal(at) {
			e.times = append(e.times[:i], e.times[i+1:]...)
			break
		}
	}
	if len(e.times) == 0 && !at.Before(e.until) {
		t.m.Take(key)
	}
}

// settle locks the key if its window is full, after what was taken turned out wrong.
func (t *tallies[K]) settle(key K, now time.Time, r Rule) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.m.Get(key, now); ok && len(e.times) >= r.Max {
		e.since, e.until = now, now.Add(r.For)
		e.times = e.times[:0]
	}
}

// Locked reports whether the key is locked now.
func (t *tallies[K]) Locked(key K, now, cleared time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.m.Get(key, now)
	return ok && now.Before(e.until) && e.since.After(cleared) // one from before the unblocking is void
}

// full reports whether the key was taken as often as it may be.
func (t *tallies[K]) full(key K, now, cleared time.Time, r Rule) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.window = r.Window
	if _, ok := t.m.Get(key, now); !ok || r.Max == 0 {
		return false
	}
	return len(t.entry(key, now, cleared, r).times) >= r.Max
}

// entry returns the key's tally without what has left the window, or nil where
// the table is full.
func (t *tallies[K]) entry(key K, now, cleared time.Time, r Rule) *tally {
	t.window = r.Window
	if t.m == nil {
		t.m = bound.NewTable[K](maxTallies, func(e *tally, now time.Time) bool { return e.over(now, t.window) })
	}
	e, ok := t.m.Get(key, now)
	if !ok {
		if e = (&tally{}); !t.m.Put(key, e, now) {
			return nil
		}
	}
	if !e.until.IsZero() && !e.since.After(cleared) {
		e.until = time.Time{}
	}
	e.times = slices.DeleteFunc(e.times, func(x time.Time) bool { return now.Sub(x) >= r.Window || !x.After(cleared) })
	return e
}

// Restore counts what happened before a restart, from the events, oldest first,
// of a window and the lock that may follow it, so that killing the server does
// not forgive wrong codes or fatigue.
func (l *Limits) Restore(events []mfa.Event, codes, prompts, sent Rule, now time.Time) {
	for _, ev := range events {
		key := ev.User.Key()
		age := now.Sub(ev.Time)
		for range ev.Tries {
			if age < codes.Window+codes.For {
				l.codes.restore(key, ev.Time, codes)
			}
		}
		if ev.Kind == mfa.EventLogin && ev.Plan.Prompts() && countsAsFatigue(ev.Reason) && age < prompts.Window+prompts.For {
			l.fatigue.take(key, ev.Time, time.Time{}, prompts)
			l.fatigue.settle(key, ev.Time, prompts)
		}
		if (ev.Kind == mfa.EventLogin || ev.Kind == mfa.EventUnclaimed) && ev.Plan.Prompts() && age < sent.Window {
			l.sent.take(key, ev.Time, time.Time{}, sent)
		}
	}
}

// RestoreCodes brings in the wrong codes that are on disk, by the form of the name. It is
// called after Restore.
func (l *Limits) RestoreCodes(all map[mfa.NameKey]mfa.WrongCodes) {
	for user := range l.codes.m {
		l.codes.set(user, all[user]) // none: a right code, or an unblocking, has ended the row
	}
	for user, w := range all {
		l.codes.set(user, w)
	}
}

// countsAsFatigue reports whether a prompt that ended so feeds the fatigue limit. Wrong
// codes end a prompt too, and would otherwise allow prompts without limit.
func countsAsFatigue(r mfa.Reason) bool {
	switch r {
	case mfa.ReasonWrongCode, mfa.ReasonCodeUsed, mfa.ReasonCodesLocked:
		return true
	case mfa.ReasonNASTimeout:
		return false // the user was not given the time
	}
	return declined(r)
}

// declined reports whether the prompt ended without an approval, so that a device
// that tries another protocol at once does not prompt again.
func declined(r mfa.Reason) bool {
	switch r {
	case mfa.ReasonPushDenied, mfa.ReasonNotMe, mfa.ReasonWrongNumber, mfa.ReasonPushNoResponse, mfa.ReasonNASTimeout:
		return true
	}
	return false
}

// codeLocks counts the wrong codes of each user. It may be used concurrently; its
// zero value is ready. Only a user who has a code has an entry, so that there are no
// more than those.
type codeLocks struct {
	mu sync.Mutex
	m  map[mfa.NameKey]*codeLock
}

type codeLock struct {
	mfa.WrongCodes
	times []time.Time // counted in the window, those being examined too; oldest first
	open  int         // being examined
}

// take counts one code before it is examined, so that of many in parallel no more
// are examined than one by one. It reports false, and counts nothing, where none
// may be.
func (l *codeLocks) take(user mfa.NameKey, now, cleared time.Time, r Rule) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entry(user, now, cleared, r)
	if e.Locked(now, cleared) || len(e.times) >= r.Max || e.Row+e.open >= mfa.MaxWrongRow {
		l.drop(user, e)
		return false
	}
	e.times = append(e.times, now)
	e.open++
	return true
}

// refund takes back what take counted at that time: it was not wrong.
func (l *codeLocks) refund(user mfa.NameKey, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.m[user]; e != nil {
		e.refund(at)
		l.drop(user, e)
	}
}

func (e *codeLock) refund(at time.Time) {
	e.open--
	for i, x := range e.times {
		if x.Equal(at) {
			e.times = append(e.times[:i], e.times[i+1:]...)
			return
		}
	}
}

// right ends the row: what take counted at that time was right.
func (l *codeLocks) right(user mfa.NameKey, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.m[user]; e != nil {
		e.refund(at)
		e.WrongCodes = mfa.WrongCodes{}
		l.drop(user, e)
	}
}

// wrong notes that what was taken was wrong, and locks where the window is full.
func (l *codeLocks) wrong(user mfa.NameKey, now time.Time, r Rule) mfa.WrongCodes {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.m[user]
	e.open--
	full := len(e.times) >= r.Max
	e.Add(now, full, r.For)
	if full {
		e.times = e.times[:0]
	}
	return e.WrongCodes
}

// of returns the user's wrong codes.
func (l *codeLocks) of(user mfa.NameKey) mfa.WrongCodes {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.m[user]; e != nil {
		w := e.WrongCodes
		w.Alarm = false
		return w
	}
	return mfa.WrongCodes{}
}

// restore counts tries from before a restart, one by one.
func (l *codeLocks) restore(user mfa.NameKey, at time.Time, r Rule) {
	if l.take(user, at, time.Time{}, r) {
		l.wrong(user, at, r)
	}
}

// set brings in what is on disk. A wrong code before its last lock is in the lock.
func (l *codeLocks) set(user mfa.NameKey, w mfa.WrongCodes) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.m == nil {
		l.m = make(map[mfa.NameKey]*codeLock)
	}
	e := l.m[user]
	if e == nil {
		e = &codeLock{}
		l.m[user] = e
	}
	e.WrongCodes = w
	for len(e.times) > 0 && !e.times[0].After(w.Since) {
		e.times = e.times[1:]
	}
}

func (l *codeLocks) entry(user mfa.NameKey, now, cleared time.Time, r Rule) *codeLock {
	e := l.m[user]
	if e == nil {
		if l.m == nil {
			l.m = make(map[mfa.NameKey]*codeLock)
		}
		e = &codeLock{}
		l.m[user] = e
	}
	if !e.Last.After(cleared) {
		e.WrongCodes = mfa.WrongCodes{}
	}
	e.times = slices.DeleteFunc(e.times, func(x time.Time) bool { return now.Sub(x) >= r.Window || !x.After(cleared) })
	return e
}

// drop forgets a user of whom there is nothing to know.
func (l *codeLocks) drop(user mfa.NameKey, e *codeLock) {
	if len(e.times) == 0 && e.open == 0 && e.Row == 0 {
		delete(l.m, user)
	}
}

// CodesLocked reports whether the user's codes are locked now, and until when: the
// zero time is until the user is unblocked.
func (l *Limits) CodesLocked(u mfa.User, now time.Time) (until time.Time, locked bool) {
	w := l.codes.of(u.Name.Key())
	if !w.Locked(now, u.Unblocked) {
		return time.Time{}, false
	}
	if w.Row >= mfa.MaxWrongRow {
		return time.Time{}, true
	}
	return w.Until, true
}

// PushLimited reports whether the fatigue limit stops prompts to the user now.
func (l *Limits) PushLimited(u mfa.User, now time.Time) bool {
	return l.fatigue.Locked(u.Name.Key(), now, u.Unblocked)
}
