package login

import (
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// FirstFactor is what a right first factor tells of a login, beside its request.
type FirstFactor struct {
	Identity   *mfa.Identity
	User       mfa.User
	Appended   bool // a text that may be a passcode came with the password
	OwnCode    bool // it has the form of one of the user's codes
	Remembered bool // an approval from the same origin still counts
	At         time.Time
}

// Facts returns what the plan of a login is decided from. Of the request it reads
// Client, Cred, Dialog and Address. It is the one constructor of Facts: a login and
// `explain` call it, so that they agree.
func (e *Engine) Facts(r *mfa.Request, a *FirstFactor) *mfa.Facts {
	key := a.Identity.Name.Key()
	f := &mfa.Facts{
		Identity: a.Identity, User: a.User, Address: r.Address, Remembered: a.Remembered,
		Protocol: mfa.ProtocolOf(r.Cred), Dialog: r.Dialog, CarriesCode: r.Dialog.Codes || a.Appended, AppendedCode: a.OwnCode,
		NumberMatching: e.Policy.NumberMatching.Applies(a.Identity.Groups),
		PushLimited:    e.Limits.fatigue.Locked(key, a.At, a.User.Unblocked),
		// A request that joins a live prompt sends no new one.
		PromptLimited: e.Limits.sent.full(key, a.At, a.User.Unblocked, e.PromptLimit) && !e.Pending.hasPrompt(a.Identity.Name),
	}
	if e.Bypasses != nil {
		f.Bypasses = e.Bypasses.Bypasses()
	}
	return f
}
