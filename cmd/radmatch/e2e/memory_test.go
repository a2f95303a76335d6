package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/radius/wire"
)

// memoryGroup makes a control group with a limit and returns the command that runs
// another one in it. Where there are none, the test is skipped.
func memoryGroup(t *testing.T, limit int64) (wrapper []string) {
	t.Helper()
	root, file := "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
	if _, err := os.Stat(filepath.Join(root, file)); err != nil {
		root, file = "/sys/fs/cgroup", "memory.max"
	}
	dir := filepath.Join(root, fmt.Sprintf("radmatch-test-%d-%d", os.Getpid(), limit))
	err := os.Mkdir(dir, 0o755)
	if err == nil {
		t.Cleanup(func() {
			for range 100 { // its processes have just ended
				if os.Remove(dir) == nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
		err = os.WriteFile(filepath.Join(dir, file), fmt.Appendf(nil, "%d", limit), 0o644)
	}
	if err != nil {
		t.Skipf("no control group of its own: %v", err)
	}
	return []string{"sh", "-c", `echo $$ > "$0/cgroup.procs"; exec "$@"`, dir}
}

// TestSmallMemory: in a control group that is too small the server says so and
// ends; in a small one it serves, with fewer logins that may wait, and is not killed.
func TestSmallMemory(t *testing.T) {
	t.Parallel()
	t.Run("too small", func(t *testing.T) {
		t.Parallel()
		wrapper := memoryGroup(t, 96<<20)
		p := newServer(t, siteHead+siteClient)
		out, err := p.command(wrapper, "serve").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "the memory of this process is limited to 96 MiB, and it needs") || strings.Contains(err.Error(), "signal") {
			t.Errorf("%v: got %s; want \"the memory of this process is limited to 96 MiB, and it needs\" in the error, no \"signal\" in it", err, out)
		}
	})
	t.Run("small", func(t *testing.T) {
		t.Parallel()
		wrapper := memoryGroup(t, 256<<20)
		p := newServer(t, siteHead+siteClient)
		p.addTOTP("alice")
		p.start(wrapper...)
		p.await("server.log", "limits.pending is lowered")
		vpn := p.nasSocket("127.0.0.1")
		state := vpn.expect(signIn("alice", ""), wire.AccessChallenge).State()
		vpn.expect(answerTo("alice", state, totp("alice", 0)), wire.AccessAccept)
		p.stop()
	})
}
