package otp

import (
	"strconv"
	"testing"
	"time"
)

// TestResyncBounded: a full memory keeps what it has, sheds the new, and has
// room again when the old ones have expired.
func TestResyncBounded(t *testing.T) {
	var r resync
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	code := func(token int, step int64) *finding {
		return &finding{token: &Token{ID: strconv.Itoa(token), Kind: HOTP}, step: step}
	}
	for i := range resyncMost + 1 {
		if r.second(code(i, 30), now) {
			t.Fatal("a first code was taken for a second one")
		}
	}
	if r.first.Len() != resyncMost {
		t.Errorf("got %d tokens; want %d", r.first.Len(), resyncMost)
	}
	if r.second(code(resyncMost, 31), now) {
		t.Error("a token that was shed is resynchronised")
	}
	if !r.second(code(0, 31), now) {
		t.Error("a token that was remembered is not resynchronised")
	}
	now = now.Add(resyncTime)
	if r.second(code(1, 31), now) {
		t.Error("got an expired first code that counts; want it forgotten")
	}
	r.second(code(resyncMost, 30), now)
	r.second(code(resyncMost+1, 30), now) // full: the expired ones go
	if got := r.first.Len(); got > 3 {
		t.Errorf("got %d tokens; want those that have not expired", got)
	}
	if !r.second(code(resyncMost+1, 31), now) {
		t.Error("no room after the old ones expired")
	}
}

// TestResyncOfGuesses: wrong codes leave nothing behind.
func TestResyncOfGuesses(t *testing.T) {
	counter := Token{ID: "a", Kind: HOTP, Secret: rfcSecret(20), Algorithm: SHA1, Digits: 6}
	timed := Token{ID: "b", Kind: TOTP, Secret: rfcSecret(20), Algorithm: SHA1, Digits: 6, Period: 30}
	right := map[int32]bool{}
	var g generator
	g.reset(&counter)
	now := time.Unix(1<<30, 0)
	for step := range int64(resyncAhead + 1) {
		right[g.code(step)] = true
	}
	for step := timed.clock(now) - 20; step <= timed.clock(now)+20; step++ {
		right[g.code(step)] = true
	}
	var r resync
	for value := int32(0); value < 2000; value++ {
		if right[value] {
			continue
		}
		a := answer{text: []byte("000000"), digits: true, value: value}
		if f := r.find([]Token{counter, timed}, a, now); f.err == nil {
			t.Fatalf("%06d is accepted; want err set", value)
		}
	}
	if r.first.Len() != 0 {
		t.Errorf("got %d tokens remembered; want none", r.first.Len())
	}
}
