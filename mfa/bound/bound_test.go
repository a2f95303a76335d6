package bound

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// ends is a value that says when it ends.
type ends struct{ at time.Time }

func (e ends) over(now time.Time) bool { return !now.Before(e.at) }

func inTime(d time.Duration) ends { return ends{time.Now().Add(d)} }

func TestTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable[string](2, ends.over)
		has := func(key string) bool {
			_, ok := table.Get(key, time.Now())
			return ok
		}
		put := func(key string, life time.Duration) bool { return table.Put(key, inTime(life), time.Now()) }
		if !put("short", time.Minute) || !put("long", time.Hour) {
			t.Fatal("got no room in an empty table; want room for two keys")
		}
		if put("new", time.Hour) || has("new") {
			t.Error("a full table takes a new key")
		}
		if !has("short") || !has("long") {
			t.Error("a full table gives way to a new key")
		}
		if !put("long", 2*time.Hour) {
			t.Error("a key of a full table takes no other value")
		}
		time.Sleep(time.Minute)
		if has("short") || table.Len() != 2 {
			t.Error("a value that has ended is there")
		}
		if !put("new", time.Hour) || !has("new") || !has("long") || table.Len() != 2 {
			t.Error("got no room after an entry has ended; want room")
		}
		if got, ok := table.Take("new"); !ok || got == (ends{}) || has("new") || table.Len() != 1 {
			t.Errorf("took %v, %t; %d are left", got, ok, table.Len())
		}
	})
}

// TestTableTakesEnded: its user can tell what came too late from what never was.
func TestTableTakesEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable[string](2, ends.over)
		table.Put("a", inTime(time.Second), time.Now())
		time.Sleep(time.Minute)
		if got, ok := table.Take("a"); !ok || !got.over(time.Now()) {
			t.Errorf("took %v, %t, want the value that has ended", got, ok)
		}
		if _, ok := table.Take("a"); ok {
			t.Error("got a key taken twice; want it taken once")
		}
	})
}

// TestTableUnderFlood: new keys do not each cost a look at the whole table.
func TestTableUnderFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, flood = 100, 1000
		looks := 0
		table := NewTable[int](size, func(e ends, now time.Time) bool {
			looks++
			return e.over(now)
		})
		for i := range size + flood {
			if kept := table.Put(i, inTime(time.Hour), time.Now()); kept != (i < size) {
				t.Fatalf("key %d: got kept %t", i, kept)
			}
		}
		if looks != size {
			t.Errorf("looked at %d values within a second, want %d", looks, size)
		}
		time.Sleep(sweepEvery)
		table.Put(-1, inTime(time.Hour), time.Now())
		if looks != 2*size {
			t.Errorf("looked at %d values after a second, want %d", looks, 2*size)
		}
	})
}

func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := NewCache[string, int](3, time.Minute)
		get := func(key string) int {
			v, _ := cache.Get(key, time.Now())
			return v
		}
		for i, key := range []string{"a", "b", "c"} {
			cache.Put(key, i+1, time.Now())
		}
		cache.Put("a", 10, time.Now()) // is the newest now
		cache.Put("d", 4, time.Now())
		for key, want := range map[string]int{"a": 10, "b": 0, "c": 3, "d": 4} {
			if got := get(key); got != want {
				t.Errorf("%s: got %d, want %d", key, got, want)
			}
		}
		cache.Delete("c")
		cache.Delete("c")
		if get("c") != 0 || cache.Size() != 2 {
			t.Errorf("deleted: got %d, size %d", get("c"), cache.Size())
		}
		time.Sleep(59 * time.Second)
		cache.Put("e", 5, time.Now())
		time.Sleep(time.Second)
		if get("a") != 0 || get("d") != 0 || get("e") != 5 {
			t.Errorf("after a minute: got %d, %d and %d, want 0, 0 and 5", get("a"), get("d"), get("e"))
		}
		cache.Put("f", 6, time.Now())
		if cache.Size() != 2 {
			t.Errorf("size %d, want 2: what is too old goes", cache.Size())
		}
	})
}

// TestCacheWithoutAge keeps what it has while there is room.
func TestCacheWithoutAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := NewCache[int, string](2, 0)
		for i := range 5 {
			cache.Put(i, fmt.Sprint(i), time.Now())
			time.Sleep(1000 * time.Hour)
		}
		for i := range 5 {
			if got, ok := cache.Get(i, time.Now()); ok != cache.Has(i, time.Now()) || ok != (i >= 3) || ok && got != fmt.Sprint(i) {
				t.Errorf("%d: got %q, %t", i, got, ok)
			}
		}
	})
}

// TestSizedCache: what counts is the size of all.
func TestSizedCache(t *testing.T) {
	now := time.Now()
	cache := NewSizedCache[string](10, time.Minute, func(s string) int { return len(s) })
	for _, s := range []string{"12", "345", "6789"} {
		cache.Put(s, s, now)
	}
	cache.Put("345", "3", now) // the same key: the old size does not count
	if cache.Size() != 7 {
		t.Errorf("size %d, want 7", cache.Size())
	}
	cache.Put("large", "12345678", now)
	if _, ok := cache.Get("large", now); !ok || cache.Size() != 9 {
		t.Errorf("size %d, the newest is there: %t", cache.Size(), ok)
	}
	cache.Put("too large", "12345678901", now)
	if _, ok := cache.Get("too large", now); ok || cache.Size() != 9 {
		t.Errorf("size %d, what is larger than all is there: %t", cache.Size(), ok)
	}
}

// TestNil: like a nil map, a table that was not made yet is empty.
func TestNil(t *testing.T) {
	var table *Table[string, ends]
	var cache *Cache[string, int]
	if _, ok := table.Get("a", time.Now()); ok || table.Len() != 0 {
		t.Error("got values from a nil table; want none")
	}
	if _, ok := table.Take("a"); ok {
		t.Error("got a value taken from a nil table; want none")
	}
	cache.Delete("a")
	if _, ok := cache.Get("a", time.Now()); ok || cache.Has("a", time.Now()) || cache.Size() != 0 {
		t.Error("got values from a nil cache; want none")
	}
}

// TestHourlyUnderFlood: new keys fill it, and give way after an hour. That it is not
// looked through for each of them, TestTableUnderFlood shows.
func TestHourlyUnderFlood(t *testing.T) {
	const size = 4096
	start := time.Now()
	h := NewHourly[int](size)
	for n := range size {
		if !h.Allow(n, start) {
			t.Fatalf("%d keys, and no room", n)
		}
	}
	if h.Allow(0, start.Add(59*time.Minute)) {
		t.Error("a line is written twice within an hour")
	}
	for n := range 1000 {
		if h.Allow(size+n, start.Add(time.Duration(n)*time.Millisecond)) {
			t.Fatal("got one key more than the table may hold; want it bounded")
		}
	}
	if !h.Allow(1<<20, start.Add(time.Hour+time.Minute)) {
		t.Error("got a table in which old entries never give way; want room for the new")
	}
}
