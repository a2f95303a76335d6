package mfa

import (
	"sync"
	"time"
)

const (
	// maxWrongRow is how many wrong codes in a row lock a user's codes until they are
	// unblocked (NIST SP 800-63B §5.2.2): without it, guessing goes on for ever at the
	// pace of the locks.
	maxWrongRow = 100
	// maxLock is the longest of the locks that end by themselves.
	maxLock = 24 * time.Hour
)

// WrongCodes are a user's wrong codes since the last right one. They last on disk.
type WrongCodes struct {
	Row   int       `json:"in_a_row"`
	Locks int       `json:"locks,omitempty"` // since then; each is twice as long as the one before
	Last  time.Time `json:"last,omitzero"`   // wrong one
	Since time.Time `json:"since,omitzero"`  // of the last lock
	Until time.Time `json:"until,omitzero"`
	// Alarm: with this one the codes were locked for the first time, or until the user
	// is unblocked. It leaves an EventReport.
	Alarm bool `json:"-"`
}

// locked reports whether no code is examined now. What happened before cleared is
// forgotten.
func (w *WrongCodes) locked(now, cleared time.Time) bool {
	return w.Last.After(cleared) && (w.Row >= maxWrongRow || now.Before(w.Until))
}

// add counts one, and locks with full.
func (w *WrongCodes) add(now time.Time, full bool, r Rule) {
	w.Row++
	w.Last = now
	w.Alarm = w.Row == maxWrongRow
	if !full {
		return
	}
	d := r.For
	for range w.Locks {
		d = min(2*d, max(maxLock, r.For))
	}
	w.Locks++
	w.Since, w.Until = now, now.Add(d)
	w.Alarm = w.Alarm || w.Locks == 1
}

// codeLocks counts the wrong codes of each user. It may be used concurrently; its
// zero value is ready. Only a user who has a code has an entry, so that there are no
// more than those.
type codeLocks struct {
	mu sync.Mutex
	m  map[NameKey]*codeLock
}

type codeLock struct {
	WrongCodes
	times []time.Time // counted in the window, those being examined too; oldest first
	open  int         // being examined
}

// take counts one code before it is examined, so that of many in parallel no more
// are examined than one by one. It reports false, and counts nothing, where none
// may be.
func (l *codeLocks) take(user NameKey, now, cleared time.Time, r Rule) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entry(user, now, cleared, r)
	if e.locked(now, cleared) || len(e.times) >= r.Max || e.Row+e.open >= maxWrongRow {
		l.drop(user, e)
		return false
	}
	e.times = append(e.times, now)
	e.open++
	return true
}

// refund takes back what take counted at that time: it was not wrong.
func (l *codeLocks) refund(user NameKey, at time.Time) {
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
func (l *codeLocks) right(user NameKey, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.m[user]; e != nil {
		e.refund(at)
		e.WrongCodes = WrongCodes{}
		l.drop(user, e)
	}
}

// wrong notes that what was taken was wrong, and locks where the window is full.
func (l *codeLocks) wrong(user NameKey, now time.Time, r Rule) WrongCodes {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.m[user]
	e.open--
	full := len(e.times) >= r.Max
	e.add(now, full, r)
	if full {
		e.times = e.times[:0]
	}
	return e.WrongCodes
}

// of returns the user's wrong codes.
func (l *codeLocks) of(user NameKey) WrongCodes {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.m[user]; e != nil {
		w := e.WrongCodes
		w.Alarm = false
		return w
	}
	return WrongCodes{}
}

// restore counts tries from before a restart, one by one.
func (l *codeLocks) restore(user NameKey, at time.Time, r Rule) {
	if l.take(user, at, time.Time{}, r) {
		l.wrong(user, at, r)
	}
}

// set brings in what is on disk. What came before its last lock is in the lock.
func (l *codeLocks) set(user NameKey, w WrongCodes) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.m == nil {
		l.m = make(map[NameKey]*codeLock)
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

func (l *codeLocks) entry(user NameKey, now, cleared time.Time, r Rule) *codeLock {
	e := l.m[user]
	if e == nil {
		if l.m == nil {
			l.m = make(map[NameKey]*codeLock)
		}
		e = &codeLock{}
		l.m[user] = e
	}
	if !e.Last.After(cleared) {
		e.WrongCodes = WrongCodes{}
	}
	n := 0
	for _, x := range e.times {
		if now.Sub(x) < r.Window && x.After(cleared) {
			e.times[n] = x
			n++
		}
	}
	e.times = e.times[:n]
	return e
}

// drop forgets a user of whom there is nothing to know.
func (l *codeLocks) drop(user NameKey, e *codeLock) {
	if len(e.times) == 0 && e.open == 0 && e.Row == 0 {
		delete(l.m, user)
	}
}
