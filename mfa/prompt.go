package mfa

import (
	"context"
	"net/netip"
	"time"
)

// OpenPrompt is what lasts of a login that waits for a device when the server is
// killed. It accepts no login: after the restart each request is checked by its own
// primary before it may join. Nothing in it derives from a password, and no
// number is in it.
type OpenPrompt struct {
	ID  string
	Key string // join key; empty: nothing can join
	Origin
	Plan    Plan
	Reason  Reason
	Started time.Time
	Opened  time.Time // the first factor was right
	Until   time.Time // the devices show it; zero: of a version that did not keep it
	// Node is the run (Site.Run) whose notifications are the last that were sent. Empty: there
	// are no other nodes.
	Node string `json:",omitempty"`
	// HideClient and HidePlace are what policy keeps from this user's devices.
	HideClient bool
	HidePlace  bool
	Requests   []PromptRequest
}

// Pusher asks the user's devices to approve a login. Push may be called
// concurrently and blocks until a device has decided or ctx, which is the
// prompt's life, ends; then it withdraws the prompt from the devices and
// returns ctx's error. A nil error means approved. ErrRejected means denied
// (joined with ErrNotMe or ErrWrongNumber where that is so). The Approval tells
// who decided, for an approval and for a denial.
type Pusher interface {
	Push(ctx context.Context, p Prompt) (Approval, error)
	// Abilities always returns the same. It is asked when a configuration comes into
	// use, and at no login.
	Abilities() PushAbilities
}

// PushAbilities tells what a push provider and its devices can do beside an approval
// or a denial. The zero value can do nothing.
type PushAbilities struct {
	OwnDevices    bool          // they are enrolled with us, and of no provider
	Amender       PromptAmender // nil: a live prompt stays as it is
	ChecksNumbers bool          // Prompt.Number is checked
	// TypesNumbers: and the user has to type it. Where a device offers a few to choose
	// from, who taps blindly is right now and then: that is no defence against someone
	// who sends prompts until the user gives in.
	TypesNumbers bool
	// ShowsCodes: a device shows the user Prompt.Code once it has approved, until
	// Prompt.CodeExpires, and to nobody else.
	ShowsCodes bool
	// Resumes: devices are shown, whenever they connect, what is live. Pushed again
	// under its ID after a restart, a prompt is still the same one. Without, the prompts
	// end with the server.
	Resumes bool
}

// PromptAmender is a Pusher that can show requests which joined a live prompt.
// Amend is called with the prompt's ID and all its requests so far; it must not
// block and ignores a prompt that is over.
type PromptAmender interface {
	Amend(promptID string, requests []PromptRequest)
}

// Prompt is a request for approval as devices see it.
type Prompt struct {
	ID      string // the login's id
	Resumed bool   // shown before a restart, or by another node: show it again, and do not notify again
	// Again is closed when a Resumed prompt is to be notified once more after all: its node is
	// dead. nil: that does not happen.
	Again  <-chan struct{}
	User   Name // canonical
	Client string
	Number string // two digits to be typed on the device; empty: approve or deny
	// Code is shown by the device that approves, to be typed where the user signs
	// in; empty: the approval is enough. Until then it must not be seen. Not together
	// with Number.
	Code        Password
	CodeExpires time.Time
	// Approved is set with Code. It is called with the approval before the device is
	// told the code, so that no code can be typed before it counts. It does not block.
	Approved func(Approval)
	Started  time.Time
	Expires  time.Time
	Requests []PromptRequest // the first one opened the prompt, the others joined
	// HideClient and HidePlace: policy keeps from devices what the user signs in
	// to, and from where. Client and Requests do not tell it then.
	HideClient bool
	HidePlace  bool
}

// PromptRequest is one packet that waits for a prompt. All texts come from the
// network: cut and escape them wherever a user sees them.
type PromptRequest struct {
	Time    time.Time `json:"time"`
	Client  string    `json:"client"`
	EndUser string    `json:"end_user,omitempty"`
	Claimed bool      `json:"claimed,omitempty"` // EndUser is only what the user's machine calls itself
	Source  string    `json:"source"`
	// Address is Request.Address: genuine, or invalid.
	Address netip.Addr `json:"address,omitzero"`
}

// Approval tells which device decided and how it signed.
type Approval struct {
	Device    string `json:"device,omitempty"` // its name
	DeviceID  string `json:"device_id,omitempty"`
	Signature []byte `json:"signature,omitempty"`
}
