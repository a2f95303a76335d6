package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa/store/datadir"
	"github.com/radmatch/radmatch/mfa/store/op"
)

// How long a command waits for the server to see a change, from the last sign
// of progress, and how often it looks.
const (
	seenTimeout = 5 * time.Second
	seenPoll    = 5 * time.Millisecond
)

// Acknowledge implements store.Backend. It is not synced: after a crash the server reads
// everything anyway.
func (d *DB) Acknowledge(id int64) error {
	_, err := d.ack.WriteAt(fmt.Appendf(nil, "%020d\n", id), 0)
	return err
}

func readApplied(path string) int64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	id, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return id
}

// AwaitServer implements store.Backend.
func (d *DB) AwaitServer(ctx context.Context, id int64) error {
	var last int64
	deadline := time.Now().Add(seenTimeout)
	tick := time.NewTicker(seenPoll)
	defer tick.Stop()
	for {
		applied := readApplied(d.path(appliedFile))
		if applied >= id {
			return nil
		}
		pid, running := datadir.Holder(d.path(datadir.LockFile))
		if !running {
			return nil
		}
		if applied > last {
			last, deadline = applied, time.Now().Add(seenTimeout)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w (process %d) within %s", op.ErrNotSeen, pid, seenTimeout)
		}
		select {
		case <-ctx.Done():
			return errors.Join(op.ErrNotSeen, ctx.Err())
		case <-tick.C:
		}
	}
}
