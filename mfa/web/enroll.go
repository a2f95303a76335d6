package web

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/front"
)

// invitation tells who holds a token for whom it is, and whether it is still good.
func (s *Server) invitation(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	var req device.InvitationRequest
	in, err := s.invited(w, r, &req, func() string { return req.Token })
	if err != nil {
		s.uninvited(w, r, err, now)
		return
	}
	answer(w, http.StatusOK, device.InvitationView{User: in.User.String(), Expires: in.Expires.UTC(), Time: now.UTC()})
}

// invited reads the body into req and returns the invitation whose token it has.
// The token is looked up before anything is counted: no number of unknown callers keeps
// out who has a good one.
func (s *Server) invited(w http.ResponseWriter, r *http.Request, req any, token func() string) (device.Invitation, error) {
	body, err := readBody(w, r)
	if err != nil {
		return device.Invitation{}, err
	}
	if err := parse(r, body, req); err != nil {
		return device.Invitation{}, err
	}
	hash, err := device.TokenHash(token())
	if err != nil {
		return device.Invitation{}, err
	}
	return s.Store.Invited(r.Context(), hash)
}

// uninvited answers a try that has failed. Those of an unknown caller are not all logged.
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
	answer(w, http.StatusCreated, device.EnrollResponse{
		Device: dev.ID, User: dev.User.String(), Name: dev.Name, Version: dev.Version,
		MinVersion: device.MinVersion, MaxVersion: device.MaxVersion, Time: now.UTC(),
	})
}

func (s *Server) enrollDevice(w http.ResponseWriter, r *http.Request, now time.Time) (device.Device, error) {
	var req device.EnrollRequest
	if _, err := s.invited(w, r, &req, func() string { return req.Token }); err != nil {
		return device.Device{}, err
	}
	dev, hash, err := req.Device(now)
	if err != nil {
		return device.Device{}, err
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
		return device.ErrMalformed // its text repeats the body
	}
	return nil
}

func contentType(r *http.Request) error {
	if r.Header.Get("Content-Type") != "application/json" {
		return errors.Join(device.ErrMalformed, errors.New("Content-Type is not application/json"))
	}
	return nil
}

// Tries at enrolment that fail: a burst, then one each interval. A token has 130
// bits, so that this only keeps the log quiet; it is not what stops a guess.
const (
	guessBurst    = 20
	guessInterval = 3 * time.Second
	allBurst      = 200
	allInterval   = 100 * time.Millisecond
)

// guesses limits failed tries per address and overall.
type guesses struct {
	all *rate.Limiter
	by  front.Rates
}

func newGuesses() guesses {
	return guesses{all: rate.NewLimiter(rate.Every(allInterval), allBurst), by: front.Rates{Every: rate.Every(guessInterval), Burst: guessBurst}}
}

// take counts a try and reports whether it is one of few.
func (g *guesses) take(remote string, now time.Time) bool {
	n := front.Network(remote)
	// First overall: that also bounds how fast unknown callers fill the table.
	return n.IsValid() && g.all.AllowN(now, 1) && g.by.Allow(front.Within(n), now)
}
