//go:build !linux

package listen

import (
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// oobSize is unused here.
const oobSize = 64

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

func readControl([]byte) (local netip.Addr, at time.Time) { return netip.Addr{}, time.Time{} }

func appendLocal(oob []byte, _ netip.Addr) []byte { return oob }
