package login

import (
	"github.com/radmatch/radmatch/mfa"
	"net/netip"
	"time"
)

// Attempt is what is known of a login when its first factor was right.
type Attempt struct {
	Identity *mfa.Identity
	User     mfa.User
	PAP      bool       // the request carries a PAP password
	None     bool       // it carries no credential: else it is MS-CHAPv2
	Appended bool       // a text that may be a passcode came with the password
	OwnCode  bool       // it has the form of one of the user's codes
	Address  netip.Addr // as Request.Address
	// Remembered: an approval from the same origin still counts.
	Remembered bool
	At         time.Time
}

// Facts returns what the plan of an attempt is decided from. It is the one
// constructor of Facts: a login and `explain` call it, so that they agree.
func (e *Engine) Facts(c *mfa.Client, a *Attempt) *mfa.Facts {
	f := &mfa.Facts{
		Identity: a.Identity, User: a.User, Address: a.Address, Remembered: a.Remembered,
		PAP: a.PAP, None: a.None, CarriesCode: a.PAP && (c.Prompts || a.Appended), AppendedCode: a.PAP && a.OwnCode,
		PushLimited: e.Limits.fatigue.Locked(a.Identity.Name.Key(), a.At, a.User.Unblocked),
		// A request that joins a live prompt sends no new one.
		PromptLimited: e.Limits.sent.full(a.Identity.Name.Key(), a.At, a.User.Unblocked, e.PromptLimit) && !e.Pending.hasPrompt(a.Identity.Name),
	}
	if e.Bypasses != nil {
		f.Bypasses = e.Bypasses.Bypasses()
	}
	return f
}
