package serve

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestListenHint(t *testing.T) {
	for errno, want := range map[syscall.Errno]string{
		syscall.EADDRINUSE: "another program has the address", syscall.EACCES: "CAP_NET_BIND_SERVICE",
		syscall.EADDRNOTAVAIL: "no interface", syscall.EMFILE: "change listen.web",
	} {
		err := &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", errno)}
		if got := ListenHint(err, "listen.web"); !strings.Contains(got, want) || !strings.Contains(got, "change listen.web") {
			t.Errorf("%v: got %q, want %q", errno, got, want)
		}
	}
}
