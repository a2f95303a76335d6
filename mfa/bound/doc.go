// Package bound keeps what unknown callers can make grow within limits of number and
// time. It has no goroutine, and imports nothing of ours, so that every package
// may use it.
//
// Choose by what happens when the limit is reached. A [Table] refuses the new and
// keeps what it has: for counters and for whatever is pending. A [Cache] forgets
// the oldest: for answers that can be asked for again. An [Hourly] is a table of log
// lines that need not be written again.
package bound
