package ldap

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/bound"
)

// The bounds of what is remembered of wrong passwords.
const (
	refusalTime = 10 * time.Second
	maxRefusals = 10000
)

// recent makes one login one bind. A NAS tries the same password again, with
// another protocol or another packet, within seconds: each bind would count in
// the directory, and a third of them lock the account. So a check that is asked
// for while the same one runs gets its result, and a wrong password is still
// wrong for some seconds. It knows only HMACs under a key that this process
// makes and never writes down. Its methods may be called concurrently.
//
// It is no singleflight.Group: a login that waits must be able to stop waiting, and
// there a panic of the check would then end the process.
type recent struct {
	key     []byte
	mu      sync.Mutex
	running map[attempt]*runningCheck
	refused *bound.Cache[attempt, error]
}

type attempt [sha256.Size]byte

type runningCheck struct {
	done     chan struct{}
	identity mfa.Identity
	err      error
	gaveUp   bool // because the caller that asked did: that is no result for the others
}

func newRecent() *recent {
	r := &recent{key: make([]byte, sha256.Size), running: map[attempt]*runningCheck{}}
	r.refused = bound.NewCache[attempt, error](maxRefusals, refusalTime)
	rand.Read(r.key)
	return r
}

// attemptBy is whose password it is: a name as it was typed, because the directory
// may hold two spellings of one form apart, or an entry.
type attemptBy struct{ typed, dn string }

func (r *recent) attempt(by attemptBy, password string) attempt {
	mac := hmac.New(sha256.New, r.key)
	mac.Write([]byte(by.typed))
	mac.Write([]byte{0}) // in no name
	mac.Write([]byte(by.dn))
	mac.Write([]byte{0}) // in no DN
	mac.Write([]byte(password))
	return attempt(mac.Sum(nil))
}

// check returns what check returns, or returned just before.
func (r *recent) check(ctx context.Context, by attemptBy, password string, check func() (mfa.Identity, error)) (mfa.Identity, error) {
	a := r.attempt(by, password)
	for {
		mine, other, err := r.begin(a)
		if err != nil {
			return mfa.Identity{}, err
		}
		if mine != nil {
			defer r.end(a, mine)
			mine.identity, mine.err = check()
			mine.gaveUp = ctx.Err() != nil
			return mine.identity, mine.err
		}
		select {
		case <-other.done:
		case <-ctx.Done():
			return mfa.Identity{}, ctx.Err()
		}
		if !other.gaveUp {
			return other.identity, other.err
		}
	}
}

// begin returns the check to run, or the one that runs already, or the error
// that the same one had.
func (r *recent) begin(a attempt) (mine, other *runningCheck, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if refused, ok := r.refused.Get(a, time.Now()); ok {
		return nil, nil, refused
	}
	if other = r.running[a]; other != nil {
		return nil, other, nil
	}
	// A panic leaves no success behind for those who wait.
	mine = &runningCheck{done: make(chan struct{}), err: errors.New("internal error: the check did not end")}
	r.running[a] = mine
	return mine, nil, nil
}

func (r *recent) end(a attempt, c *runningCheck) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.running, a)
	close(c.done)
	if staysRefused(c.err) {
		r.refused.Put(a, c.err, time.Now())
	}
}

// staysRefused reports whether a password is still wrong some seconds later. What
// a directory says after a right one, an administrator may put right at once.
func staysRefused(err error) bool {
	account := (*mfa.AccountError)(nil)
	return errors.Is(err, mfa.ErrRejected) && !(errors.As(err, &account) && account.Proven)
}
