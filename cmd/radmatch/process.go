package main

import (
	"errors"
	"net"
	"os"
	"runtime/pprof"
)

// profileCPU begins a CPU profile and returns what ends it.
func profileCPU(file string) (stop func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}

// tell sends a state to the service manager, if there is one (sd_notify(3)). It
// is advice: an error changes nothing.
func tell(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	c, err := net.Dial("unixgram", path)
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = c.Write([]byte(state))
}
