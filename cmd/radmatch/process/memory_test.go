package process

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

const mib = 1 << 20

// TestMemoryLimit: the limit is twice what lives, from a floor on and up to so much
// garbage, and never more than the configured limits allow, nor than there is.
func TestMemoryLimit(t *testing.T) {
	tests := []struct {
		name       string
		m          Memory
		live, want int64 // MiB
	}{
		{"idle", Memory{start: 40 * mib, pending: 50_000, conns: 25_000}, 40, 168},
		{"few waiting pushes", Memory{start: 75 * mib, pending: 50_000, conns: 25_000}, 120, 240},
		{"20,000 waiting pushes", Memory{start: 75 * mib, pending: 50_000, conns: 25_000}, 250, 410},
		{"100,000 waiting pushes", Memory{start: 75 * mib, pending: 200_000, conns: 25_000}, 960, 1120},
		{"many users", Memory{start: 400 * mib, pending: 50_000, conns: 25_000}, 400, 560},
		{"more than the limits allow", Memory{start: 40 * mib, pending: 1000, conns: 1000}, 500, 168},
		{"a cgroup of 512 MiB", Memory{room: 512 * mib, start: 100 * mib, pending: 50_000, conns: 1000}, 300, 512 - 512/10 - 48},
		{"a tiny one", Memory{room: 60 * mib, start: 30 * mib, pending: 10, conns: 10}, 30, 15},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.m.limit(tt.live*mib) / mib; got < tt.want-1 || got > tt.want+1 {
				t.Errorf("got %d MiB; want %d", got, tt.want)
			}
		})
	}
}

func TestMemoryFits(t *testing.T) {
	tests := []struct {
		name    string
		m       Memory
		low, up int // how many may wait; up 0: refused
	}{
		{"no bound", Memory{pending: 50_000, conns: 25_000}, 50_000, 50_000},
		{"enough", Memory{room: 4096 * mib, start: 100 * mib, pending: 50_000, conns: 25_000}, 50_000, 50_000},
		{"1 GiB", Memory{room: 1024 * mib, start: 100 * mib, pending: 50_000, conns: 25_000}, 20_000, 40_000},
		{"256 MiB", Memory{room: 256 * mib, start: 40 * mib, pending: 50_000, conns: 25_000}, 1000, 5000},
		{"256 MiB with many users", Memory{room: 256 * mib, start: 150 * mib, pending: 50_000, conns: 25_000}, 0, 0},
		{"64 MiB", Memory{room: 64 * mib, start: 10 * mib, pending: 50_000, conns: 25_000}, 0, 0},
		{"few may wait", Memory{room: 256 * mib, start: 40 * mib, pending: 10, conns: 100}, 10, 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, err := tt.m.fits()
			if (err != nil) != (tt.up == 0) || err == nil && (n < tt.low || n > tt.up) {
				t.Errorf("got %d, %v; want %d to %d", n, err, tt.low, tt.up)
			}
		})
	}
}

// TestMemoryRoom reads the files of the kernel, of both versions of control groups,
// on a machine and in a container.
func TestMemoryRoom(t *testing.T) {
	const meminfo = "MemTotal:        2048000 kB\nMemFree: 1 kB\n"
	tests := []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"only the machine", map[string]string{"proc/meminfo": meminfo}, 2048000 << 10},
		{"nothing known", nil, 0},
		{"version 2", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/system.slice/radmatch.service\n",
			"cgroup/system.slice/radmatch.service/memory.max": "536870912\n", "cgroup/system.slice/memory.max": "max\n"}, 512 * mib},
		{"version 2, the slice is less", map[string]string{"proc/self/cgroup": "0::/system.slice/radmatch.service\n",
			"cgroup/system.slice/radmatch.service/memory.max": "max\n", "cgroup/system.slice/memory.max": "268435456\n"}, 256 * mib},
		{"a container", map[string]string{"proc/self/cgroup": "0::/\n", "cgroup/memory.max": "134217728\n"}, 128 * mib},
		{"version 1", map[string]string{"proc/self/cgroup": "5:cpu,memory:/x\n1:name=systemd:/x\n0::/\n",
			"cgroup/memory/x/memory.limit_in_bytes": "268435456\n", "cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 256 * mib},
		{"version 1 in a container", map[string]string{"proc/self/cgroup": "4:memory:/docker/abc\n", "cgroup/memory/memory.limit_in_bytes": "67108864\n"}, 64 * mib},
		{"no limit", map[string]string{"proc/self/cgroup": "4:memory:/\n", "cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range tt.files {
				file := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := memoryRoom(filepath.Join(dir, "proc"), filepath.Join(dir, "cgroup")); got != tt.want {
				t.Errorf("got %d; want %d", got, tt.want)
			}
		})
	}
}

// TestTellCollected: each collection is told once to who waits for it.
func TestTellCollected(t *testing.T) {
	collected := make(chan struct{}, 1)
	for range 3 {
		tellCollected(collected)
		runtime.GC()
		select {
		case <-collected:
		case <-time.After(10 * time.Second):
			t.Fatal("got nothing for 10 s; want a collection")
		}
	}
	select {
	case <-collected:
		t.Error("got a fourth collection; want three")
	default:
	}
}
