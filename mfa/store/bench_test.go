package store

import (
	"context"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/postgrestest"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/otp"
)

func openCommand(tb testing.TB, dir string) *Store {
	tb.Helper()
	s, err := Open(context.Background(), Options{Dir: dir})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

func openServer(tb testing.TB, dir string) *Store {
	tb.Helper()
	s, err := Open(context.Background(), Options{Dir: dir, Server: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

func loginEvent(n int) mfa.Event {
	return mfa.Event{
		ID: fmt.Sprintf("k7f%09d", n), Time: time.Now(), Kind: mfa.EventLogin, Origin: mfa.Origin{Client: "vpn", Group: "edge", User: mfa.NameOf(fmt.Sprintf("user%05d@example.org", n%100_000)), EndUser: "198.51.100.7", Source: "203.0.113.10:41234"},
		Plan: mfa.PlanOTP, Reason: mfa.ReasonDefaultOTP, Outcome: mfa.Accept, Method: "totp",
		Token: fmt.Sprintf("tok%09d", n%100_000), Step: int64(57_000_000 + n), Primary: 12 * time.Microsecond,
		Factor: 8 * time.Second, Total: 8*time.Second + time.Millisecond,
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCommit is one group commit; µs/login is CPU time.
func BenchmarkCommit(b *testing.B) {
	for _, size := range []int{1, 8, 32, 128} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := openServer(b, b.TempDir())
			s.stop() // no folding beside it
			rows := make([]record.Row, size)
			n := 0
			before := cpu()
			for b.Loop() {
				for i := range rows {
					n++
					ev := loginEvent(n)
					ev.Used = true
					r, err := record.NewRow(ev, s.opt.Now())
					if err != nil {
						b.Fatal(err)
					}
					rows[i] = r
				}
				if _, err := commit(s, rows); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpu()-before).Nanoseconds())/1e3/float64(n), "µs/login")
		})
	}
}

// BenchmarkAppendPostgres commits batches of numbered entries: what that costs the node, and
// the database.
func BenchmarkAppendPostgres(b *testing.B) {
	for _, size := range []int{1, 8, 32, 128} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			server := postgrestest.Start(b)
			s, err := Open(b.Context(), Options{Dir: b.TempDir(), Server: true, URL: server.URL(server.NewDatabase(b)), Standby: "none", Node: "a"})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { s.Close() })
			s.stop() // no folding beside it
			rows := make([]record.Row, size)
			n := 0
			before, database := cpu(), server.CPU()
			for round := int64(1); b.Loop(); round++ {
				for i := range rows {
					n++
					ev := loginEvent(n)
					ev.User, ev.Token, ev.Step, ev.Used = mfa.NameOf(fmt.Sprint("user", i)), "token", round, true
					r, err := record.NewRow(ev, s.opt.Now())
					if err != nil {
						b.Fatal(err)
					}
					r.Seq = round
					rows[i] = r
				}
				if kept, err := s.db.Append(rows); err != nil || kept != nil {
					b.Fatal(kept, err)
				}
			}
			b.ReportMetric(float64((cpu()-before).Nanoseconds())/1e3/float64(n), "node-µs/login")
			b.ReportMetric(float64((server.CPU()-database).Nanoseconds())/1e3/float64(n), "database-µs/login")
		})
	}
}

// fill writes n users with a token each.
func fill(tb testing.TB, s *Store, n int) {
	tb.Helper()
	tokens := make([]otp.Token, n)
	for i := range tokens {
		t := otp.NewTOTP(mfa.NameOf(fmt.Sprintf("user%05d@example.org", i)))
		t.ID, t.Serial, t.Label = fmt.Sprintf("tok%09d", i), fmt.Sprintf("S%07d", i), "Feitian c200"
		tokens[i] = t
	}
	if _, err := s.AddTokens(context.Background(), tokens, mfa.Event{Details: mfa.Details{Text: "fill"}}); err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkOpen is the start of a server with 100,000 users and a tail of
// events that are not folded.
func BenchmarkOpen(b *testing.B) {
	for _, tail := range []int{0, 500_000} {
		b.Run(fmt.Sprintf("tail=%d", tail), func(b *testing.B) {
			dir := b.TempDir()
			s, err := Open(context.Background(), Options{Dir: dir, Server: true})
			if err != nil {
				b.Fatal(err)
			}
			fill(b, s, 100_000)
			s.stop() // no folding
			for n := 0; n < tail; {
				rows := make([]record.Row, 1000)
				for i := range rows {
					ev := loginEvent(n)
					ev.Used = true
					rows[i], _ = record.NewRow(ev, s.opt.Now())
					n++
				}
				if _, err := commit(s, rows); err != nil {
					b.Fatal(err)
				}
			}
			s.Close()
			for b.Loop() {
				before := cpu()
				s, err := Open(context.Background(), Options{Dir: dir, Server: true})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric((cpu() - before).Seconds(), "CPU-s")
				b.StopTimer()
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "heap-MiB")
				s.Close()
				b.StartTimer()
			}
		})
	}
}
