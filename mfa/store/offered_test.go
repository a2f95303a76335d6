package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BenchmarkOffered writes events that come at a fixed rate, and BenchmarkCrowd events of
// some users who wait for each. µs/row is processor time, sleeps/row how often a thread had
// nothing to do; p50 and p99 are from the queue to the disk.
func BenchmarkOffered(b *testing.B) {
	for _, rate := range []int{500, 2000, 8000} {
		b.Run(fmt.Sprint(rate), func(b *testing.B) {
			s := openServer(b, b.TempDir())
			took := make([]time.Duration, b.N)
			var wg sync.WaitGroup
			work := make(chan int, b.N)
			for range 64 {
				wg.Go(func() {
					for n := range work {
						took[n] = recordOne(b, s, n)
					}
				})
			}
			time.Sleep(100 * time.Millisecond)
			b.ResetTimer()
			before, begun := usage(b), time.Now()
			for n := range b.N {
				due := begun.Add(time.Duration(n) * time.Second / time.Duration(rate))
				time.Sleep(time.Until(due))
				work <- n
			}
			close(work)
			wg.Wait()
			reportOffered(b, took, before)
		})
	}
}

func BenchmarkCrowd(b *testing.B) {
	for _, users := range []int{1, 16, 128, 256} {
		b.Run(fmt.Sprint(users), func(b *testing.B) {
			s := openServer(b, b.TempDir())
			took := make([]time.Duration, b.N)
			var wg sync.WaitGroup
			b.ResetTimer()
			before := usage(b)
			for u := range users {
				wg.Go(func() {
					for n := u; n < b.N; n += users {
						took[n] = recordOne(b, s, n)
					}
				})
			}
			wg.Wait()
			reportOffered(b, took, before)
		})
	}
}

// recordOne writes one event, and returns how long that took.
func recordOne(b *testing.B, s *Store, n int) time.Duration {
	at := time.Now()
	ev := loginEvent(n)
	u, err := s.User(context.Background(), ev.User)
	if err == nil {
		ev.Token, ev.Step = "", 0
		err = s.Append(context.Background(), u.Version, ev)
	}
	if err != nil {
		b.Error(err)
	}
	return time.Since(at)
}

func usage(b *testing.B) (u syscall.Rusage) {
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u
}

func reportOffered(b *testing.B, took []time.Duration, before syscall.Rusage) {
	after := usage(b)
	used := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	slices.Sort(took)
	b.ReportMetric(float64(used)/1e3/float64(b.N), "µs/row")
	b.ReportMetric(float64(after.Nvcsw-before.Nvcsw)/float64(b.N), "sleeps/row")
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e3, "p99-µs")
}
