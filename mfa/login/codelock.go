package login

import (
	"slices"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

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

// set brings in what is on disk. What came before its last lock is in the lock.
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
