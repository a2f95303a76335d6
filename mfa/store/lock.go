package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// How long a command waits for the server to see a change, from the last sign
// of progress, and how often it looks.
const (
	seenTimeout = 5 * time.Second
	seenPoll    = 5 * time.Millisecond
)

// acquire takes the server's lock and writes the process id into it. A command
// that looks who holds the lock has it for a moment, so that it is tried again
// for a while.
func acquire(path string) (_ *os.File, err error) {
	f, err := openOwn(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	for range 20 {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("%w: process %d", ErrInUse, lockPID(path))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: lock: %w", path, err)
	}
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return f, err
}

// holder tells whether a server holds the lock, and its process id.
func holder(path string) (pid int, ok bool) {
	f, err := os.Open(path)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return lockPID(path), true
	}
	return 0, false
}

func lockPID(path string) int {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return max(pid, 0) // a negative one would mean a group of processes
}

// acknowledge tells commands that memory holds all changes up to id. It is not
// synced: after a crash the server reads everything anyway.
func (s *Store) acknowledge(id int64) error {
	_, err := s.ack.WriteAt(fmt.Appendf(nil, "%020d\n", id), 0)
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

// awaitServer returns when a server, if one runs, has seen the change.
func (s *Store) awaitServer(ctx context.Context, id int64) error {
	var last int64
	deadline := time.Now().Add(seenTimeout)
	tick := time.NewTicker(seenPoll)
	defer tick.Stop()
	for {
		applied := readApplied(s.path(appliedFile))
		if applied >= id {
			return nil
		}
		pid, running := holder(s.path(lockFile))
		if !running {
			return nil
		}
		if applied > last {
			last, deadline = applied, time.Now().Add(seenTimeout)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w (process %d) within %s", ErrNotSeen, pid, seenTimeout)
		}
		select {
		case <-ctx.Done():
			return errors.Join(ErrNotSeen, ctx.Err())
		case <-tick.C:
		}
	}
}

// openOwn opens a file of the server, never through a link.
func openOwn(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
}

// syncDir makes a rename or a new file in dir last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// exists reports whether there is a file at path.
func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
