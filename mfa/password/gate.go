package password

import (
	"context"
	"errors"
	"hash/maphash"
	"runtime"
	"slices"
	"sync"

	"github.com/radmatch/radmatch/mfa"
)

// ErrBusy means that too many checks wait already: no answer was had.
var ErrBusy = errors.New("too many password checks are waiting")

// waitersPerSlot bounds the queue: with the hashes that `radmatch hash` makes
// (24 ms each), the last one waits three seconds, about what a NAS waits before
// it asks again.
const waitersPerSlot = 128

// Gate lets a bounded number of slow hashes run at once and a bounded number
// wait for their turn, so that a storm of logins takes neither all processors,
// which passcode answers need, nor all memory (19 MiB for each argon2id hash
// that runs). It is made once and shared by every File over reloads; directories
// and helpers have gates of their own. Its methods may be called concurrently.
//
// Turns go round the clients, and where the queue is full, the client that has
// most of it gives way: no client's guesses can keep another's users waiting. A
// semaphore has one queue, in the order of arrival.
type Gate struct {
	seed maphash.Seed // so that unknown callers cannot predict a stand-in
	room int          // how many may wait

	mu      sync.Mutex
	free    int // slots; above 0 none waits
	waiting int
	queues  []*gateQueue // of the clients that have someone waiting, by their turn
}

// gateQueue is who waits of one client, in order. A turn is told nil, or ErrBusy
// where it is lost; the channels have room for that.
type gateQueue struct {
	client string
	turns  []chan error
}

// NewGate returns a Gate for hashes that leaves one processor to everything else.
func NewGate() *Gate {
	slots := max(1, runtime.GOMAXPROCS(0)-1)
	return GateOf(slots, slots*waitersPerSlot)
}

// GateOf returns a Gate for this many checks at once, and this many that wait.
func GateOf(slots, waiters int) *Gate {
	return &Gate{seed: maphash.MakeSeed(), free: slots, room: waiters}
}

// Enter waits for a turn. After a nil error the caller must Leave.
func (g *Gate) Enter(ctx context.Context) error {
	turn, err := g.queue(mfa.ClientOf(ctx))
	if turn == nil {
		return err
	}
	select {
	case err := <-turn:
		return err
	case <-ctx.Done():
	}
	if !g.withdraw(turn) && <-turn == nil {
		g.Leave() // it came in the same moment
	}
	return ctx.Err()
}

// queue takes a slot, or a place to wait. Without a turn to wait for, err is nil
// where a slot was free.
func (g *Gate) queue(client string) (turn chan error, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.free > 0 {
		g.free--
		return nil, nil
	}
	i := slices.IndexFunc(g.queues, func(q *gateQueue) bool { return q.client == client })
	if g.waiting >= g.room && !g.makeRoom(i) {
		return nil, ErrBusy
	}
	if i < 0 {
		i = len(g.queues)
		g.queues = append(g.queues, &gateQueue{client: client})
	}
	turn = make(chan error, 1)
	q := g.queues[i]
	q.turns = append(q.turns, turn)
	g.waiting++
	return turn, nil
}

// makeRoom takes the last place of the longest queue for the queue at i, -1 for a
// new one, unless that would make it the longest.
func (g *Gate) makeRoom(i int) bool {
	own := 0
	if i >= 0 {
		own = len(g.queues[i].turns)
	}
	var longest *gateQueue
	for _, q := range g.queues {
		if longest == nil || len(q.turns) > len(longest.turns) {
			longest = q
		}
	}
	if longest == nil || len(longest.turns) <= own+1 {
		return false
	}
	last := len(longest.turns) - 1
	longest.turns[last] <- ErrBusy
	longest.turns = longest.turns[:last]
	g.waiting--
	return true
}

// withdraw gives a place up. It reports false where the turn has been told.
func (g *Gate) withdraw(turn chan error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, q := range g.queues {
		at := slices.Index(q.turns, turn)
		if at < 0 {
			continue
		}
		q.turns = slices.Delete(q.turns, at, at+1)
		g.waiting--
		if len(q.turns) == 0 {
			g.queues = slices.Delete(g.queues, i, i+1)
		}
		return true
	}
	return false
}

// Leave hands the slot to the next client's first.
func (g *Gate) Leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting == 0 {
		g.free++
		return
	}
	q := g.queues[0]
	q.turns[0] <- nil
	q.turns = slices.Delete(q.turns, 0, 1)
	g.waiting--
	g.queues = slices.Delete(g.queues, 0, 1)
	if len(q.turns) > 0 {
		g.queues = append(g.queues, q)
	}
}
