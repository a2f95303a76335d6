package web

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa/push"
)

// invitation tells who holds a token for whom it is, and whether it is still good.
func (s *Server) invitation(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	var req push.InvitationRequest
	in, err := s.invited(w, r, &req, func() string { return req.Token })
	if err != nil {
		s.uninvited(w, r, err, now)
		return
	}
	answer(w, http.StatusOK, push.InvitationView{User: in.User.String(), Expires: in.Expires.UTC(), Time: now.UTC()})
}

// invited reads the body into req and returns the invitation whose token it has.
// The token is looked up before anything is counted: no number of strangers keeps
// out who has a good one.
func (s *Server) invited(w http.ResponseWriter, r *http.Request, req any, token func() string) (push.Invitation, error) {
	body, err := readBody(w, r)
	if err != nil {
		return push.Invitation{}, err
	}
	if err := parse(r, body, req); err != nil {
		return push.Invitation{}, err
	}
	hash, err := push.TokenHash(token())
	if err != nil {
		return push.Invitation{}, err
	}
	return s.Store.Invited(r.Context(), hash)
}

// uninvited answers a try that has failed. Those of a stranger are not all logged.
func (s *Server) uninvited(w http.ResponseWriter, r *http.Request, err error, now time.Time) {
	if !s.guesses.take(r.RemoteAddr, now) {
		refuse(w, errTooMany)
		return
	}
	s.Logger.Warn("web: enrolment refused", zap.String("from", r.RemoteAddr), zap.Error(err))
	refuse(w, err)
}

// enroll adds a device by an invitation.
func (s *Server) enroll(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	dev, err := s.enrollDevice(w, r, now)
	if err != nil {
		s.uninvited(w, r, err, now)
		return
	}
	s.Logger.Info("web: device enrolled", zap.String("user", dev.User.String()), zap.String("device", dev.ID),
		zap.String("name", dev.Name), zap.String("from", r.RemoteAddr))
	answer(w, http.StatusCreated, push.EnrollResponse{
		Device: dev.ID, User: dev.User.String(), Name: dev.Name, Version: dev.Version,
		MinVersion: push.MinVersion, MaxVersion: push.MaxVersion, Time: now.UTC(),
	})
}

func (s *Server) enrollDevice(w http.ResponseWriter, r *http.Request, now time.Time) (push.Device, error) {
	var req push.EnrollRequest
	if _, err := s.invited(w, r, &req, func() string { return req.Token }); err != nil {
		return push.Device{}, err
	}
	dev, hash, err := req.Device(now)
	if err != nil {
		return push.Device{}, err
	}
	return s.Store.Enroll(r.Context(), hash, dev)
}

// parse reads a JSON body into v. Members that v does not know are ignored:
// later versions have more.
func parse(r *http.Request, body []byte, v any) error {
	if err := contentType(r); err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return push.ErrMalformed // its text repeats the body
	}
	return nil
}

func contentType(r *http.Request) error {
	if r.Header.Get("Content-Type") != "application/json" {
		return errors.Join(push.ErrMalformed, errors.New("Content-Type is not application/json"))
	}
	return nil
}

// Tries at enrolment: a burst, then one each interval. A token has 130 bits, so
// that this only keeps the log quiet; it is not what stops a guess.
const (
	burst         = 20
	interval      = 3 * time.Second
	burstAll      = 200
	intervalAll   = 100 * time.Millisecond
	maxAddresses  = 4096
	forgetGuesses = burst * interval // after this a bucket is full again
)

// guesses limits failed tries per address and overall. The zero value is ready.
type guesses struct {
	mu        sync.Mutex
	all       bucket
	addresses map[netip.Prefix]*bucket
	swept     time.Time
}

// bucket counts tries that drain with time.
type bucket struct {
	level float64 // tries that still count
	at    time.Time
}

func (b *bucket) drain(interval time.Duration, now time.Time) {
	if d := now.Sub(b.at); d > 0 {
		b.level = max(0, b.level-float64(d)/float64(interval))
		b.at = now
	}
}

// take counts a try and reports whether it is one of few.
func (g *guesses) take(remote string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	// First overall: that also bounds how fast strangers fill the table.
	if g.all.drain(intervalAll, now); g.all.level+1 > burstAll {
		return false
	}
	b := g.address(remote, now)
	if b == nil || b.level+1 > burst {
		return false
	}
	b.level++
	g.all.level++
	return true
}

// address returns the drained bucket of an address, nil where the table is full.
func (g *guesses) address(remote string, now time.Time) *bucket {
	key := network(remote)
	b := g.addresses[key]
	if b == nil {
		if len(g.addresses) >= maxAddresses && now.Sub(g.swept) > interval {
			g.swept = now
			maps.DeleteFunc(g.addresses, func(_ netip.Prefix, b *bucket) bool { return now.Sub(b.at) > forgetGuesses })
		}
		if len(g.addresses) >= maxAddresses {
			return nil
		}
		if g.addresses == nil {
			g.addresses = make(map[netip.Prefix]*bucket)
		}
		b = &bucket{at: now}
		g.addresses[key] = b
	}
	b.drain(interval, now)
	return b
}

// network is what one stranger surely holds: an IPv4 address, an IPv6 /64.
func network(remote string) netip.Prefix {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	addr, bits := ap.Addr().Unmap().WithZone(""), 32
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // bits fit the family
	return p
}
