package process

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"github.com/radmatch/radmatch/mfa/store/datadir"
)

// BecomeOwner makes a process of root's the owner of data_dir, before anything
// there is opened: anyone who owns a folder can put a link in it, and root would
// write what it leads to. back, where it is not nil, makes it root again, also after
// an error; there is none where lasting is set, as for a server. Anybody but root is
// left alone, and so is root in root's own folder.
func BecomeOwner(dir string, lasting bool) (back func() error, err error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	uid, gid, err := datadir.Owner(dir)
	if err != nil || uid == 0 {
		return nil, err
	}
	groups, err := syscall.Getgroups()
	if err != nil {
		return nil, err
	}
	setGID, setUID := syscall.Setegid, syscall.Seteuid
	if lasting {
		setGID, setUID = syscall.Setgid, syscall.Setuid
	} else {
		back = func() error { return become(0, os.Getgid(), groups, setGID, setUID) }
	}
	var own []int
	if gid, own, err = groupsOf(uid, gid); err == nil {
		err = become(uid, gid, own, setGID, setUID)
	}
	if err != nil {
		return back, fmt.Errorf("become the owner of %s, user %d: %w", dir, uid, err)
	}
	return back, nil
}

// become takes the ids on, in the order that lets it: to give root up comes
// last, to be root again comes first.
func become(uid, gid int, groups []int, setGID, setUID func(int) error) error {
	if uid == 0 {
		if err := setUID(uid); err != nil {
			return err
		}
	}
	if err := syscall.Setgroups(groups); err != nil {
		return err
	}
	if err := setGID(gid); err != nil {
		return err
	}
	return setUID(uid)
}

// groupsOf returns the groups of a user as a login has them. One that the
// machine does not know, as in a container, has that of its folder, unless that is root's.
func groupsOf(uid, folder int) (gid int, all []int, err error) {
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		if folder == 0 {
			folder = uid
		}
		return folder, []int{folder}, nil
	}
	if gid, err = strconv.Atoi(u.Gid); err != nil {
		return 0, nil, err
	}
	ids, err := u.GroupIds()
	if err != nil {
		return 0, nil, err
	}
	for _, id := range ids {
		n, err := strconv.Atoi(id)
		if err != nil {
			return 0, nil, err
		}
		all = append(all, n)
	}
	return gid, all, nil
}
