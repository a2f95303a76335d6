package web

import (
	"net/http"
	"time"

	"github.com/radmatch/radmatch/mfa/front"
)

// Requests that no device has signed: those of an unknown caller, of a page that is
// opened, and of an enrolment. A company whose users all open the page in one
// minute may be behind one address.
const (
	strangeRate  = 200 // a second
	strangeBurst = 2000
)

// unknown callers are the rates of requests that no device has signed.
func unknownRates() front.Rates { return front.Rates{Every: strangeRate, Burst: strangeBurst} }

// Meter bounds how often an address sends requests to next, which no device signs.
// Whom a trusted proxy has seen is an address; a proxy itself, and this machine, is
// none.
func (s *Server) Meter(next http.Handler) http.Handler {
	trusted := front.Proxies(s.TrustedProxies)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		remote := r.RemoteAddr
		if at := trusted.Client(r.RemoteAddr, r.Header); at.IsValid() {
			remote = at.String()
		}
		if !s.unsigned.Allow(trusted.Limited(remote), time.Now()) {
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
	if s.unsigned.Allow(front.Proxies(s.TrustedProxies).Limited(r.RemoteAddr), time.Now()) {
		return err
	}
	w.Header().Set("Connection", "close")
	return errTooMany
}
