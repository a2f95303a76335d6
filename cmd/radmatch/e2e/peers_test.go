package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// needPeer returns the path of a program that a test talks to. Where it is
// missing the test is skipped, but with CI=true it fails: nothing that CI calls
// green was left out. testdata/install-peers installs it.
func needPeer(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	for _, dir := range []string{"/usr/sbin", "/sbin"} { // not in everybody's PATH
		if err != nil {
			path, err = exec.LookPath(filepath.Join(dir, program))
		}
	}
	if err != nil {
		mustRun(t, program+" is missing: run testdata/install-peers as root")
	}
	return path
}

// mustRun skips the test for the given reason, but with CI=true it fails it.
func mustRun(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s (with CI=true no test may skip)", reason)
	}
	t.Skip(reason)
}
