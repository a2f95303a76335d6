package bound

import (
	"sync"
	"time"
)

// Hourly says which of many alike lines may be logged: one an hour for each key. When
// it is full of fresh keys, as in a flood from forged addresses, those that it does not
// know stay silent. Its methods may be called concurrently.
type Hourly[K comparable] struct {
	mu     sync.Mutex
	logged *Table[K, time.Time]
}

// NewHourly returns one that tells max keys apart at the most.
func NewHourly[K comparable](max int) *Hourly[K] {
	return &Hourly[K]{logged: NewTable[K](max, anHourAgo)}
}

// Allow reports whether the line of a key may be written now.
func (h *Hourly[K]) Allow(key K, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, lately := h.logged.Get(key, now); lately {
		return false
	}
	return h.logged.Put(key, now, now)
}

func anHourAgo(at, now time.Time) bool { return now.Sub(at) >= time.Hour }
