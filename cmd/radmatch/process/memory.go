package process

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/config"
)

// The heap may grow further between collections than Go lets it by itself: most
// of it is users and tokens, which never become garbage, and p99 follows the
// collector. Above a limit the collector works harder instead. The limit follows
// what lives, so that many waiting logins do not keep the collector busy, but
// not beyond what the configured limits allow, nor what the machine gives. GOGC and
// GOMEMLIMIT in the environment win.
const (
	gcPercent = 400
	memoryAim = 168 << 20 // octets: 8,000 logins a second of 100,000 users stay below 220 MiB

	// mostGarbage is how far the heap may grow beyond what lives, where much does:
	// 100,000 waiting pushes stay below 1.2 GiB.
	mostGarbage = 160 << 20

	// What a waiting push and a connection take, with the garbage that they make.
	pendingMemory = 16 << 10
	connMemory    = 32 << 10

	// outsideGo is what the process has that Go does not count: its program,
	// SQLite's caches.
	outsideGo = 48 << 20
	// leastRoom is what serving takes beside users and tokens, with a few hundred
	// logins that wait.
	leastRoom    = 48 << 20
	leastPending = 500
)

// Memory is what the limit of Go's memory is drawn from.
type Memory struct {
	room    int64 // of the process; 0: no bound
	start   int64 // what is there when the server is ready
	pending int   // as many logins may wait
	conns   int   // as many connections there may be
}

// allowed is what the configured limits can fill.
func (m Memory) allowed() int64 {
	return max(memoryAim, m.start+min(m.start, mostGarbage), m.start+int64(m.pending)*pendingMemory+int64(m.conns)*connMemory)
}

// limit is what Go's memory may be while so much of it lives: twice that, so that
// the collector has time, but not much more garbage than logins make in some seconds.
func (m Memory) limit(live int64) int64 {
	n := min(max(memoryAim, m.start+min(m.start, mostGarbage), live+min(live, mostGarbage)), m.allowed())
	if m.room > 0 {
		n = min(n, m.ceiling())
	}
	return n
}

// ceiling is what Go may use of the room: the rest is not Go's, or comes faster
// than the collector.
func (m Memory) ceiling() int64 { return max(m.room-m.room/10-outsideGo, m.room/4) }

// fits returns how many logins may wait in the room beside the connections, at
// most m.pending. An error means that the server would be killed before long.
func (m Memory) fits() (int, error) {
	if m.room == 0 {
		return m.pending, nil
	}
	left := m.ceiling() - m.start - leastRoom
	n := (left - min(int64(m.conns)*connMemory, left/3)) / pendingMemory
	if n < int64(min(leastPending, m.pending)) {
		need := m.start + leastRoom + 3*leastPending*pendingMemory/2
		need = (need + outsideGo) * 10 / 9
		return 0, fmt.Errorf("the memory of this process is limited to %d MiB, and it needs %d MiB at least", m.room>>20, need>>20+1)
	}
	return int(min(n, int64(m.pending))), nil
}

// NewMemory looks how much there is, and keeps Go below it while users and tokens
// are loaded.
func NewMemory(conns int) *Memory {
	m := &Memory{room: memoryRoom("/proc", "/sys/fs/cgroup"), conns: conns}
	if m.room > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(m.ceiling())
	}
	return m
}

// Fit makes the limits of the configuration fit what there is, and refuses to
// serve where nothing does: a server that is killed while users wait, and again
// when it has started, is worse than one that says why.
func (m *Memory) Fit(cfg *config.Config, log *zap.Logger) error {
	m.start, m.pending = liveMemory(), cfg.Limits.Pending
	n, err := m.fits()
	if err != nil {
		return m.tooSmall(err)
	}
	if n < m.pending {
		log.Warn("limits.pending is lowered to what the memory of this process holds", zap.Int("pending", n), zap.Int("configured", m.pending), zap.Int64("memory_mib", m.room>>20))
		m.pending, cfg.Limits.Pending = n, n
		cfg.Limits.PendingPerClient = min(cfg.Limits.PendingPerClient, max(1, n/2))
	}
	return nil
}

func (m *Memory) tooSmall(err error) error {
	return &console.ExitError{Code: console.ExitConfig, Err: err, Hint: "raise MemoryMax of the unit, or the memory of the container or machine"}
}

// Ready sets the limit when everything is loaded. The data that was loaded may be too much.
func (m *Memory) Ready() error {
	m.start = liveMemory()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if _, err := m.fits(); err != nil {
		return m.tooSmall(fmt.Errorf("users and tokens are loaded: %w", err))
	}
	m.follow()
	return nil
}

// follow sets the limit by what lives now.
func (m *Memory) follow() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(m.limit(liveMemory()))
	}
}

// Run follows each collection until ctx ends: only then it is known anew what lives.
func (m *Memory) Run(ctx context.Context) {
	collected := make(chan struct{}, 1)
	for {
		tellCollected(collected)
		select {
		case <-ctx.Done():
			return
		case <-collected:
			m.follow()
		}
	}
}

// tellCollected sends to c, once, after the next collection: that of an object which nothing
// holds, and which is too large to share its place with others.
func tellCollected(c chan<- struct{}) {
	runtime.AddCleanup(new([64]byte), func(c chan<- struct{}) { c <- struct{}{} }, c)
}

// liveMemory is what the last collection has left, with the stacks and what Go
// needs for itself.
func liveMemory() int64 {
	s := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/memory/classes/metadata/mspan/inuse:bytes"},
		{Name: "/memory/classes/metadata/other:bytes"}, {Name: "/memory/classes/other:bytes"},
	}
	metrics.Read(s)
	var n uint64
	for i := range s {
		if s[i].Value.Kind() == metrics.KindUint64 {
			n += s[i].Value.Uint64()
		}
	}
	return int64(n)
}

// memoryRoom is the least of the memory limits of this process's control groups
// and of the machine's memory; 0 where none is known.
func memoryRoom(proc, cgroups string) int64 {
	room := int64(math.MaxInt64)
	if text, err := os.ReadFile(filepath.Join(proc, "meminfo")); err == nil {
		if _, rest, ok := strings.Cut("\n"+string(text), "\nMemTotal:"); ok {
			if fields := strings.Fields(rest); len(fields) > 0 {
				if kib, err := strconv.ParseInt(fields[0], 10, 64); err == nil {
					room = min(room, kib<<10)
				}
			}
		}
	}
	text, _ := os.ReadFile(filepath.Join(proc, "self/cgroup"))
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch {
		case parts[1] == "": // version 2, by itself or beside version 1
			room = min(room, groupRoom(cgroups, parts[2], "memory.max"), groupRoom(filepath.Join(cgroups, "unified"), parts[2], "memory.max"))
		case parts[1] == "memory" || strings.Contains(","+parts[1]+",", ",memory,"):
			room = min(room, groupRoom(filepath.Join(cgroups, "memory"), parts[2], "memory.limit_in_bytes"))
		}
	}
	if room > 1<<50 {
		return 0
	}
	return room
}

// groupRoom is the least limit of a control group and those above it. In a
// container the group's path is the host's, and its own group is the root.
func groupRoom(root, path, file string) int64 {
	room := int64(math.MaxInt64)
	for at := filepath.Clean("/" + path); ; at = filepath.Dir(at) {
		if text, err := os.ReadFile(filepath.Join(root, at, file)); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
				room = min(room, n)
			}
		} else if !errors.Is(err, os.ErrNotExist) {
			return room
		}
		if at == "/" {
			return room
		}
	}
}
