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
// prompts, prompts of any kind, wrong passwords. All but the last are what the entries of
// users tell (Engine.Apply), so that they are the same at every node. It outlives every
// engine: a reload forgets nothing. It may be used concurrently; its zero value is ready.
type Limits struct {
	// Others takes wrong passwords for the other nodes; nil: there are none. It is set before
	// the first use.
	Others mfa.Journal

	codes   codeLocks
	fatigue tallies[mfa.NameKey] // that the user did not approve
	sent    tallies[mfa.NameKey] // all prompts, however they ended
	tries   tries                // of passwords
	told    told                 // of them to others
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

// take counts one event. It reports false, and counts nothing, while the key is locked or
// the window is full. What happened before cleared is forgotten. A table that is full
// takes no new key.
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

// settle locks the key if its window is full.
func (t *tallies[K]) settle(key K, now time.Time, r Rule) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.m.Get(key, now); ok && len(e.times) >= r.Max {
		e.since, e.until = now, now.Add(r.For)
		e.times = e.times[:0]
	}
}

// Locked reports whether the key is locked now. A lock from before cleared is void.
func (t *tallies[K]) Locked(key K, now, cleared time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.m.Get(key, now)
	if !ok {
		return false
	}
	e.clear(cleared)
	return now.Before(e.until)
}

// clear forgets what was before cleared.
func (e *tally) clear(cleared time.Time) {
	if !e.until.IsZero() && !e.since.After(cleared) {
		e.until = time.Time{}
	}
	e.times = slices.DeleteFunc(e.times, func(x time.Time) bool { return !x.After(cleared) })
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
	e.clear(cleared)
	e.times = slices.DeleteFunc(e.times, func(x time.Time) bool { return now.Sub(x) >= r.Window })
	return e
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

// codeLocks has the wrong codes of each user. It may be used concurrently; its
// zero value is ready. Only a user who has a code has an entry, so that there are no
// more than those.
type codeLocks struct {
	mu sync.Mutex
	m  map[mfa.NameKey]*codeLock
}

type codeLock struct {
	mfa.WrongCodes
	times []time.Time // since the last lock, at most maxTimes, oldest first
}

// maxTimes is the highest number of wrong codes that a rule may allow (config.Lockout).
const maxTimes = 100

// examines reports whether a code of the user may be examined now.
func (l *codeLocks) examines(user mfa.NameKey, now, cleared time.Time, r Rule) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.m[user]
	if e == nil {
		return r.Max > 0
	}
	n := e.within(now, cleared, r)
	if n == 0 && e.Row == 0 { // there is nothing to know
		delete(l.m, user)
	}
	return n < r.Max && !e.Locked(now, cleared)
}

// wrong returns what the user's wrong codes are after one more, and locks them where the
// window is full. It counts nothing: the entry does that.
func (l *codeLocks) wrong(user mfa.NameKey, now, cleared time.Time, r Rule) mfa.WrongCodes {
	l.mu.Lock()
	defer l.mu.Unlock()
	var w mfa.WrongCodes
	n := 1
	if e := l.m[user]; e != nil {
		if e.Last.After(cleared) {
			w = e.WrongCodes
		}
		n += e.within(now, cleared, r)
	}
	w.Add(now, n >= r.Max, r.For)
	return w
}

// within counts those that the window still holds.
func (e *codeLock) within(now, cleared time.Time, r Rule) (n int) {
	for _, x := range e.times {
		if now.Sub(x) < r.Window && x.After(cleared) {
			n++
		}
	}
	return n
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

// apply takes over what an entry says: a wrong code, or with no row that a right one has
// ended it.
func (l *codeLocks) apply(user mfa.NameKey, at time.Time, w mfa.WrongCodes) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.m[user]
	if e == nil {
		if w.Row == 0 {
			return
		}
		e = l.add(user)
	}
	e.WrongCodes = w
	switch {
	case w.Row > 0 && w.Since.Equal(at): // a wrong code before its lock is in the lock
		e.times = e.times[:0]
	case w.Row > 0:
		if len(e.times) >= maxTimes {
			e.times = append(e.times[:0], e.times[1:]...)
		}
		e.times = append(e.times, at)
	case len(e.times) == 0:
		delete(l.m, user)
	}
}

// set brings in what is on disk. A wrong code before its last lock is in the lock.
func (l *codeLocks) set(user mfa.NameKey, w mfa.WrongCodes) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.m[user]
	if e == nil {
		e = l.add(user)
	}
	e.WrongCodes = w
	for len(e.times) > 0 && !e.times[0].After(w.Since) {
		e.times = e.times[1:]
	}
}

func (l *codeLocks) add(user mfa.NameKey) *codeLock {
	if l.m == nil {
		l.m = make(map[mfa.NameKey]*codeLock)
	}
	e := &codeLock{}
	l.m[user] = e
	return e
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

// Rules are the bounds of one user.
type Rules struct {
	Codes   Rule // wrong codes
	Fatigue Rule // denied or ignored prompts
	Prompts Rule // all prompts, however they end; For is not used, Max 0 is no bound
}

// apply counts what an entry tells. Of a user whom a command has changed, it forgets what an
// unblocking has forgiven: the plan of a login at this node does so too, but of others'
// logins there is none here.
func (l *Limits) apply(ev *mfa.Event, unblocked func(mfa.Name) time.Time, r Rules) {
	key := ev.User.Key()
	if ev.WrongCodes != nil {
		l.codes.apply(key, ev.Time, *ev.WrongCodes)
	}
	switch {
	case ev.Kind == mfa.EventOpen:
		l.sent.take(key, ev.Time, time.Time{}, r.Prompts)
	case ev.Kind == mfa.EventLogin && ev.Plan.Prompts() && countsAsFatigue(ev.Reason):
		l.fatigue.take(key, ev.Time, time.Time{}, r.Fatigue)
		l.fatigue.settle(key, ev.Time, r.Fatigue)
	case ev.Kind == mfa.EventChange:
		cleared := unblocked(ev.User)
		l.sent.full(key, ev.Time, cleared, r.Prompts)
		l.fatigue.full(key, ev.Time, cleared, r.Fatigue)
	}
}

// Restore counts what happened before a start, from the entries of all users, oldest
// first, of a window and the lock that may follow it: killing the server forgives neither
// wrong codes nor fatigue. It leaves out what an unblocking has forgiven.
func (l *Limits) Restore(events []mfa.Event, unblocked func(mfa.Name) time.Time, r Rules, now time.Time) {
	tries := make(map[string]int)    // by login, that have their entry
	prompts := make(map[string]bool) // likewise
	for i := range events {
		ev := &events[i]
		cleared := unblocked(ev.User)
		if !ev.Time.After(cleared) {
			continue
		}
		key, age := ev.User.Key(), now.Sub(ev.Time)
		// An end tells how many tries its login had. Those have their entries, except for the
		// one that the end was, and in a trail from before there were entries.
		n := ev.Tries - tries[ev.ID]
		if ev.Kind == mfa.EventTry {
			tries[ev.ID] = ev.Tries
		}
		for range n {
			if age < r.Codes.Window+r.Codes.For && l.codes.examines(key, ev.Time, cleared, r.Codes) {
				l.codes.apply(key, ev.Time, l.codes.wrong(key, ev.Time, cleared, r.Codes))
			}
		}
		if ev.Kind == mfa.EventLogin && ev.Plan.Prompts() && countsAsFatigue(ev.Reason) && age < r.Fatigue.Window+r.Fatigue.For {
			l.fatigue.take(key, ev.Time, cleared, r.Fatigue)
			l.fatigue.settle(key, ev.Time, r.Fatigue)
		}
		opens := ev.Kind == mfa.EventOpen || (ev.Kind == mfa.EventLogin || ev.Kind == mfa.EventUnclaimed) && ev.Plan.Prompts()
		if opens && !prompts[ev.ID] {
			prompts[ev.ID] = true
			if age < r.Prompts.Window {
				l.sent.take(key, ev.Time, cleared, r.Prompts)
			}
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
