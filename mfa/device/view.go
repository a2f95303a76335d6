package device

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/text"
)

// PromptList is the answer to GET /api/v1/prompts, and the data of a sync event.
type PromptList struct {
	Time    time.Time    `json:"time"` // of the server: how long a prompt is valid is Expires less this
	Prompts []PromptView `json:"prompts"`
}

// PromptView is a prompt as a device is shown it. It does not hold the number.
type PromptView struct {
	ID             string        `json:"id"`
	User           string        `json:"user"` // to be signed as it stands here
	Client         string        `json:"client,omitempty"`
	Started        time.Time     `json:"started"`
	Expires        time.Time     `json:"expires"`
	NumberRequired bool          `json:"number_required,omitempty"`
	ShowsCode      bool          `json:"shows_code,omitempty"`   // an approval is answered with a code
	HidesClient    bool          `json:"hides_client,omitempty"` // by policy: nothing names the client
	HidesPlace     bool          `json:"hides_place,omitempty"`  // by policy: nothing says where from
	Refused        string        `json:"refused,omitempty"`      // why this device cannot approve; it can deny
	RefusedCode    string        `json:"refused_code,omitempty"` // the same, stable, for a device with texts of its own
	Passkey        bool          `json:"passkey,omitempty"`      // an approval by this device needs its passkey
	Requests       []RequestView `json:"requests"`
	More           int           `json:"more,omitempty"` // requests that Requests leaves out
}

// RequestView is one request that waits for a prompt.
type RequestView struct {
	Time    time.Time `json:"time"`
	Client  string    `json:"client,omitempty"`
	EndUser string    `json:"end_user,omitempty"`
	Claimed bool      `json:"claimed,omitempty"` // EndUser is only what the user's machine calls itself
	Source  string    `json:"source,omitempty"`
	// Place is where Address is, for readers; empty: not known, or not to be shown.
	Place   string     `json:"place,omitempty"`
	Address netip.Addr `json:"-"` // of the user, where it is genuine and its place may be shown
}

// Withdrawn is the data of a withdrawn event.
type Withdrawn struct {
	ID     string `json:"id"`
	Reason string `json:"reason"` // decided, ended
}

// Why a prompt was withdrawn.
const (
	WithdrawnDecided = "decided" // on a device, maybe another one
	WithdrawnEnded   = "ended"   // a passcode was typed, time ran out, the login was given up
)

// What an old device and its owner are told.
const (
	tooOld        = "This device cannot match numbers. Update it, or approve with another device."
	tooOldForCode = "This device cannot show a code. Update it, or approve with another device."
)

const (
	MaxText     = 128 // runes of a text from the network
	maxRequests = 20  // shown of one prompt
)

// ViewOf returns a prompt as a device that speaks this version is shown it.
func ViewOf(p *mfa.Prompt, version int) PromptView {
	v := PromptView{
		ID: p.ID, User: p.User.String(), Client: text.Printable(p.Client, MaxText),
		Started: p.Started.UTC(), Expires: p.Expires.UTC(), NumberRequired: p.Number != "", ShowsCode: p.Code != "",
		HidesClient: p.HideClient, HidesPlace: p.HidePlace,
	}
	switch {
	case v.NumberRequired && version < VersionNumber:
		v.Refused, v.RefusedCode = tooOld, "device_too_old"
	case v.ShowsCode && version < VersionCode:
		v.Refused, v.RefusedCode = tooOldForCode, "device_too_old"
	}
	shown := p.Requests
	if len(shown) > maxRequests {
		v.More = len(shown) - maxRequests
		shown = shown[:maxRequests]
	}
	v.Requests = make([]RequestView, len(shown))
	for i, r := range shown {
		v.Requests[i] = RequestView{
			Time: r.Time.UTC(), Client: text.Printable(r.Client, MaxText),
			EndUser: text.Printable(r.EndUser, MaxText), Claimed: r.Claimed, Source: text.Printable(r.Source, MaxText),
		}
		if !p.HidePlace && !r.Claimed && r.EndUser != "" { // a place beside a name would vouch for it
			v.Requests[i].Address = r.Address
		}
	}
	return v
}

// From says where the user signs in, as far as anybody knows. What only a machine
// says of itself is told as such, also where it looks like an address.
func (r RequestView) From() string {
	from := text.Printable(r.EndUser, MaxText)
	if from == "" {
		return "an unknown address"
	}
	if _, err := netip.ParseAddr(from); err != nil || r.Claimed {
		return fmt.Sprintf("what claims to be %q", from)
	}
	return from
}

// From says where the user signs in who opened the prompt.
func (v PromptView) From() string {
	if v.HidesPlace {
		return "a place that is not shown here"
	}
	if len(v.Requests) == 0 {
		return RequestView{}.From()
	}
	return v.Requests[0].From()
}
