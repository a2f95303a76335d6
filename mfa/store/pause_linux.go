package store

import (
	"time"

	"golang.org/x/sys/unix"
)

// pause sleeps for d, to a tenth of a millisecond. Go's own timers are good to a
// millisecond where nothing else happens.
func pause(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil) // a signal may end it early
}
