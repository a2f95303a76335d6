package bound

import (
	"maps"
	"time"
)

// sweepEvery is the least time between two looks at a whole table: in a flood,
// every new key would otherwise cost one, under the lock of its user.
const sweepEvery = time.Second

// Table is a map of limited size whose values end. A full table takes no new key;
// what it holds stays until it ends. Like a map it has no lock of its own, and a
// nil table is empty.
type Table[K comparable, V any] struct {
	max   int
	over  func(value V, now time.Time) bool
	m     map[K]V
	swept time.Time // when the full table was last looked through
}

// NewTable returns an empty table for max keys at the most. over reports whether a
// value has ended. It must not use the table.
func NewTable[K comparable, V any](max int, over func(value V, now time.Time) bool) *Table[K, V] {
	return &Table[K, V]{max: max, over: over, m: make(map[K]V)}
}

// Get returns the value of a key, false where there is none or it has ended.
func (t *Table[K, V]) Get(key K, now time.Time) (value V, ok bool) {
	if t == nil {
		return value, false
	}
	if v, found := t.m[key]; found && !t.over(v, now) {
		return v, true
	}
	return value, false
}

// Put gives a key its value. It reports false, and changes nothing, where the key
// is new and there is no room. Values that have ended make room, at most once a
// second.
func (t *Table[K, V]) Put(key K, value V, now time.Time) bool {
	if _, has := t.m[key]; !has && !t.room(now) {
		return false
	}
	t.m[key] = value
	return true
}

func (t *Table[K, V]) room(now time.Time) bool {
	if len(t.m) >= t.max && now.Sub(t.swept) >= sweepEvery {
		t.swept = now
		maps.DeleteFunc(t.m, func(_ K, v V) bool { return t.over(v, now) })
	}
	return len(t.m) < t.max
}

// Take removes a key and returns its value, also one that has ended: its user may
// have to say that it came too late.
func (t *Table[K, V]) Take(key K) (value V, ok bool) {
	if t != nil {
		value, ok = t.m[key]
		delete(t.m, key)
	}
	return value, ok
}

// Len returns how many keys are kept, those included whose value has ended.
func (t *Table[K, V]) Len() int {
	if t == nil {
		return 0
	}
	return len(t.m)
}
