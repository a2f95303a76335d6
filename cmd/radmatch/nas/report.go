package nas

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// BenchReport is what a run counted. Latencies are of whole logins.
type BenchReport struct {
	Mode          string  `json:"mode"`
	Seconds       float64 `json:"seconds"`
	Logins        int     `json:"logins"` // ended with a decision
	Rate          float64 `json:"logins_per_s"`
	Accepted      int     `json:"accepted"`
	Rejected      int     `json:"rejected"`
	Unexpected    int     `json:"unexpected"` // accepted without a code, or challenged again
	Lost          int     `json:"lost"`       // no answer to all retransmissions
	Retransmitted int     `json:"retransmitted"`
	Invalid       int     `json:"invalid"` // answers that do not verify
	Waits         int     `json:"waits"`   // for the next step, because the users ran out
	Waiting       int     `json:"waiting"` // without a decision at the end (push)
	P50           float64 `json:"p50_ms"`
	P90           float64 `json:"p90_ms"`
	P99           float64 `json:"p99_ms"`
	P999          float64 `json:"p999_ms"`
	Max           float64 `json:"max_ms"`
}

func (r *BenchReport) print(w io.Writer) {
	fmt.Fprintf(w, "%s: %d logins in %.1f s: %.0f/s\n", r.Mode, r.Logins, r.Seconds, r.Rate)
	fmt.Fprintf(w, "latency ms: p50 %.2f  p90 %.2f  p99 %.2f  p99.9 %.2f  max %.2f\n", r.P50, r.P90, r.P99, r.P999, r.Max)
	fmt.Fprintf(w, "accepted %d  rejected %d  unexpected %d  lost %d  retransmitted %d  invalid %d  waiting %d\n",
		r.Accepted, r.Rejected, r.Unexpected, r.Lost, r.Retransmitted, r.Invalid, r.Waiting)
	if r.Waits > 0 {
		fmt.Fprintf(w, "the users ran out %d times: more users would show a higher rate\n", r.Waits)
	}
}

// sum adds up the workers' counts.
func (b *Bench) sum(workers []*benchWorker) *BenchReport {
	total := &BenchReport{Mode: b.Mode}
	var took []time.Duration
	for _, w := range workers {
		c := &w.count
		total.Accepted += c.Accepted
		total.Rejected += c.Rejected
		total.Unexpected += c.Unexpected
		total.Lost += c.Lost
		total.Retransmitted += c.Retransmitted
		total.Invalid += c.Invalid
		total.Waits += c.Waits
		total.Waiting += c.Waiting
		took = append(took, w.took...)
	}
	total.Logins = len(took)
	slices.Sort(took)
	at := func(share float64) float64 {
		if len(took) == 0 {
			return 0
		}
		return took[int(share*float64(len(took)-1))].Seconds() * 1000
	}
	total.P50, total.P90, total.P99, total.P999, total.Max = at(0.5), at(0.9), at(0.99), at(0.999), at(1)
	return total
}
