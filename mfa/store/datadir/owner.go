package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrOwner means that root is about to work in a folder that another user owns.
// That user could put a link there, and root would write what it leads to.
var ErrOwner = errors.New("belongs to another user than root")

// Owner returns who decides what is at dir: the owner of the first part of its
// path that is not root's, by every link on the way. Where all of it is root's,
// or what is there of it, that is root.
func Owner(dir string) (uid, gid int, err error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return 0, 0, err
	}
	seen := 0
	return owner("/", strings.Split(abs, "/"), &seen)
}

// maxLinks is how many links a path may have, as the kernel has it.
const maxLinks = 40

// owner walks down from a folder of root.
func owner(at string, parts []string, links *int) (uid, gid int, err error) {
	for i, part := range parts {
		switch part {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, part)
		info, err := os.Lstat(next)
		if errors.Is(err, fs.ErrNotExist) {
			return 0, 0, nil
		}
		if err != nil {
			return 0, 0, err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && !outside(st.Uid) {
			return int(st.Uid), int(st.Gid), nil
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		if *links++; *links > maxLinks {
			return 0, 0, &fs.PathError{Op: "stat", Path: next, Err: syscall.ELOOP}
		}
		target, err := os.Readlink(next)
		if err != nil {
			return 0, 0, err
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		return owner(at, append(strings.Split(target, "/"), parts[i+1:]...), links)
	}
	return 0, 0, nil
}

// outside reports whether uid stands for the users that a user namespace does
// not have, such as a rootless container: its root has no power over their files.
func outside(uid uint32) bool {
	const overflow = 65534
	if uid != overflow {
		return false
	}
	text, err := os.ReadFile("/proc/self/uid_map")
	fields := strings.Fields(string(text))
	return err == nil && len(fields) == 3 && fields[2] != "4294967295" && fields[2] != "4294967294"
}

// NotForeign refuses root in a folder that another user owns.
func NotForeign(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, _, err := Owner(dir)
	if err == nil && uid != 0 {
		err = fmt.Errorf("%w: uid %d; become that user first", ErrOwner, uid)
	}
	return err
}
