package mfa

import (
	"time"
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

// Locked reports whether no code is examined now. What happened before cleared is
// forgotten.
func (w *WrongCodes) Locked(now, cleared time.Time) bool {
	return w.Last.After(cleared) && (w.Row >= MaxWrongRow || now.Before(w.Until))
}

// Add counts one, and with full locks the codes: for lock the first time, and for
// twice as long as before each time after.
func (w *WrongCodes) Add(now time.Time, full bool, lock time.Duration) {
	w.Row++
	w.Last = now
	w.Alarm = w.Row == MaxWrongRow
	if !full {
		return
	}
	d := lock
	for range w.Locks {
		d = min(2*d, max(maxLock, lock))
	}
	w.Locks++
	w.Since, w.Until = now, now.Add(d)
	w.Alarm = w.Alarm || w.Locks == 1
}

const (
	// MaxWrongRow is how many wrong codes in a row lock a user's codes until they are
	// unblocked (NIST SP 800-63B §5.2.2): without it, guessing goes on forever at the
	// pace of the locks.
	MaxWrongRow = 100
	// maxLock is the longest of the locks that end by themselves.
	maxLock = 24 * time.Hour
)
