package front

import (
	"maps"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxRates is how many networks have a limiter of their own at once.
const maxRates = 8192

// Rates limits how often something comes from each network. Set its first two
// fields before it is used.
type Rates struct {
	Every rate.Limit // for an address
	Burst int

	mu       sync.Mutex
	networks map[netip.Prefix]*rate.Limiter
	rest     *rate.Limiter // of those that the table has no room for
	swept    time.Time
}

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
	if l := r.networks[n]; l != nil {
		return l
	}
	if len(r.networks) >= maxRates && now.Sub(r.swept) >= time.Second {
		r.swept = now
		maps.DeleteFunc(r.networks, func(_ netip.Prefix, l *rate.Limiter) bool { return l.TokensAt(now) >= float64(l.Burst()) })
	}
	if len(r.networks) >= maxRates {
		if r.rest == nil {
			r.rest = rate.NewLimiter(r.Every, r.Burst)
		}
		return r.rest
	}
	if r.networks == nil {
		r.networks = make(map[netip.Prefix]*rate.Limiter)
	}
	l := rate.NewLimiter(r.Every*rate.Limit(times(n)), r.Burst*times(n))
	r.networks[n] = l
	return l
}
