//go:build unix && !linux

package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// forbidCores keeps secrets and codes out of core files. Debuggers of the same
// user may look into the process: only Linux can keep them out.
func forbidCores() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core files: %w", err)
	}
	return nil
}
