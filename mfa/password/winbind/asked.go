package winbind

import (
	"errors"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/bound"
)

const (
	// memory is how long a refused response is refused without asking again.
	memory = 60 * time.Second
	// maxAsked bounds the questions that are remembered. One that finds no
	// room is asked all the same.
	maxAsked = 4096
)

// asked remembers questions that are out, and those that were refused. It
// lives only in memory. It is no singleflight.Group, as package ldap's memory is none.
type asked struct {
	mu       sync.Mutex
	verdicts *bound.Table[[32]byte, *verdict]
}

// verdict is what a question led to. sessionKey and err may be read once
// done is closed.
type verdict struct {
	key        [32]byte
	done       chan struct{}
	sessionKey [16]byte
	err        error
	until      time.Time // zero while the question is out
}

func newAsked() *asked {
	return &asked{verdicts: bound.NewTable[[32]byte](maxAsked, (*verdict).over)}
}

func (v *verdict) over(now time.Time) bool { return !v.until.IsZero() && !now.Before(v.until) }

// claim returns the verdict for a question, and whether the caller must find it out.
func (a *asked) claim(key [32]byte, now time.Time) (v *verdict, first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if v, ok := a.verdicts.Get(key, now); ok {
		return v, false
	}
	v = &verdict{key: key, done: make(chan struct{})}
	a.verdicts.Put(key, v, now)
	return v, true
}

// settle tells everyone who waits for v. Only a refusal is kept: what was right
// is examined anew, and where no answer was had the next try may get one.
func (a *asked) settle(v *verdict, sessionKey [16]byte, err error, now time.Time) {
	a.mu.Lock()
	v.sessionKey, v.err = sessionKey, err
	if kept, ok := a.verdicts.Get(v.key, now); ok && kept == v {
		if errors.Is(err, mfa.ErrRejected) {
			v.until = now.Add(memory)
		} else {
			a.verdicts.Take(v.key)
		}
	}
	a.mu.Unlock()
	close(v.done)
}
