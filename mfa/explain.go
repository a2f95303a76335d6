package mfa

import "time"

// CodesLocked reports whether the user's codes are locked now.
func (l *Limits) CodesLocked(u User, now time.Time) bool {
	return l.codes.locked(u.Name.Key(), now, u.Unblocked)
}
