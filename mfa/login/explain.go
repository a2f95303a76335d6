package login

import (
	"github.com/radmatch/radmatch/mfa"
	"time"
)

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
