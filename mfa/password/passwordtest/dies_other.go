//go:build unix && !linux

package passwordtest

import "syscall"

// diesWithTest: the server of a test that is killed stays; there is no way to say
// otherwise.
func diesWithTest() *syscall.SysProcAttr { return nil }
