package web

import (
	"errors"
	"net/http"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/push/webpush"
)

// webPush is device for a server that sends Web Push; for another, there is
// nothing here.
func (s *Server) webPush(next func(http.ResponseWriter, *http.Request, caller)) http.HandlerFunc {
	if s.Approver.WebPush == nil {
		return notFound
	}
	return s.device(next)
}

// pushKey tells a device what to subscribe with.
func (s *Server) pushKey(w http.ResponseWriter, _ *http.Request, _ caller) {
	answer(w, http.StatusOK, struct {
		Key string `json:"key"`
	}{s.Approver.WebPush.PublicKey()})
}

// subscribe takes a device's subscription.
func (s *Server) subscribe(w http.ResponseWriter, r *http.Request, c caller) {
	var sub *device.WebSubscription
	err := contentType(r)
	if err == nil {
		sub, err = device.ParseWebSubscription(c.body)
	}
	if err == nil {
		err = s.Approver.WebPush.Subscribe(r.Context(), c.ID, sub)
	}
	s.subscribed(w, c, "web: subscription to Web Push", err)
}

// unsubscribe ends a device's subscription.
func (s *Server) unsubscribe(w http.ResponseWriter, r *http.Request, c caller) {
	s.subscribed(w, c, "web: end of a subscription to Web Push", s.Approver.WebPush.Unsubscribe(r.Context(), c.ID))
}

func (s *Server) subscribed(w http.ResponseWriter, c caller, what string, err error) {
	log := s.Logger.With(zap.String("user", c.User.String()), zap.String("device", c.ID))
	switch {
	case err == nil:
		log.Debug(what)
		w.WriteHeader(http.StatusNoContent)
		return
	case errors.Is(err, device.ErrMalformed), errors.Is(err, device.ErrNoDevice), errors.Is(err, webpush.ErrService):
		log.Debug(what+" refused", zap.Error(err))
	default:
		log.Error(what+" failed", zap.Error(err))
	}
	refuse(w, err)
}
