package datadir

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Notices are what commands tell the server of one folder.
type Notices struct {
	events *os.File
	come   chan struct{}
}

// Come receives after commands have told something; many may be one. It is closed when they
// cannot be heard any longer.
func (n *Notices) Come() <-chan struct{} { return n.come }

// Close ends the listening.
func (n *Notices) Close() error { return n.events.Close() }

// read takes what the kernel says of AppliedFile, which is watched for nothing else.
func (n *Notices) read() {
	defer close(n.come)
	var buf [4096]byte
	for {
		if _, err := n.events.Read(buf[:]); err != nil {
			return // closed
		}
		select {
		case n.come <- struct{}{}:
		default:
		}
	}
}

// Notify tells the server that works in dir that something has changed, by the time of
// AppliedFile. It is advice: a server that does not hear it looks by itself a little later.
func Notify(dir string) {
	_ = unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, AppliedFile), nil, unix.AT_SYMLINK_NOFOLLOW)
}
