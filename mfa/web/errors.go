package web

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/mfa/push/webpush"
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
	{errNotKept, 503, "overloaded", "The server cannot do this now: try again in a minute."},
	{device.ErrNoDevice, 401, "device_unknown", "This device is not enrolled, or was removed. Ask for a new invitation."},
	{device.ErrInvitation, 403, "invitation", "The invitation is unknown, was used, or has expired. Ask for a new one."},
	{push.ErrUnknownPrompt, 404, "unknown_prompt", "There is no such request."},
	{push.ErrNotYours, 404, "unknown_prompt", "There is no such request."},
	{push.ErrExpired, 410, "expired", "This request is over."},
	{push.ErrDecided, 409, "already_decided", "This request was already decided."},
	{push.ErrTooOld, 403, "device_too_old", "This device cannot match numbers. Update it, or approve with another device."},
	{push.ErrTooOldForCode, 403, "device_too_old", "This device cannot show a code. Update it, or approve with another device."},
	{push.ErrSurface, 403, "app_required", "Open the app to approve: this sign-in needs a number, which a notification or a watch cannot match."},
	{push.ErrNumberRequired, 422, "number_required", "Type the number that the sign-in shows."},
	{device.ErrPasskeyRequired, 422, "passkey_required", "This needs the passkey of this device."},
	{device.ErrBadPasskey, 401, "bad_passkey", "The passkey was not accepted. Try again."},
	{device.ErrPasskeyExists, 409, "passkey_exists", "This passkey is registered already, or the device has one."},
	{device.ErrNameTaken, 409, "name_taken", "Another of your devices has this name. Choose another one."},
	{errNoPasskeys, 404, "no_passkeys", "This server takes no passkeys."},
	{errNoOwnDevice, 404, "device_unknown", "You have no such device."},
	{webpush.ErrService, 422, "push_service", "This server does not send to the push service of this browser."},
	{device.ErrMalformed, 400, "bad_request", "The request is not one of this protocol."},
	{device.ErrSignature, 401, "bad_signature", "The signature is not this device's."},
}

// refuse tells a device of an error. What the table does not know is ours, and
// not a word of it gets out.
func refuse(w http.ResponseWriter, err error) {
	var version *device.VersionError
	switch {
	case errors.Is(err, errClock), errors.Is(err, errEarly):
		now := time.Now().UTC()
		if errors.Is(err, errEarly) {
			now = now.Truncate(time.Second).Add(time.Second)
		}
		answer(w, http.StatusUnauthorized, device.ErrorBody{Code: "clock_skew",
			Message: "The clock of this device is wrong. Sign with the time given here.", Time: &now})
		return
	case errors.As(err, &version):
		answer(w, http.StatusBadRequest, device.ErrorBody{Code: "version_unsupported", Message: fmt.Sprintf(
			"This server speaks versions %d to %d of the device protocol, this device %d. Update the older of the two.",
			device.MinVersion, device.MaxVersion, version.Version), MinVersion: device.MinVersion, MaxVersion: device.MaxVersion})
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
