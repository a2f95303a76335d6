package main

import (
	"errors"
	"net"
	"os"
	"runtime"
	"runtime/debug"
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

// The heap may grow further between collections than Go lets it by itself: most
// of it is users and tokens, which never become garbage, and p99 follows the
// collector. Above memoryAim, or three times what is there at the start where
// that is more, the collector works harder instead. GOGC and GOMEMLIMIT in the
// environment win.
const (
	gcPercent = 400
	memoryAim = 368 << 20 // octets: 20,000 waiting pushes stay below 400 MiB
)

func tuneGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		debug.SetMemoryLimit(max(memoryAim, 3*int64(m.Sys-m.HeapReleased)))
	}
}
