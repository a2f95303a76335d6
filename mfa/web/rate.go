package web

import (
	"maps"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxRates is how many networks have a limiter of their own at once.
const maxRates = 8192

// rates limits how often something comes from each network. Set its first two
// fields before it is used.
type rates struct {
	every rate.Limit // for an address
	burst int

	mu       sync.Mutex
	networks map[netip.Prefix]*rate.Limiter
	rest     *rate.Limiter // of those that the table has no room for
	swept    time.Time
}

// allow counts one from each of the networks and reports whether all may have it.
func (r *rates) allow(networks []netip.Prefix, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	ok := true
	for _, n := range networks {
		ok = r.limiter(n, now).AllowN(now, 1) && ok
	}
	return ok
}

// limiter returns the limiter of a network. The caller holds the lock.
func (r *rates) limiter(n netip.Prefix, now time.Time) *rate.Limiter {
	if l := r.networks[n]; l != nil {
		return l
	}
	if len(r.networks) >= maxRates && now.Sub(r.swept) >= time.Second {
		r.swept = now
		maps.DeleteFunc(r.networks, func(_ netip.Prefix, l *rate.Limiter) bool { return l.TokensAt(now) >= float64(l.Burst()) })
	}
	if len(r.networks) >= maxRates {
		if r.rest == nil {
			r.rest = rate.NewLimiter(r.every, r.burst)
		}
		return r.rest
	}
	if r.networks == nil {
		r.networks = make(map[netip.Prefix]*rate.Limiter)
	}
	l := rate.NewLimiter(r.every*rate.Limit(times(n)), r.burst*times(n))
	r.networks[n] = l
	return l
}

// Requests that no device has signed: those of a stranger, of a page that is
// opened, and of an enrolment. A company whose people all open the page in one
// minute may be behind one address.
const (
	strangeRate  = 200 // a second
	strangeBurst = 2000
)

// strangers are the rates of requests that no device has signed.
func strangers() rates { return rates{every: strangeRate, burst: strangeBurst} }

// Meter bounds how often an address sends requests to next, which no device signs.
// Whom a trusted proxy has seen is an address; a proxy itself, and this machine, is
// none.
func (s *Server) Meter(next http.Handler) http.Handler {
	trusted := proxies(s.TrustedProxies)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		remote := r.RemoteAddr
		if at := trusted.client(r.RemoteAddr, r.Header); at.IsValid() {
			remote = at.String()
		}
		if !s.unsigned.allow(trusted.limited(remote), time.Now()) {
			w.Header().Set("Connection", "close")
			refuse(w, errTooMany)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// failed counts a request whose signature proved nothing as one without. It
// returns the error to answer with.
func (s *Server) failed(w http.ResponseWriter, r *http.Request, err error) error {
	if s.unsigned.allow(proxies(s.TrustedProxies).limited(r.RemoteAddr), time.Now()) {
		return err
	}
	w.Header().Set("Connection", "close")
	return errTooMany
}
