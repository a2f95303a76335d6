package web

import (
	"context"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa/bound"
)

// Offers keeps what one request leaves for the one that answers it, which may come to
// another server of the site. It may be called concurrently.
type Offers interface {
	// KeepOffer keeps data under a key for some time, in place of what was kept there.
	// kept false: there are too many, and what was there is there still.
	KeepOffer(ctx context.Context, key string, data []byte, life time.Duration) (kept bool, err error)
	// TakeOffer returns what is kept under a key, once at all servers; nil: nothing is, or
	// its time is over. After an error it may have been taken.
	TakeOffer(ctx context.Context, key string) ([]byte, error)
}

// maxOffers bounds what one server keeps in memory.
const maxOffers = 4096

// memoryOffers implements Offers for the only server of a site.
type memoryOffers struct {
	mu    sync.Mutex
	table *bound.Table[string, memoryOffer]
}

type memoryOffer struct {
	data []byte
	ends time.Time
}

func (o memoryOffer) over(now time.Time) bool { return !now.Before(o.ends) }

func newMemoryOffers() *memoryOffers {
	return &memoryOffers{table: bound.NewTable[string](maxOffers, memoryOffer.over)}
}

// KeepOffer implements Offers.
func (m *memoryOffers) KeepOffer(_ context.Context, key string, data []byte, life time.Duration) (bool, error) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.table.Put(key, memoryOffer{data: data, ends: now.Add(life)}, now), nil
}

// TakeOffer implements Offers.
func (m *memoryOffers) TakeOffer(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.table.Take(key)
	if !ok || o.over(time.Now()) {
		return nil, nil
	}
	return o.data, nil
}
