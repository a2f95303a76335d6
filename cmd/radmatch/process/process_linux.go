package process

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// ForbidCores keeps secrets and codes out of core files, and other users'
// debuggers out of the process.
func ForbidCores() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid core files: %w", err)
	}
	return nil
}
