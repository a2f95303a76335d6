package mfa

import "time"

// CodesLocked reports whether the user's codes are locked now, and until when: the
// zero time is until the user is unblocked.
func (l *Limits) CodesLocked(u User, now time.Time) (until time.Time, locked bool) {
	w := l.codes.of(u.Name.Key())
	if !w.locked(now, u.Unblocked) {
		return time.Time{}, false
	}
	if w.Row >= maxWrongRow {
		return time.Time{}, true
	}
	return w.Until, true
}

// PushLimited reports whether the fatigue limit stops prompts to the user now.
func (l *Limits) PushLimited(u User, now time.Time) bool {
	return l.prompts.locked(u.Name.Key(), now, u.Unblocked)
}
