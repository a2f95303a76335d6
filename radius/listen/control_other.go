//go:build !linux

package listen

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// control prepares a socket before it is bound: it shares its port. Where the
// kernel is not Linux, answers from a wildcard address leave from the address
// that the routing table selects.
func (k *socket) control(_, _ string, raw syscall.RawConn) error {
	var err error
	ctlErr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	if ctlErr != nil {
		return ctlErr
	}
	return err
}
