package datadir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// AppliedFile has the number of the last change that the server works with. Commands wait
// for it.
const AppliedFile = "applied"

// ErrNotSeen means that a change is on disk, but the server beside this process has not
// taken it over in time.
var ErrNotSeen = errors.New("written, but the running server has not taken it over")

// SilentError is ErrNotSeen of nodes that share a database: the change is in force there all
// the same, since no login is accepted that was decided without it.
type SilentError struct {
	Nodes string // their names
}

func (e *SilentError) Error() string {
	return e.Nodes + " has not seen it yet: no login of those it concerns is accepted there until it has"
}

// Is makes it ErrNotSeen.
func (e *SilentError) Is(target error) bool { return target == ErrNotSeen }

// How long a command waits for the server to see a change, from the last sign
// of progress, and how often it looks.
const (
	seenTimeout = 5 * time.Second
	seenPoll    = 5 * time.Millisecond
)

// WriteApplied writes the number of a change to the open AppliedFile. It is not synced:
// after a crash the server reads everything anyway.
func WriteApplied(f *os.File, change int64) error {
	_, err := f.WriteAt(fmt.Appendf(nil, "%020d\n", change), 0)
	return err
}

func readApplied(dir string) int64 {
	b, err := os.ReadFile(filepath.Join(dir, AppliedFile))
	if err != nil {
		return 0
	}
	change, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return change
}

// AwaitApplied returns when the server that works in dir has a change, or none runs
// there. ErrNotSeen where it makes no progress for a time, or ctx ends.
func AwaitApplied(ctx context.Context, dir string, change int64) error {
	var last int64
	deadline := time.Now().Add(seenTimeout)
	tick := time.NewTicker(seenPoll)
	defer tick.Stop()
	for {
		applied := readApplied(dir)
		if applied >= change {
			return nil
		}
		pid, running := Holder(filepath.Join(dir, LockFile))
		if !running {
			return nil
		}
		if applied > last {
			last, deadline = applied, time.Now().Add(seenTimeout)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w (process %d) within %s", ErrNotSeen, pid, seenTimeout)
		}
		select {
		case <-ctx.Done():
			return errors.Join(ErrNotSeen, ctx.Err())
		case <-tick.C:
		}
	}
}
