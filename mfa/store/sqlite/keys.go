package sqlite

import (
	"context"
	"fmt"
	"slices"

	"github.com/radmatch/radmatch/mfa/store/datadir"
)

// Lacking implements store.Backend. A server reads the file in data_dir itself when it needs to.
func (d *DB) Lacking(_ context.Context, key string) ([]string, error) {
	if !d.Keys.Shared {
		return nil, nil
	}
	running, err := datadir.ReadServing(d.dir)
	if err != nil || running == nil || slices.Contains(running.Keys, key) {
		return nil, err
	}
	return []string{fmt.Sprintf("the running server (process %d)", running.PID)}, nil
}
