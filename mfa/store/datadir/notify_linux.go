package datadir

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Listen hears Notify until Close. AppliedFile must be there. An error means that the system
// has no more watches, or none.
func Listen(dir string) (*Notices, error) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	n := &Notices{events: os.NewFile(uintptr(fd), "inotify"), come: make(chan struct{}, 1)}
	// The server itself writes to the file, but only Notify changes its attributes.
	if _, err := unix.InotifyAddWatch(fd, filepath.Join(dir, AppliedFile), unix.IN_ATTRIB|unix.IN_DONT_FOLLOW); err != nil {
		n.events.Close()
		return nil, os.NewSyscallError("inotify_add_watch", err)
	}
	go n.read()
	return n, nil
}
