package web

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/text"
)

// What a user sees and changes of their own. The user is the user of the
// device that has signed the request; nothing in a request names another one.

// DeviceKeeper changes a user's devices. Each change is in the audit trail with
// the device by that made it. device.ErrNoDevice where id is no device of by's user.
// It may be called concurrently.
type DeviceKeeper interface {
	RenameDevice(ctx context.Context, by device.Device, id, name string) error
	RemoveOwnDevice(ctx context.Context, by device.Device, id string) error
}

// History reads a user's sign-ins. It may be called concurrently.
type History interface {
	// Logins returns at most limit sign-ins of user that began with the right first
	// factor, and events of a new device (mfa.ReasonDeviceAdded), newest first, before a
	// place (0: from the newest on), and the place to go on from, 0 at the end.
	Logins(ctx context.Context, user mfa.Name, before int64, limit int) (found []mfa.Event, next int64, err error)
}

const (
	historyPage = 50
	// maxHistories is how many read the trail at once: it is on disk, and logins go first.
	maxHistories = 2
)

// historyView is the answer to GET /api/v1/history.
type historyView struct {
	Time   time.Time   `json:"time"`
	Logins []loginView `json:"logins"`
	Next   string      `json:"next,omitempty"`
}

type loginView struct {
	ID      string    `json:"id"`
	Time    time.Time `json:"time"`
	Client  string    `json:"client"`
	EndUser string    `json:"end_user,omitempty"`
	Claimed bool      `json:"claimed,omitempty"`
	Place   string    `json:"place,omitempty"`
	Method  string    `json:"method,omitempty"`
	Outcome string    `json:"outcome"`
	Reason  string    `json:"reason"`
	Device  string    `json:"device,omitempty"`
}

// history lists the user's sign-ins.
func (s *Server) history(w http.ResponseWriter, r *http.Request, c caller) {
	before, err := cursor(r)
	if err != nil {
		refuse(w, err)
		return
	}
	if s.reading.Add(1) > maxHistories {
		s.reading.Add(-1)
		refuse(w, errBusy)
		return
	}
	defer s.reading.Add(-1)
	events, next, err := s.History.Logins(r.Context(), c.User, before, historyPage)
	if err != nil {
		s.Logger.Error("web: history not read", zap.String("user", c.User.String()), zap.Error(err))
		refuse(w, err)
		return
	}
	v := historyView{Time: time.Now().UTC(), Logins: make([]loginView, len(events))}
	for i := range events {
		v.Logins[i] = s.login(&events[i])
	}
	if next > 0 {
		v.Next = strconv.FormatInt(next, 10)
	}
	answer(w, http.StatusOK, v)
}

// cursor reads where a list goes on.
func cursor(r *http.Request) (int64, error) {
	text := r.URL.Query().Get("before")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return 0, device.ErrMalformed
	}
	return n, nil
}

func (s *Server) login(ev *mfa.Event) loginView {
	v := loginView{
		ID: text.Printable(ev.ID, maxShown), Time: ev.Time.UTC(), Client: text.Printable(ev.Client, maxText),
		EndUser: text.Printable(ev.EndUser, maxText), Claimed: ev.Claimed,
		Method: ev.Method, Outcome: ev.Outcome.String(), Reason: string(ev.Reason), Device: text.Printable(ev.Device, maxShown),
	}
	switch {
	case ev.Kind == mfa.EventUnclaimed:
		v.Reason = "unclaimed"
	case ev.Kind == mfa.EventAdmin:
		v.Outcome, v.Method = "added", ""
	case ev.Outcome == mfa.Accept && ev.Plan == mfa.PlanNone:
		v.Method = "none"
	case ev.Method == "totp", ev.Method == "hotp", ev.Method == "tap":
		v.Method = "otp"
	}
	if address, err := netip.ParseAddr(ev.EndUser); err == nil && !ev.Claimed {
		v.Place = s.Places.Name(address)
	}
	return v
}

// maxText is how many characters of a text from the network are shown.
const maxText = 128

// deviceView is one of the user's devices.
type deviceView struct {
	Device  string    `json:"device"`
	Name    string    `json:"name"`
	Added   time.Time `json:"added"`
	Seen    time.Time `json:"seen"`
	This    bool      `json:"this,omitempty"`
	Passkey bool      `json:"passkey,omitempty"`
	Push    bool      `json:"push,omitempty"`
}

// devices lists the user's devices.
func (s *Server) devices(w http.ResponseWriter, r *http.Request, c caller) {
	list, err := s.Store.Devices(r.Context(), c.User)
	if err != nil {
		s.Logger.Error("web: devices not read", zap.String("user", c.User.String()), zap.Error(err))
		refuse(w, err)
		return
	}
	views := make([]deviceView, len(list))
	for i, d := range list {
		views[i] = deviceView{Device: d.ID, Name: text.Printable(d.Name, maxShown), Added: d.Added.UTC(), Seen: d.Seen.UTC(),
			This: d.ID == c.ID, Passkey: d.Passkey != nil, Push: d.Web != nil}
	}
	answer(w, http.StatusOK, struct {
		Devices  []deviceView `json:"devices"`
		Passkeys bool         `json:"passkeys"`
	}{views, s.Passkeys.registers()})
}

// renameDevice gives one of the user's devices another name.
func (s *Server) renameDevice(w http.ResponseWriter, r *http.Request, c caller) {
	var req struct {
		Name string `json:"name"`
	}
	err := parse(r, c.body, &req)
	if err == nil {
		err = device.CheckName(req.Name)
	}
	if err == nil {
		err = s.Devices.RenameDevice(r.Context(), c.Device, r.PathValue("id"), req.Name)
	}
	s.changed(w, r, c, "web: device renamed", err)
}

// removeDevice removes one of the user's devices, and ends its streams.
func (s *Server) removeDevice(w http.ResponseWriter, r *http.Request, c caller) {
	id := r.PathValue("id")
	err := s.confirmRemoval(r, c, id)
	if err == nil {
		err = s.Devices.RemoveOwnDevice(r.Context(), c.Device, id)
	}
	if err == nil {
		s.streams.end(id)
	}
	s.changed(w, r, c, "web: device removed", err)
}

// confirmRemoval returns nil when the device that asks needs no passkey or has
// signed this removal with it: an unlocked phone in another hand removes nothing.
func (s *Server) confirmRemoval(r *http.Request, c caller, id string) error {
	if c.Passkey == nil {
		return nil
	}
	var req device.RemovalRequest
	if len(c.body) > 0 {
		if err := parse(r, c.body, &req); err != nil {
			return err
		}
	}
	if len(req.Assertion) == 0 || s.Passkeys == nil {
		return device.ErrPasskeyRequired
	}
	return s.Passkeys.VerifyPasskey(r.Context(), c.Device, device.RemovalChallenge(c.version, c.ID, id), req.Assertion)
}

// errNoOwnDevice tells a device in a path that is not there from the one that asks.
var errNoOwnDevice = errors.New("this user has no such device")

// changed logs and answers a change to a device.
func (s *Server) changed(w http.ResponseWriter, r *http.Request, c caller, what string, err error) {
	log := s.Logger.With(zap.String("user", c.User.String()), zap.String("by", c.ID), zap.String("device", text.Printable(r.PathValue("id"), maxShown)),
		zap.String("from", r.RemoteAddr))
	if errors.Is(err, device.ErrNoDevice) {
		err = errNoOwnDevice
	}
	if err != nil {
		log.Info("web: device not changed", zap.Error(err))
		refuse(w, err)
		return
	}
	log.Info(what)
	w.WriteHeader(http.StatusNoContent)
}
