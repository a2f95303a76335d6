package process

import (
	"errors"
	"net"
	"os"
	"runtime/pprof"
)

// ProfileCPU begins a CPU profile and returns what ends it.
func ProfileCPU(file string) (stop func(), err error) {
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

// Tell sends a state to the service manager, if there is one (sd_notify(3)). It
// is advice: an error changes nothing.
func Tell(state string) {
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
