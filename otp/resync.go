package otp

import (
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

const (
	resyncAhead = 50               // HOTP: counters that are searched
	resyncTime  = 10 * time.Minute // from the first code to the second
	resyncMost  = 4096             // tokens remembered at once; what is full sheds the new
)

// resync brings back tokens that are out of step (RFC 4226 §7.4, RFC 6238 §6):
// a HOTP token within 50 counters by two codes in a row, a TOTP token within ten
// minutes by two codes that agree on how far its clock is off. The first of the
// two is rejected, and counts as wrong. One code alone will not do, because so
// many candidates make a guess that much easier. The zero value is ready; its
// methods may be called concurrently.
type resync struct {
	mu    sync.Mutex
	first map[string]firstCode // by token
}

// firstCode is the first of the two codes.
type firstCode struct {
	step    int64
	drift   int
	expires time.Time
}

// find looks for a in the wide windows of all tokens.
func (r *resync) find(tokens []Token, a answer, now time.Time) finding {
	best := finding{err: mfa.ErrRejected}
	for i := range tokens {
		f := tokens[i].examineWide(a, now)
		if f.err == nil && !r.second(&f, now) {
			f.err = errResyncHalf
		}
		if best.err == mfa.ErrRejected {
			best = f
		}
	}
	return best
}

// examineWide compares a with all codes from which t may be resynchronised.
func (t *Token) examineWide(a answer, now time.Time) finding {
	if t.check() != nil || t.Kind == Pass || len(a.text) != t.Digits {
		return finding{err: mfa.ErrRejected}
	}
	var g generator
	g.reset(t)
	if t.Kind == HOTP {
		step, used := g.scan(a.value, t.Next-lookBehind, t.Next+resyncAhead, t.Next)
		return t.found(step, used, 0)
	}
	clock, limit := t.clock(now), int64(t.maxDrift())
	step, used := g.scan(a.value, clock-limit, clock+limit, t.Next)
	f := t.found(step, used, clock)
	f.drift = int(step - clock) // learned at once, not step by step
	return f
}

// second reports whether f follows a first code of its token. If not, it is
// remembered as the first one.
func (r *resync) second(f *finding, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	first, ok := r.first[f.token.ID]
	if ok && now.Before(first.expires) && first.leadsTo(f) {
		delete(r.first, f.token.ID)
		return true
	}
	if !ok && !r.room(now) {
		return false
	}
	if r.first == nil {
		r.first = make(map[string]firstCode)
	}
	r.first[f.token.ID] = firstCode{step: f.step, drift: f.drift, expires: now.Add(resyncTime)}
	return false
}

// leadsTo reports whether f is the code after c: the very next one of a HOTP
// token, a later one of the same clock (give or take a step) of a TOTP token.
func (c firstCode) leadsTo(f *finding) bool {
	if f.token.Kind == HOTP {
		return f.step == c.step+1
	}
	off := f.drift - c.drift
	return f.step > c.step && off >= -1 && off <= 1
}

// room makes room for one more token, if it can.
func (r *resync) room(now time.Time) bool {
	if len(r.first) < resyncMost {
		return true
	}
	for id, c := range r.first {
		if !now.Before(c.expires) {
			delete(r.first, id)
		}
	}
	return len(r.first) < resyncMost
}
