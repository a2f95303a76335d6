package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// The aims of a pair of runs, as the median of all pairs.
const (
	maxCPU = 0.7
	maxP99 = 1.2
)

// roomInStep is how long a run may take at most.
const roomInStep = 12 * time.Second

// pair is a run of radmatch and one of FreeRADIUS, one right after the other.
type pair struct{ ours, theirs *result }

// startUp measures the time from start to ready, and what is resident then.
func (b *bench) startUp(ctx context.Context, what string) error {
	var took, resident []float64
	for range 3 {
		s, err := b.startRadmatch(ctx)
		if err != nil {
			return err
		}
		r, err := s.resident()
		s.stop()
		if err != nil {
			return err
		}
		took, resident = append(took, s.took.Seconds()), append(resident, r)
	}
	b.note("radmatch, %d users and tokens, %s: ready after %.2f s (to reach: 3 s), %.0f MiB resident", b.users, what, median(took), median(resident))
	return nil
}

// floor measures the bare UDP echo.
func (b *bench) floor(ctx context.Context) error {
	s, err := b.startEcho(ctx)
	if err != nil {
		return err
	}
	defer s.kill()
	b.header()
	for _, level := range b.levels {
		r, err := b.runEcho(s, level, b.perLevel())
		if err != nil {
			return err
		}
		b.row(s, level, r)
	}
	return nil
}

// compare runs all pairs and prints their medians.
func (b *bench) compare(ctx context.Context) error {
	theirs, err := b.startFreeRADIUS(ctx)
	if err != nil {
		return err
	}
	defer theirs.kill()
	b.note("FreeRADIUS, the same users: ready after %.2f s", theirs.took.Seconds())
	ours, err := b.startRadmatch(ctx)
	if err != nil {
		return err
	}
	defer ours.stop()
	whole, err := newTally(ours, theirs)
	if err != nil {
		return err
	}
	pairs := map[int][]pair{}
	for i := range b.pairs {
		b.note("pair %d of %d", i+1, b.pairs)
		b.header()
		for j, level := range b.levels {
			l := load{mode: "totp", inFlight: level, logins: b.perLevel(), skip: j * b.perLevel(), duration: roomInStep}
			p, err := b.pair(ctx, ours, theirs, l, i%2 == 1)
			if err != nil {
				return err
			}
			pairs[level] = append(pairs[level], p)
		}
	}
	b.medians(pairs, maxCPU)
	return whole.print(b, b.pairs*len(b.levels)*b.perLevel())
}

// pair runs both servers, each first in every second pair.
func (b *bench) pair(ctx context.Context, ours, theirs *server, l load, swap bool) (p pair, err error) {
	turns := []struct {
		s  *server
		to **result
	}{{ours, &p.ours}, {theirs, &p.theirs}}
	if swap {
		slices.Reverse(turns)
	}
	for _, t := range turns {
		if err := awaitIdle(ctx, ours, theirs); err != nil {
			return p, err
		}
		if *t.to, err = b.run(ctx, t.s, l); err != nil {
			return p, err
		}
	}
	return p, nil
}

// awaitIdle returns when no server has anything left to do, such as bringing the
// events of its last run into order: the next run, of either, would pay for it.
func awaitIdle(ctx context.Context, servers ...*server) error {
	for _, s := range servers {
		for idle := false; !idle; {
			before, err := s.cpu()
			if err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(500 * time.Millisecond):
			}
			after, err := s.cpu()
			if err != nil {
				return err
			}
			idle = after-before <= 20*time.Millisecond
		}
	}
	return nil
}

func (b *bench) header() {
	b.note("%-11s %9s %9s %8s %8s %6s %7s %6s %9s %9s", "", "in flight", "logins/s", "p50 ms", "p99 ms", "lost", "refused", "resent", "µs CPU", "MiB")
}

func (b *bench) row(s *server, inFlight int, r *result) {
	b.note("%-11s %9d %9.0f %8.2f %8.2f %6d %7d %6d %9.1f %9.0f", s.name, inFlight, r.Rate, r.P50, r.P99, r.Lost, r.refused(), r.Retransmitted, r.cpu, r.resident)
}

// medians prints, for each level, the medians of the runs, and the medians of
// the ratios of each pair. most is what the one of the processor time should be.
func (b *bench) medians(pairs map[int][]pair, most float64) {
	b.note("medians of %d pairs", b.pairs)
	b.header()
	for _, level := range b.levels {
		for _, side := range []struct {
			s    *server
			pick func(pair) *result
		}{
			{&server{name: radmatchName}, func(p pair) *result { return p.ours }},
			{&server{name: freeradiusName}, func(p pair) *result { return p.theirs }},
		} {
			b.row(side.s, level, medianResult(pairs[level], side.pick))
		}
	}
	b.note("radmatch / FreeRADIUS, medians of the ratios")
	b.note("%9s %9s %8s %8s %9s %9s", "in flight", "logins/s", "p50", "p99", "CPU", "MiB")
	for _, level := range b.levels {
		ratio := func(f func(*result) float64) float64 {
			var all []float64
			for _, p := range pairs[level] {
				all = append(all, f(p.ours)/f(p.theirs))
			}
			return median(all)
		}
		cpu, p99 := ratio(func(r *result) float64 { return r.cpu }), ratio(func(r *result) float64 { return r.P99 })
		b.note("%9d %9.2f %8.2f %8.2f %9.2f %9.2f   CPU %s, p99 %s", level, ratio(func(r *result) float64 { return r.Rate }),
			ratio(func(r *result) float64 { return r.P50 }), p99, cpu, ratio(func(r *result) float64 { return r.resident }),
			reached(cpu, most), reached(p99, maxP99))
	}
}

// tally is the processor time of both servers over all runs and between them.
// radmatch puts its audit trail in order while it is idle: that is in here.
type tally struct {
	servers [2]*server
	before  [2]time.Duration
}

func newTally(ours, theirs *server) (t *tally, err error) {
	t = &tally{servers: [2]*server{ours, theirs}}
	for i, s := range t.servers {
		if t.before[i], err = s.cpu(); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *tally) print(b *bench, logins int) error {
	var each [2]float64
	for i, s := range t.servers {
		after, err := s.cpu()
		if err != nil {
			return err
		}
		each[i] = float64((after - t.before[i]).Microseconds()) / float64(logins)
	}
	b.note("with what they do between the runs: %.1f and %.1f µs CPU a login, ratio %.2f", each[0], each[1], each[0]/each[1])
	return nil
}

func medianResult(pairs []pair, pick func(pair) *result) *result {
	var all []*result
	for _, p := range pairs {
		all = append(all, pick(p))
	}
	return medianOf(all)
}

// medianOf is the median of each figure, and the sum of what went wrong.
func medianOf(runs []*result) *result {
	of := func(f func(*result) float64) float64 {
		var all []float64
		for _, r := range runs {
			all = append(all, f(r))
		}
		return median(all)
	}
	m := &result{cpu: of(func(r *result) float64 { return r.cpu }), resident: of(func(r *result) float64 { return r.resident })}
	m.Rate, m.P50, m.P99 = of(func(r *result) float64 { return r.Rate }), of(func(r *result) float64 { return r.P50 }), of(func(r *result) float64 { return r.P99 })
	m.P999, m.Max = of(func(r *result) float64 { return r.P999 }), of(func(r *result) float64 { return r.Max })
	for _, r := range runs {
		m.Lost += r.Lost
		m.Rejected += r.refused()
		m.Retransmitted += r.Retransmitted
	}
	return m
}

func reached(got, most float64) string {
	if got <= most {
		return fmt.Sprintf("reached (%.1f)", most)
	}
	return fmt.Sprintf("MISSED (%.1f)", most)
}

// median is the middle, or the mean of the two in the middle.
func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	if n == 0 {
		return 0
	}
	return (v[(n-1)/2] + v[n/2]) / 2
}
