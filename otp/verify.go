package otp

import (
	"context"
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// How far a code may be off. All are steps (TOTP) or counters (HOTP).
const (
	window     = 1  // TOTP: before and after the step that the token's clock shows
	lookAhead  = 10 // HOTP: codes that were made and not used
	lookBehind = 10 // HOTP: how long a used code is still called used
)

// maxDrift bounds how far off a token's clock may be. Beyond it the token is
// broken: it must be replaced.
const maxDrift = 10 * time.Minute

var (
	errUsed       = fmt.Errorf("%w: %w", mfa.ErrRejected, mfa.ErrCodeUsed)
	errForm       = fmt.Errorf("%w: has the form of no code", mfa.ErrRejected)
	errPassEarly  = fmt.Errorf("%w: the pass is not valid yet", mfa.ErrRejected)
	errPassLate   = fmt.Errorf("%w: the pass has expired", mfa.ErrRejected)
	errResyncHalf = fmt.Errorf("%w: the token is out of step: the next code resynchronises it", mfa.ErrRejected)
)

// Verifier verifies codes and passes. Make it once: it remembers tokens that are
// resynchronising. Its fields may be changed until the first call; its methods
// may be called concurrently.
//
// A TOTP code is right within one step of the token's clock as it was learned
// (Token.Drift) or of the true time, so that neither a token that runs slow nor
// a phone whose clock was put right is locked out. The drift follows by one step
// an accepted code, up to ten minutes. A HOTP code is right up to ten counters
// ahead. A token that is further off comes back with two codes in a row, see resync.
//
// A right code of a step that was used, or lies before one that was, is
// ErrRejected joined with mfa.ErrCodeUsed. A clock that is set back changes
// nothing about that: steps are counted by the tokens, not by this machine.
type Verifier struct {
	Store Store
	Now   func() time.Time // nil: time.Now

	resync resync
}

var _ mfa.CodeVerifier = (*Verifier)(nil)

// HasForm reports whether answer has the form of one of the user's codes.
func (v *Verifier) HasForm(user mfa.Name, answer string) bool {
	var buf [maxCode]byte
	a := normalise(buf[:], answer)
	return len(a.text) > 0 && v.Store.Forms(user).matches(a)
}

// CheckCode implements mfa.CodeVerifier. It returns the use of a token that code is right for, and uses up nothing: the use
// counts once it is in the log of the user (mfa.Ledger). mfa.ErrRejected means a wrong code,
// with mfa.ErrCodeUsed one that was used. Any other error is a failure, and counts against
// no user. It may look at one code several times, and says the same as long as the user's
// tokens stay as they are; also of the two codes that bring a token back in step. Every
// candidate of every token is compared before the first result is looked at.
func (v *Verifier) CheckCode(ctx context.Context, user mfa.Name, code string) (mfa.Use, error) {
	var buf [maxCode]byte
	a := normalise(buf[:], code)
	if len(a.text) == 0 {
		return mfa.Use{}, errForm
	}
	tokens, err := v.Store.Tokens(ctx, user)
	if err != nil {
		return mfa.Use{}, fmt.Errorf("reading tokens: %w", err)
	}
	f := v.find(tokens, a, v.now())
	if f.err != nil {
		return mfa.Use{}, f.err
	}
	return mfa.Use{
		Method: string(f.token.Kind), Token: f.token.ID, Step: f.step, Drift: f.drift,
		Reusable: f.token.Kind == Pass && !f.token.Once,
	}, nil
}

func (v *Verifier) now() time.Time {
	if v.Now != nil {
		return v.Now()
	}
	return time.Now()
}

// finding is what the comparison with the tokens has shown: the step that the
// code belongs to, or why it is not accepted.
type finding struct {
	token *Token
	step  int64
	drift int
	err   error // nil: the code is right
}

// find looks for the token that a belongs to. A token that has used the code
// already wins over one that has not, so that one code cannot serve twice.
func (v *Verifier) find(tokens []Token, a answer, now time.Time) finding {
	best := finding{err: mfa.ErrRejected}
	for i := range tokens {
		f := tokens[i].examine(a, now)
		switch {
		case f.err == nil && best.err != nil && best.err != errUsed: // the first one
			best = f
		case f.err != nil && f.err != mfa.ErrRejected: // used, or a pass outside its time
			best = f
		}
	}
	if best.err == mfa.ErrRejected && a.digits {
		return v.resync.find(tokens, a, now)
	}
	return best
}

// examine compares a with every candidate of one token.
func (t *Token) examine(a answer, now time.Time) finding {
	switch {
	case t.check() != nil: // such as an empty key, whose codes anyone can compute
		return finding{err: mfa.ErrRejected}
	case t.Kind == Pass:
		return t.examinePass(a, now)
	case !a.digits || len(a.text) != t.Digits:
		return finding{err: mfa.ErrRejected}
	case t.Kind == HOTP && t.Doubt:
		return finding{err: mfa.ErrRejected} // and the wide search goes on
	}
	var g generator
	g.reset(t)
	if t.Kind == HOTP {
		step, used := g.scan(a.value, t.Next-1, t.Next+lookAhead, t.Next)
		return t.found(step, used, 0)
	}
	clock := t.clock(now)
	low, high := min(0, t.Drift), max(0, t.Drift)
	if high-low <= 2*window+1 { // the two windows touch
		step, used := g.scan(a.value, clock+int64(low)-window, clock+int64(high)+window, t.Next)
		return t.found(step, used, clock)
	}
	step, used := g.scan(a.value, clock+int64(low)-window, clock+int64(low)+window, t.Next)
	step2, used2 := g.scan(a.value, clock+int64(high)-window, clock+int64(high)+window, t.Next)
	return t.found(max(step, step2), used || used2, clock)
}

// found turns the result of a scan into a finding.
func (t *Token) found(step int64, used bool, clock int64) finding {
	switch {
	case used:
		return finding{err: errUsed}
	case step < 0:
		return finding{err: mfa.ErrRejected}
	case t.Kind == HOTP:
		return finding{token: t, step: step}
	}
	off := int(step - clock)
	limit := t.maxDrift()
	drift := t.Drift + min(max(off-t.Drift, -1), 1)
	return finding{token: t, step: step, drift: min(max(drift, -limit), limit)}
}

// clock returns the step that now lies in.
func (t *Token) clock(now time.Time) int64 { return now.Unix() / int64(t.Period) }

// maxDrift returns the most steps that t may be off.
func (t *Token) maxDrift() int { return int(maxDrift/time.Second) / t.Period }

// examinePass compares a with a pass.
func (t *Token) examinePass(a answer, now time.Time) finding {
	if subtle.ConstantTimeCompare(a.text, t.Secret) != 1 {
		return finding{err: mfa.ErrRejected}
	}
	switch {
	case t.Once && t.Next > 0:
		return finding{err: errUsed}
	case now.Before(t.NotBefore):
		return finding{err: errPassEarly}
	case !now.Before(t.Expires):
		return finding{err: errPassLate}
	}
	return finding{token: t}
}
