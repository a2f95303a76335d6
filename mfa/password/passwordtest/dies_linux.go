package passwordtest

import "syscall"

// diesWithTest is for a server that a test which is killed takes along.
func diesWithTest() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
