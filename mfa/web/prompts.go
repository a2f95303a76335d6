package web

import (
	"errors"
	"net/http"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/mfa/text"
)

// poll tells a device what waits for its user.
func (s *Server) poll(w http.ResponseWriter, _ *http.Request, c caller) {
	list := s.Approver.Live(c.User, c.version)
	s.complete(c.Device, push.Update{Sync: list})
	answer(w, http.StatusOK, list)
}

// complete adds to what a device is told of prompts what the approver does not
// know: whether this device needs a passkey, and the names of places.
func (s *Server) complete(d device.Device, u push.Update) {
	switch {
	case u.Prompt != nil:
		s.completePrompt(d, u.Prompt)
	case u.Sync != nil:
		for i := range u.Sync.Prompts {
			s.completePrompt(d, &u.Sync.Prompts[i])
		}
	}
}

func (s *Server) completePrompt(d device.Device, v *device.PromptView) {
	v.Passkey = d.Passkey != nil
	switch {
	case v.Refused != "":
	case d.Passkey == nil && s.Approver.RequirePasskey:
		v.Refused, v.RefusedCode = device.NeedsPasskey, "passkey_required"
	case d.Passkey != nil && s.Approver.Passkeys == nil:
		v.Refused, v.RefusedCode = noPasskeys, "no_passkeys"
	}
	for i := range v.Requests {
		v.Requests[i].Place = s.Places.Name(v.Requests[i].Address)
	}
}

// noPasskeys is what the owner of a passkey is told where the server has lost
// the name that it is for.
const noPasskeys = "This device needs its passkey, and the server cannot check passkeys any more. Tell your administrator."

// decide hands a device's decision to the approver.
func (s *Server) decide(w http.ResponseWriter, r *http.Request, c caller) {
	var req device.DecisionRequest
	err := parse(r, c.body, &req)
	if err != nil {
		refuse(w, err)
		return
	}
	d := device.Decision{Version: c.version, Device: c.ID, Prompt: r.PathValue("id"), Action: req.Decision, Number: req.Number, Surface: req.Surface, Assertion: req.Assertion}
	if d.Signature, err = device.Decode(req.Signature); err != nil {
		refuse(w, device.ErrMalformed)
		return
	}
	log := s.Logger.With(zap.String("user", c.User.String()), zap.String("device", c.ID), zap.String("from", r.RemoteAddr),
		zap.String("login", text.Printable(d.Prompt, 64)))
	told, err := s.Approver.Decide(r.Context(), d)
	switch {
	case errors.Is(err, push.ErrNotYours), errors.Is(err, device.ErrSignature), errors.Is(err, device.ErrBadPasskey):
		log.Warn("web: decision refused", zap.Error(err))
		refuse(w, err)
	case err != nil:
		log.Info("web: decision refused", zap.Error(err))
		refuse(w, err)
	default:
		log.Info("web: decision", zap.String("outcome", string(told.Outcome))) // never the code
		answer(w, http.StatusOK, told)
	}
}
