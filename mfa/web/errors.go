package web

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/radmatch/radmatch/mfa/push"
)

// problem is how an error is told to a device.
type problem struct {
	err     error
	status  int
	code    string
	message string
}

// problems is the protocol's table of errors, first match wins. A request of
// another user looks like one that is not there.
var problems = []problem{
	{errTooLarge, 413, "too_large", "The body is too large."},
	{errBody, 400, "bad_request", "The body did not arrive."},
	{errReplayed, 401, "replayed", "This request was sent before: sign each request anew."},
	{errTooMany, 429, "too_many_requests", "Too many requests: try again in a minute."},
	{errBusy, 503, "overloaded", "The server is busy: try again in a minute."},
	{push.ErrNoDevice, 401, "device_unknown", "This device is not enrolled, or was removed. Ask for a new invitation."},
	{push.ErrInvitation, 403, "invitation", "The invitation is unknown, was used, or has expired. Ask for a new one."},
	{push.ErrUnknownPrompt, 404, "unknown_prompt", "There is no such request."},
	{push.ErrNotYours, 404, "unknown_prompt", "There is no such request."},
	{push.ErrExpired, 410, "expired", "This request is over."},
	{push.ErrDecided, 409, "already_decided", "This request was already decided."},
	{push.ErrTooOld, 403, "device_too_old", "This device cannot match numbers. Update it, or approve with another device."},
	{push.ErrTooOldForCode, 403, "device_too_old", "This device cannot show a code. Update it, or approve with another device."},
	{push.ErrSurface, 403, "app_required", "Open the app to approve: this sign-in needs a number, which a notification or a watch cannot match."},
	{push.ErrNumberRequired, 422, "number_required", "Type the number that the sign-in shows."},
	{push.ErrPasskeyRequired, 422, "passkey_required", "This needs the passkey of this device."},
	{push.ErrBadPasskey, 401, "bad_passkey", "The passkey was not accepted. Try again."},
	{push.ErrPasskeyExists, 409, "passkey_exists", "This passkey is registered already, or the device has one."},
	{push.ErrNameTaken, 409, "name_taken", "Another of your devices has this name. Choose another one."},
	{errNoPasskeys, 404, "no_passkeys", "This server takes no passkeys."},
	{errNoOwnDevice, 404, "device_unknown", "You have no such device."},
	{push.ErrPushService, 422, "push_service", "This server does not send to the push service of this browser."},
	{push.ErrMalformed, 400, "bad_request", "The request is not one of this protocol."},
	{push.ErrSignature, 401, "bad_signature", "The signature is not this device's."},
}

// refuse tells a device of an error. What the table does not know is ours, and
// not a word of it gets out.
func refuse(w http.ResponseWriter, err error) {
	var version *push.VersionError
	switch {
	case errors.Is(err, errClock), errors.Is(err, errEarly):
		now := time.Now().UTC()
		if errors.Is(err, errEarly) {
			now = now.Truncate(time.Second).Add(time.Second)
		}
		answer(w, http.StatusUnauthorized, push.ErrorBody{Code: "clock_skew",
			Message: "The clock of this device is wrong. Sign with the time given here.", Time: &now})
		return
	case errors.As(err, &version):
		answer(w, http.StatusBadRequest, push.ErrorBody{Code: "version_unsupported", Message: fmt.Sprintf(
			"This server speaks versions %d to %d of the device protocol, this device %d. Update the older of the two.",
			push.MinVersion, push.MaxVersion, version.Version), MinVersion: push.MinVersion, MaxVersion: push.MaxVersion})
		return
	}
	for _, p := range problems {
		if errors.Is(err, p.err) {
			if p.status == http.StatusTooManyRequests || p.status == http.StatusServiceUnavailable {
				w.Header().Set("Retry-After", "60")
			}
			fail(w, p.status, p.code, p.message)
			return
		}
	}
	fail(w, http.StatusInternalServerError, "internal", "The server has a problem. Its log says more.")
}
