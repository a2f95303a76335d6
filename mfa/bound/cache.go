package bound

import (
	"container/list"
	"time"
)

// Cache is a map of limited size and age. Where it is full, what was put longest
// ago is forgotten. Like a map it has no lock of its own, and a nil cache is empty.
type Cache[K comparable, V any] struct {
	max   int
	life  time.Duration
	size  func(V) int // nil: each value has size 1
	held  int         // size of all
	m     map[K]*list.Element
	order list.List // of *cached[K, V], oldest first
}

type cached[K comparable, V any] struct {
	key   K
	value V
	size  int
	until time.Time
}

// NewCache returns an empty cache for max values at the most, each of which is
// kept for life at the most; 0 means for as long as there is room.
func NewCache[K comparable, V any](max int, life time.Duration) *Cache[K, V] {
	return &Cache[K, V]{max: max, life: life, m: make(map[K]*list.Element)}
}

// NewSizedCache returns an empty cache whose values have at most the size max
// together.
func NewSizedCache[K comparable, V any](max int, life time.Duration, size func(V) int) *Cache[K, V] {
	c := NewCache[K, V](max, life)
	c.size = size
	return c
}

// Get returns the value of a key, false where it is not known or too old.
func (c *Cache[K, V]) Get(key K, now time.Time) (value V, ok bool) {
	if e := c.find(key, now); e != nil {
		return e.value, true
	}
	return value, false
}

// Has reports whether Get would find a value. It copies none.
func (c *Cache[K, V]) Has(key K, now time.Time) bool { return c.find(key, now) != nil }

func (c *Cache[K, V]) find(key K, now time.Time) *cached[K, V] {
	if c == nil {
		return nil
	}
	at, found := c.m[key]
	if !found {
		return nil
	}
	if e := at.Value.(*cached[K, V]); !c.over(e, now) {
		return e
	}
	return nil
}

// Put gives a key its value, whose life begins at a time. A value that is larger
// than the whole cache is not kept.
func (c *Cache[K, V]) Put(key K, value V, at time.Time) {
	c.Delete(key)
	e := &cached[K, V]{key: key, value: value, size: 1, until: at.Add(c.life)}
	if c.size != nil {
		e.size = c.size(value)
	}
	if e.size > c.max {
		return
	}
	for first := c.order.Front(); first != nil; first = c.order.Front() {
		oldest := first.Value.(*cached[K, V])
		if c.held+e.size <= c.max && !c.over(oldest, at) {
			break
		}
		c.Delete(oldest.key)
	}
	c.m[key] = c.order.PushBack(e)
	c.held += e.size
}

func (c *Cache[K, V]) over(e *cached[K, V], now time.Time) bool {
	return c.life > 0 && !now.Before(e.until)
}

// Delete forgets a key.
func (c *Cache[K, V]) Delete(key K) {
	if c == nil {
		return
	}
	if at, found := c.m[key]; found {
		c.held -= at.Value.(*cached[K, V]).size
		c.order.Remove(at)
		delete(c.m, key)
	}
}

// Size returns the size of all values that are kept, those included that are too
// old: their number, where they have no other size.
func (c *Cache[K, V]) Size() int {
	if c == nil {
		return 0
	}
	return c.held
}
