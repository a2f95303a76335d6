package health

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestReady walks through what happens to a database, second by second.
func TestReady(t *testing.T) {
	start := time.Now()
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	full := errors.New("disk is full")
	var h Health
	h.Start(start)
	for _, step := range []struct {
		what string
		do   func()
		now  float64
		want string // in the error of Ready; empty: ready
	}{
		{"nothing yet", func() {}, 0, ""},
		{"a commit", func() { h.Begin(at(1)); h.End(at(1.1), nil) }, 60, ""},
		{"one on its way", func() { h.Begin(at(60)) }, 61.9, ""},
		{"one that does not return", func() {}, 63, "has not taken a commit for 3s"},
		{"it returns", func() { h.End(at(64), nil) }, 64, ""},
		{"one fails", func() { h.Begin(at(70)); h.End(at(70), full) }, 70, "takes no commit: disk is full"},
		{"it stays so", func() {}, 500, "takes no commit: disk is full"},
		{"one goes well", func() { h.Begin(at(501)); h.End(at(501), nil) }, 501, ""},
		{"changes cannot be read", func() { h.Read(at(502), full); h.Read(at(503), full) }, 503.9, ""},
		{"for long", func() { h.Read(at(504), full) }, 504.1, "changes of others cannot be read for 2s"},
		{"they can", func() { h.Read(at(505), nil) }, 505, ""},
	} {
		step.do()
		err := h.Ready(at(step.now))
		if step.want == "" && err != nil || step.want != "" && (err == nil || !strings.Contains(err.Error(), step.want)) {
			t.Errorf("%s: got %v, want %q", step.what, err, step.want)
		}
	}
}

// TestTrial wants a trial after a question or a failure, and at most one a second.
func TestTrial(t *testing.T) {
	start := time.Now()
	var h Health
	h.Start(start)
	trial := func(after time.Duration, want bool) {
		t.Helper()
		if got := h.Trial(start.Add(after)); got != want {
			t.Errorf("at %v: got %v, want %v", after, got, want)
		}
	}
	trial(time.Hour, false) // Ready was not asked
	h.Ready(start.Add(time.Hour))
	trial(time.Hour, true)
	h.Begin(start.Add(time.Hour))
	h.End(start.Add(time.Hour), nil)
	h.Ready(start.Add(time.Hour))
	trial(time.Hour+500*time.Millisecond, false)
	trial(time.Hour+time.Second, true)
	trial(2*time.Hour, false)
	h.Begin(start.Add(2 * time.Hour))
	h.End(start.Add(2*time.Hour), errors.New("disk is full"))
	trial(2*time.Hour+time.Second, true)
	trial(2*time.Hour+2*time.Second, true) // until one goes well
}
