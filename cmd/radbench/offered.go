package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/otp"
)

// A fixed offered load: logins begin by schedule, however long those before take, and
// the time of each counts from when it was due. This is what a site sees; with a fixed
// number in flight a server that stands still is asked less.

// offeredLoad is a rate, with what radmatch may cost at it, of FreeRADIUS that keeps
// nothing and of FreeRADIUS that keeps as much.
type offeredLoad struct {
	rate            int
	ofBare, ofKeeps float64
}

var offeredLoads = []offeredLoad{{500, 1.5, 0.7}, {2000, 1.3, 0.6}}

const (
	offeredFor = 10 * time.Second
	idleFor    = 30 * time.Second
	maxIdle    = 0.3 // percent of a processor

	minuteRate = 8000 // logins a second
	minuteFor  = time.Minute
	maxLoaded  = 220 // MiB
)

// trio is a run of each server, one right after the other.
type trio [3]*result // radmatch, FreeRADIUS, FreeRADIUS that keeps as much

// offered runs all servers at each rate, in turns, and prints the medians.
func (b *bench) offered(ctx context.Context) error {
	var servers [3]*server
	for i, start := range []func(context.Context) (*server, error){b.startRadmatch, b.startFreeRADIUS, b.startKeeper} {
		s, err := start(ctx)
		if err != nil {
			return err
		}
		defer s.kill()
		servers[i] = s
	}
	if err := b.idle(ctx, servers[:]); err != nil {
		return err
	}
	runs := map[int][]trio{}
	for i := range b.pairs {
		b.note("round %d of %d", i+1, b.pairs)
		b.offeredHeader()
		skip := 0
		for _, o := range offeredLoads {
			l := load{mode: "totp", rate: o.rate, logins: o.rate * int(offeredFor/time.Second), skip: skip, duration: roomInStep}
			skip += l.logins
			t, err := b.trio(ctx, servers, l, i)
			if err != nil {
				return err
			}
			runs[o.rate] = append(runs[o.rate], t)
		}
	}
	b.offeredMedians(runs)
	servers[0].stop() // in order: its trail is read next
	return nil
}

// trio runs the servers, each in each place as often as the others.
func (b *bench) trio(ctx context.Context, servers [3]*server, l load, round int) (t trio, err error) {
	for n := range servers {
		i := (n + round) % len(servers)
		if err := awaitIdle(ctx, servers[:]...); err != nil {
			return t, err
		}
		if t[i], err = b.run(ctx, servers[i], l); err != nil {
			return t, err
		}
	}
	return t, nil
}

// idle measures what the servers use of a processor while nothing comes.
func (b *bench) idle(ctx context.Context, servers []*server) error {
	if err := awaitIdle(ctx, servers...); err != nil {
		return err
	}
	before := make([]time.Duration, len(servers))
	for i, s := range servers {
		var err error
		if before[i], err = s.cpu(); err != nil {
			return err
		}
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(idleFor):
	}
	for i, s := range servers {
		after, err := s.cpu()
		if err != nil {
			return err
		}
		percent := 100 * (after - before[i]).Seconds() / idleFor.Seconds()
		aim := ""
		if i == 0 {
			aim = ": " + reached(percent, maxIdle)
		}
		b.note("idle, %s: %.2f %% of a processor%s", s.name, percent, aim)
	}
	return nil
}

// minute offers 8,000 logins a second for a minute, and reports what is resident. Such
// a load of 100,000 users has more logins than TOTP has codes: they have counters, in a
// database of their own.
func (b *bench) minute(ctx context.Context) error {
	if err := os.RemoveAll(b.path("radmatch", "data")); err != nil {
		return err
	}
	if err := b.addCounters(ctx); err != nil {
		return err
	}
	s, err := b.startRadmatch(ctx)
	if err != nil {
		return err
	}
	defer s.kill()
	before, err := s.resident()
	if err != nil {
		return err
	}
	b.offeredHeader()
	// Resident memory is read at the end: Go gives nothing back so fast.
	r, err := b.run(ctx, s, load{mode: "hotp", rate: minuteRate, logins: minuteRate * int(minuteFor/time.Second), duration: 2 * minuteFor})
	if err != nil {
		return err
	}
	b.note("%d users, %d logins/s for %s: %.0f MiB resident, %.0f before: %s", b.users, minuteRate, minuteFor, r.resident, before, reached(r.resident, maxLoaded))
	return nil
}

// addCounters registers a HOTP token for each user.
func (b *bench) addCounters(ctx context.Context) error {
	st, err := store.Open(ctx, store.Options{Dir: b.path("radmatch", "data")})
	if err != nil {
		return err
	}
	defer st.Close()
	tokens := make([]otp.Token, b.users)
	for i := range tokens {
		tokens[i] = otp.NewHOTP(mfa.NameOf(userName(i)))
		tokens[i].Secret = tokenKey(i)
	}
	refused, err := st.AddTokens(ctx, tokens, mfa.Event{Kind: mfa.EventAdmin, Details: mfa.Details{Text: "benchmark"}})
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(refused, func(err error) bool { return err != nil }); i >= 0 {
		return fmt.Errorf("token of %s: %w", userName(i), refused[i])
	}
	return nil
}

func (b *bench) offeredHeader() {
	b.note("%-14s %9s %9s %8s %8s %8s %8s %6s %7s %6s %9s %9s", "", "offered/s", "logins/s", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "lost", "refused", "resent", "µs CPU", "MiB")
}

func (b *bench) offeredRow(name string, rate int, r *result) {
	b.note("%-14s %9d %9.0f %8.2f %8.2f %8.2f %8.2f %6d %7d %6d %9.1f %9.0f", name, rate, r.Rate, r.P50, r.P99, r.P999, r.Max, r.Lost, r.refused(), r.Retransmitted, r.cpu, r.resident)
}

// offeredMedians prints, for each rate, the medians of the runs, and those of the ratios
// of each round.
func (b *bench) offeredMedians(runs map[int][]trio) {
	b.note("medians of %d rounds", b.pairs)
	b.offeredHeader()
	for _, o := range offeredLoads {
		for i, name := range []string{radmatchName, freeradiusName, keeperName} {
			var all []*result
			for _, t := range runs[o.rate] {
				all = append(all, t[i])
			}
			b.offeredRow(name, o.rate, medianOf(all))
		}
	}
	b.note("radmatch / the others, medians of the ratios")
	b.note("%-14s %9s %8s %8s %9s", "", "offered/s", "p50", "p99", "CPU")
	for _, o := range offeredLoads {
		for i, most := range []float64{o.ofBare, o.ofKeeps} {
			ratio := func(f func(*result) float64) float64 {
				var all []float64
				for _, t := range runs[o.rate] {
					all = append(all, f(t[0])/f(t[1+i]))
				}
				return median(all)
			}
			cpu, p99 := ratio(func(r *result) float64 { return r.cpu }), ratio(func(r *result) float64 { return r.P99 })
			b.note("%-14s %9d %8.2f %8.2f %9.2f   CPU %s, p99 %s", []string{freeradiusName, keeperName}[i], o.rate,
				ratio(func(r *result) float64 { return r.P50 }), p99, cpu, reached(cpu, most), reached(p99, maxP99))
		}
	}
}
