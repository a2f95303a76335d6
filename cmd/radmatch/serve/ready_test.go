package serve

import (
	"errors"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

type storeState struct{ err error }

func (s *storeState) Ready() error { return s.err }

func TestReadiness(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	st := &storeState{}
	r := &readiness{store: st, log: zap.New(core)}
	for range 3 {
		if err := r.Ready(); err != nil {
			t.Fatalf("got %v, want nil", err)
		}
	}
	full := errors.New("disk is full")
	for range 2 { // the second time is within sayReadyEvery: neither line comes again
		st.err = full
		for range 3 {
			if err := r.Ready(); !errors.Is(err, full) {
				t.Fatalf("got %v, want %v", err, full)
			}
		}
		st.err = nil
		if err := r.Ready(); err != nil {
			t.Fatalf("got %v, want nil", err)
		}
	}
	var said []string
	for _, e := range logs.All() {
		said = append(said, e.Message)
	}
	if len(said) != 2 || said[1] != "ready again" {
		t.Errorf("said %q, want two lines, the second \"ready again\"", said)
	}
	r.drain()
	if err := r.Ready(); !errors.Is(err, errDraining) {
		t.Errorf("got %v, want %v", err, errDraining)
	}
}
