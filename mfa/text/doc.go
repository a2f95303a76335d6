// Package text makes texts fit for where they are shown. It has no goroutine, and
// imports nothing of ours, so that every package may use it.
package text
