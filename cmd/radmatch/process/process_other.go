//go:build unix && !linux

package process

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// ForbidCores keeps secrets and codes out of core files. Debuggers of the same
// user may look into the process: only Linux can keep them out.
func ForbidCores() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core files: %w", err)
	}
	return nil
}
