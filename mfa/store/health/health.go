// Package health is what a store knows of its database by use: whether commits return and go
// well, and whether the changes of others can be read.
package health

import (
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// readyWithin is how long a commit, or the reading of changes, may take before the store
	// is not ready.
	readyWithin = 2 * time.Second
	// trialAfter is how old the last commit is before one is tried.
	trialAfter = time.Second
)

// Health is how the last commits went. Start comes first; then its methods may be called
// concurrently. Begin is called before a commit, or before the wait for the right to make one,
// and End after it. All times are of one clock that is never set.
type Health struct {
	start time.Time

	// As nanoseconds since start; 0: never, or not so.
	begun  atomic.Int64 // when the commit began that has not returned
	ended  atomic.Int64 // when one last returned
	unread atomic.Int64 // since when the changes of others cannot be read

	trouble atomic.Pointer[error] // of the last commit; nil: it went well
	asked   atomic.Bool           // Ready was called since the last trial
	call    chan struct{}         // capacity 1: a trial is expected
}

// Start begins at a time.
func (h *Health) Start(now time.Time) { h.start, h.call = now, make(chan struct{}, 1) }

// Called receives when a trial has become expected.
func (h *Health) Called() <-chan struct{} { return h.call }

// Expected reports whether a trial is due now or in a while.
func (h *Health) Expected() bool { return h.asked.Load() || h.trouble.Load() != nil }

// expect makes Called receive.
func (h *Health) expect() {
	select {
	case h.call <- struct{}{}:
	default:
	}
}

// since is how t is kept, never 0.
func (h *Health) since(t time.Time) int64 { return max(1, int64(t.Sub(h.start))) }

// Begin notes that a commit begins.
func (h *Health) Begin(now time.Time) { h.begun.Store(h.since(now)) }

// End notes how it went.
func (h *Health) End(now time.Time, err error) {
	if err == nil {
		h.trouble.Store(nil)
	} else {
		h.trouble.Store(&err)
		h.expect()
	}
	h.ended.Store(h.since(now))
	h.begun.Store(0)
}

// Read notes whether the changes of others could be read.
func (h *Health) Read(now time.Time, err error) {
	switch {
	case err == nil:
		h.unread.Store(0)
	case h.unread.Load() == 0:
		h.unread.Store(h.since(now))
	}
}

// Ready reports whether a commit would return now, as far as the last ones tell, and the
// changes of others are known. Its error says what is wrong, for the operator.
func (h *Health) Ready(now time.Time) error {
	if !h.asked.Swap(true) {
		h.expect()
	}
	at := h.since(now)
	if begun := h.begun.Load(); begun != 0 && at-begun > int64(readyWithin) {
		return fmt.Errorf("the database has not taken a commit for %s", time.Duration(at-begun).Round(time.Second))
	}
	if err := h.trouble.Load(); err != nil {
		return fmt.Errorf("the database takes no commit: %w", *err)
	}
	if since := h.unread.Load(); since != 0 && at-since > int64(readyWithin) {
		return fmt.Errorf("the changes of others cannot be read for %s", time.Duration(at-since).Round(time.Second))
	}
	return nil
}

// Trial reports whether a commit should be tried now: Ready was asked, or the last commit went
// wrong, and it is a while ago. So a server that no login comes to knows that its disk is
// full, and then that it no longer is.
func (h *Health) Trial(now time.Time) bool {
	if !h.Expected() || h.since(now)-h.ended.Load() < int64(trialAfter) {
		return false
	}
	h.asked.Store(false)
	return true
}
