package web

import (
	"errors"
	"net/http"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa/push"
)

// poll tells a device what waits for its user.
func (s *Server) poll(w http.ResponseWriter, _ *http.Request, c caller) {
	answer(w, http.StatusOK, s.Approver.Live(c.User, c.version))
}

// decide hands a device's decision to the approver.
func (s *Server) decide(w http.ResponseWriter, r *http.Request, c caller) {
	var req push.DecisionRequest
	err := parse(r, c.body, &req)
	if err != nil {
		refuse(w, err)
		return
	}
	d := push.Decision{Version: c.version, Device: c.ID, Prompt: r.PathValue("id"), Action: req.Decision, Number: req.Number}
	if d.Signature, err = push.Decode(req.Signature); err != nil {
		refuse(w, push.ErrMalformed)
		return
	}
	log := s.Logger.With(zap.String("user", c.User), zap.String("device", c.ID), zap.String("from", r.RemoteAddr),
		zap.String("login", push.Printable(d.Prompt, 64)))
	outcome, err := s.Approver.Decide(r.Context(), d)
	switch {
	case errors.Is(err, push.ErrNotYours), errors.Is(err, push.ErrSignature):
		log.Warn("web: decision refused", zap.Error(err))
		refuse(w, err)
	case err != nil:
		log.Info("web: decision refused", zap.Error(err))
		refuse(w, err)
	default:
		log.Info("web: decision", zap.String("outcome", string(outcome)))
		answer(w, http.StatusOK, push.DecisionResponse{Outcome: outcome})
	}
}
