package otp

import (
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

const (
	resyncAhead = 50               // counters that are searched
	resyncTime  = 10 * time.Minute // from the first code to the second
	resyncMost  = 4096             // tokens remembered at once; what is full sheds the new
)

// resync brings back HOTP tokens that are out of step (RFC 4226 §7.4), within 50
// counters by two codes in a row. The first of the two is rejected, and counts
// as wrong. One code alone will not do, because so many candidates make a guess
// that much easier. A TOTP token is not brought back so: codes that were seen in
// passing must not outlive its window. The zero value is ready; its methods may
// be called concurrently.
type resync struct {
	mu    sync.Mutex
	first map[string]firstCode // by token
}

// firstCode is the first of the two codes.
type firstCode struct {
	step    int64
	expires time.Time
}

// find looks for a in the wide windows of all HOTP tokens.
func (r *resync) find(tokens []Token, a answer, now time.Time) finding {
	best := finding{err: mfa.ErrRejected}
	for i := range tokens {
		f := tokens[i].examineWide(a)
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
func (t *Token) examineWide(a answer) finding {
	if t.check() != nil || t.Kind != HOTP || len(a.text) != t.Digits {
		return finding{err: mfa.ErrRejected}
	}
	var g generator
	g.reset(t)
	step, used := g.scan(a.value, t.Next-lookBehind, t.Next+resyncAhead, t.Next)
	return t.found(step, used, 0)
}

// second reports whether f is the very next code after a first one of its
// token. If not, it is remembered as the first one.
func (r *resync) second(f *finding, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	first, ok := r.first[f.token.ID]
	if ok && now.Before(first.expires) && f.step == first.step+1 {
		delete(r.first, f.token.ID)
		return true
	}
	if !ok && !r.room(now) {
		return false
	}
	if r.first == nil {
		r.first = make(map[string]firstCode)
	}
	r.first[f.token.ID] = firstCode{step: f.step, expires: now.Add(resyncTime)}
	return false
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
