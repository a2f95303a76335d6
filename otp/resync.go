package otp

import (
	"crypto/subtle"
	"errors"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/bound"
)

const (
	resyncAhead = 50               // HOTP: counters that are searched
	resyncTime  = 10 * time.Minute // from the first code to the second
	resyncMost  = 4096             // tokens remembered at once
	syncAhead   = 1000             // HOTP: counters that an operator's two codes are searched in
)

// resync brings back tokens that are out of step, by two codes in a row (RFC 4226
// §7.4): a HOTP token within 50 counters, a TOTP token whose clock is at most
// maxDrift off, as one that comes from the box after years. The first of the two
// is rejected, and counts as wrong. One code is not enough, because so many
// candidates make a guess that much easier, and because one code is seen in
// passing. Two of a TOTP token must come one after the other as its clock shows
// them, and both after every code that was ever accepted; the second is accepted
// and the offset kept. The zero value is ready; its methods may be called
// concurrently.
type resync struct {
	mu    sync.Mutex
	first *bound.Table[string, firstCode] // by token
}

// firstCode is the first of the two codes.
type firstCode struct {
	step    int64
	off     int64 // TOTP: steps from the true time
	expires time.Time
}

func (c firstCode) over(now time.Time) bool { return !now.Before(c.expires) }

// find looks for a in the wide windows of all tokens.
func (r *resync) find(tokens []Token, a answer, now time.Time) finding {
	best := finding{err: mfa.ErrRejected}
	for i := range tokens {
		f := tokens[i].examineWide(a, now)
		if f.err == nil && !r.second(&f, now) {
			f.err = errResyncHalf
		}
		if best.err == mfa.ErrRejected || f.err == nil && best.err == errResyncHalf {
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
	step, _ := g.scan(a.value, max(clock-limit, t.Next), clock+limit, t.Next)
	if step < 0 {
		return finding{err: mfa.ErrRejected}
	}
	return finding{token: t, step: step, drift: int(step - clock)}
}

// second reports whether f is the very next code after a first one of its
// token. If not, it is remembered as the first one.
func (r *resync) second(f *finding, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	this := firstCode{step: f.step, expires: now.Add(resyncTime)}
	if f.token.Kind == TOTP {
		this.off = f.step - f.token.clock(now)
	}
	first, ok := r.first.Get(f.token.ID, now)
	if ok && f.step == first.step+1 && this.off-first.off >= -1 && this.off-first.off <= 1 {
		// It stays: who looks at the second one again gets the same answer. Once that is
		// used up, no code comes right after the first.
		return true
	}
	if r.first == nil {
		r.first = bound.NewTable[string](resyncMost, firstCode.over)
	}
	r.first.Put(f.token.ID, this, now)
	return false
}

// ErrSync means that two codes are not those of one token, one after the other.
var ErrSync = errors.New("no token shows these two codes in a row")

// Synchronise finds the token of tokens that shows the two codes one after the
// other now, up to ten minutes off or a thousand counters ahead, and what an
// operator who has it in hand uses up so. Its error is ErrSync.
func Synchronise(tokens []Token, first, second string, now time.Time) (Use, error) {
	var buf1, buf2 [maxCode]byte
	a, b := normalise(buf1[:], first), normalise(buf2[:], second)
	for i := range tokens {
		t := &tokens[i]
		if t.check() != nil || t.Kind == Pass || !a.digits || !b.digits || len(a.text) != t.Digits || len(b.text) != t.Digits {
			continue
		}
		low, high, clock := t.Next, t.Next+syncAhead, int64(0)
		if t.Kind == TOTP {
			clock = t.clock(now)
			low, high = max(clock-int64(t.maxDrift())-1, t.Next), clock+int64(t.maxDrift())-1
		}
		var g generator
		g.reset(t)
		for step := low; step <= high; step++ {
			if subtle.ConstantTimeEq(g.code(step), a.value)&subtle.ConstantTimeEq(g.code(step+1), b.value) == 1 {
				u := Use{User: t.User, Token: t.ID, Step: step + 1}
				if t.Kind == TOTP {
					u.Drift = int(step + 1 - clock)
				}
				return u, nil
			}
		}
	}
	return Use{}, ErrSync
}
