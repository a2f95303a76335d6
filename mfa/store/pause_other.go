//go:build !linux

package store

import "time"

// pause sleeps for d.
func pause(d time.Duration) { time.Sleep(d) }
