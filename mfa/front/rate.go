package front

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/radmatch/radmatch/mfa/bound"
)

// maxRates is how many networks have a limiter of their own at once.
const maxRates = 8192

// Rates limits how often something comes from each network. Set its first two
// fields before it is used.
type Rates struct {
	Every rate.Limit // for an address
	Burst int

	mu       sync.Mutex
	networks *bound.Table[netip.Prefix, *rate.Limiter]
	rest     *rate.Limiter // of those that the table has no room for
}

// rested reports whether a limiter is as it was made.
func rested(l *rate.Limiter, now time.Time) bool { return l.TokensAt(now) >= float64(l.Burst()) }

// Allow counts one from each of the networks and reports whether all may have it.
func (r *Rates) Allow(networks []netip.Prefix, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	ok := true
	for _, n := range networks {
		ok = r.limiter(n, now).AllowN(now, 1) && ok
	}
	return ok
}

// limiter returns the limiter of a network. The caller holds the lock.
func (r *Rates) limiter(n netip.Prefix, now time.Time) *rate.Limiter {
	if r.networks == nil {
		r.networks, r.rest = bound.NewTable[netip.Prefix](maxRates, rested), rate.NewLimiter(r.Every, r.Burst)
	}
	if l, ok := r.networks.Get(n, now); ok {
		return l
	}
	l := rate.NewLimiter(r.Every*rate.Limit(times(n)), r.Burst*times(n))
	if !r.networks.Put(n, l, now) {
		return r.rest
	}
	return l
}
