package password

import (
	"context"
	"errors"
	"hash/maphash"
	"runtime"
	"sync/atomic"
)

// ErrBusy means that too many slow hashes wait already: no answer was had.
var ErrBusy = errors.New("too many password checks are waiting")

// waitersPerSlot bounds the queue: with the hashes that `radmatch hash` makes
// (24 ms each), the last one waits three seconds, about what a NAS waits before
// it asks again.
const waitersPerSlot = 128

// Gate lets a bounded number of slow hashes run at once and a bounded number
// wait for their turn, so that a storm of logins takes neither all processors,
// which passcode answers need, nor all memory (19 MiB for each argon2id hash
// that runs). It is made once and shared by every File over reloads. Its
// methods may be called concurrently.
type Gate struct {
	slots   chan struct{}
	limit   int64 // running and waiting
	entered atomic.Int64
	seed    maphash.Seed // so that strangers cannot predict a stand-in
}

// NewGate returns a Gate that leaves one processor to everything else.
func NewGate() *Gate {
	slots := max(1, runtime.GOMAXPROCS(0)-1)
	return newGate(slots, slots*waitersPerSlot)
}

func newGate(slots, waiters int) *Gate {
	return &Gate{slots: make(chan struct{}, slots), limit: int64(slots + waiters), seed: maphash.MakeSeed()}
}

// enter waits for a turn. After a nil error the caller must leave.
func (g *Gate) enter(ctx context.Context) error {
	if g.entered.Add(1) > g.limit {
		g.entered.Add(-1)
		return ErrBusy
	}
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		g.entered.Add(-1)
		return ctx.Err()
	}
}

func (g *Gate) leave() {
	<-g.slots
	g.entered.Add(-1)
}
