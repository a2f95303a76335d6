package mfa

import "time"

// PushLimited reports whether the fatigue limit stops prompts to the user now.
func (l *Limits) PushLimited(u User, now time.Time) bool {
	return l.prompts.locked(Fold(u.Name), now, u.Unblocked)
}

// RingLimited reports whether as many prompts have rung as the user may get.
func (l *Limits) RingLimited(u User, now time.Time, rings Rule) bool {
	return l.rang.full(Fold(u.Name), now, u.Unblocked, rings)
}

// CodesLocked reports whether the user's codes are locked now.
func (l *Limits) CodesLocked(u User, now time.Time) bool {
	return l.codes.locked(Fold(u.Name), now, u.Unblocked)
}
