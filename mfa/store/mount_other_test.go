//go:build !linux

package store

import "testing"

func tmpfs(t *testing.T) string {
	t.Skip("mounts a file system, which is tested on Linux")
	return ""
}
