package passwordtest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// insideHost tells the process of InHost that it is the inner one.
const insideHost = "RADMATCH_TEST_HOST"

// HostAddress is the address of the host, beside those of loopback: Samba resolves
// no name to such a one. It is of those that documentation has (RFC 5737), on the
// loopback device.
const HostAddress = "192.0.2.10"

// hostDir is an empty file system on the host. It has a short name: paths of
// Samba's sockets, of which only 107 octets are used, begin with it.
const hostDir = "/mnt"

// InHost runs test on a host of its own, which test may do with as it likes. The
// test program runs itself once more for that, in namespaces of its own: there the
// well-known ports are free, what is mounted is seen by nobody else, and all that
// was started ends with it. t must be a test of the top level that does nothing
// else.
func InHost(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	if os.Getenv(insideHost) != "" {
		isolate(t)
		test(t)
		return
	}
	NeedPrograms(t, "ip", "unshare", "mount")
	if os.Geteuid() != 0 {
		mustRun(t, "a host of its own needs root")
	}
	end, ok := t.Deadline()
	if !ok {
		end = time.Now().Add(8 * time.Minute)
	}
	ctx, cancel := context.WithDeadline(t.Context(), end.Add(-5*time.Second)) // time to end it
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.v", "-test.run=^"+regexp.QuoteMeta(t.Name())+"$")
	cmd.Env = append(os.Environ(), insideHost+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("on the host: %v\n%s; want no error", err, out)
	}
	if !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("the test did not run on the host:\n%s", out)
	}
	t.Logf("on the host:\n%s", out)
}

// NeedPrograms skips the test where one of programs is missing, but with CI=true
// it fails it.
func NeedPrograms(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := findProgram(program); err != nil {
			mustRun(t, err.Error())
		}
	}
}

// mustRun skips the test, but with CI=true it fails it.
func mustRun(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s (with CI=true no test may skip)", reason)
	}
	t.Skip(reason)
}

// isolate mounts what shall be this process's own, and gives the host its address.
func isolate(t *testing.T) {
	t.Helper()
	err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
	if err == nil {
		err = errors.Join(syscall.Mount("proc", "/proc", "proc", 0, ""), syscall.Mount("none", hostDir, "tmpfs", 0, "mode=755"))
	}
	if err != nil {
		t.Fatal(err)
	}
	run(t, "", "ip", "link", "set", "lo", "up")
	run(t, "", "ip", "address", "add", HostAddress+"/24", "dev", "lo")
}

// OwnEtc lets the host of InHost have an /etc of its own, a copy, and an empty /run.
func OwnEtc(t *testing.T) {
	t.Helper()
	run(t, "", "cp", "-a", "/etc", hostDir+"/etc")
	for _, err := range []error{bind(hostDir+"/etc", "/etc"), syscall.Mount("none", "/run", "tmpfs", 0, "mode=755")} {
		if err != nil {
			t.Fatal(err)
		}
	}
}
