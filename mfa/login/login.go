package login

import (
	"cmp"
	"context"
	"net/netip"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// Login is one attempt of one user to sign in. It is plain data, so that
// another node can carry it on one day.
type Login struct {
	mfa.OpenPrompt              // what lasts of it where it waits for a device
	Signed         bool         // the request that opened it
	Identity       mfa.Identity // for the Accept; its keys belong to the packet and are not kept
	Text           string       // of the event, where the reason does not say enough
	Number         string
	Wrong          int // wrong codes so far
	Rounds         int // answers to questions of the primary
	AskedGone      int // how often another prompt was in the way
	Expires        time.Time
}

// waiter is an Access-Request that waits for its login.
type waiter struct {
	*mfa.Request
	send         func(mfa.Decision)
	try          *try          // of its password; nil without
	identity     *mfa.Identity // from its own primary check; nil for an answer to a challenge
	timer        *time.Timer   // degrades it, nil without
	endedByOther bool          // the login was ended by a code that another packet brought
	answered     *challenge    // the primary's last question, which it answered; nil without
}

// reply answers the packet. This is the one place where a rejection that may follow
// a right password is made as slow as one that follows a wrong one.
func (p waiter) reply(d mfa.Decision) {
	d.Delay = max(d.Delay, p.try.end(d.Outcome))
	p.send(d)
}

// pendingLogin is a Login at work.
type pendingLogin struct {
	Login
	client *mfa.Client
	// resumed: opened before a restart. Its Identity is that of the first request
	// that joined, under Pending.mu.
	resumed    bool
	turn       chan struct{}   // capacity 1: who is in it may end the login
	code       string          // that came with the password
	asks       bool            // a primary's question is open: the name is what anybody may have typed
	counts     *codeLocks      // where its wrong codes are counted; nil: it has none
	asksGone   bool            // it waits until another prompt is out of the way
	rightCode  *challenge      // whose answer was the code that lets in; set in the login's turn
	deviceCode mfa.Password    // what a device shows once it has approved, and the user must type; empty: nothing
	life       context.Context // the prompt's; no packet's and no request's is its parent
	cancel     context.CancelCauseFunc

	// Under Pending.mu.
	done       bool
	placeless  bool // a code came with the password: it is no dialog until that was wrong
	yielded    bool // another dialog has its place: it is about to end
	deciding   bool // a decision is being committed: nothing joins any more
	waiters    []waiter
	challenges []*challenge
	approved   *mfa.Approval // of a device; nil: none has approved
	deadline   time.Time     // when sweep ends it; zero: the goroutine of its prompt does
}

func (w *pendingLogin) Prompts() bool { return w.Plan.Prompts() }

// event returns the login's line of the audit trail.
func (w *pendingLogin) event(o mfa.Outcome, r mfa.Reason, now time.Time) mfa.Event {
	ev := mfa.Event{
		ID: w.ID, Time: now, Kind: mfa.EventLogin,
		Origin: w.Origin,
		Plan:   w.Plan, Reason: r, Outcome: o, Tries: w.Wrong, Details: mfa.Details{Rounds: w.Rounds, NumberSet: w.matches(), Text: cmp.Or(w.Text, npsText(r, w.User))},
		Primary: w.Opened.Sub(w.Started), Factor: now.Sub(w.Opened), Total: now.Sub(w.Started),
	}
	if len(w.Requests) > 1 {
		ev.Requests = w.Requests
	}
	if w.counts != nil {
		counted := w.counts.of(w.User.Key())
		ev.WrongCodes = &counted
	}
	return ev
}

func (w *pendingLogin) promptMethod() string {
	switch {
	case w.Number != "":
		return "number"
	case w.deviceCode != "":
		return "code"
	}
	return "push"
}

func (w *pendingLogin) promptEvent(o mfa.Outcome, r mfa.Reason, a mfa.Approval, now time.Time) mfa.Event {
	ev := w.event(o, r, now)
	ev.Method, ev.Approval = w.promptMethod(), a
	return ev
}

func (w *pendingLogin) prompt(requests []mfa.PromptRequest, approved func(mfa.Approval)) mfa.Prompt {
	p := mfa.Prompt{
		ID: w.ID, Resumed: w.resumed, User: w.User, Client: w.Client, Number: w.Number,
		Started: w.Opened, Expires: w.Opened.Add(w.promptLife()), Requests: w.shown(requests),
	}
	if w.deviceCode != "" {
		p.Code, p.CodeExpires = w.deviceCode, w.Expires
		p.Approved = approved
	}
	if p.HideClient, p.HidePlace = w.HideClient, w.HidePlace; p.HideClient {
		p.Client = ""
	}
	return p
}

// shown returns requests without what policy keeps from devices: here, so that no
// provider can tell it by mistake.
func (w *pendingLogin) shown(requests []mfa.PromptRequest) []mfa.PromptRequest {
	for i := range requests {
		if w.HideClient {
			requests[i].Client, requests[i].Source = "", ""
		}
		if w.HidePlace {
			requests[i].EndUser, requests[i].Claimed, requests[i].Address = "", false, netip.Addr{}
		}
	}
	return requests
}

// matches reports whether the user must show that the device and the sign-in
// belong together, by a number or a code.
func (w *pendingLogin) matches() bool { return w.Number != "" || w.deviceCode != "" }

// promptLife is how long the devices show the prompt: no longer than its code could be
// typed.
func (w *pendingLogin) promptLife() time.Duration {
	if w.deviceCode == "" {
		return w.client.PushTimeout
	}
	return min(w.client.PushTimeout, w.Expires.Sub(w.Opened))
}

// peer is the key by which logins count together: their user, or an origin.
type peer struct {
	user   mfa.NameKey
	origin string
}

// peer returns the key under which w is counted: its user, or while a primary asks,
// who asks from where. The name is then what anybody can type: it must not take the
// places of its owner.
func (w *pendingLogin) peer() peer {
	if w.asks {
		return peer{origin: w.origin()}
	}
	return peer{user: w.User.Key()}
}

// places returns how many dialogs may be open beside w. Where nothing tells one
// user's origin from another's, all users of the client share what it may have.
func (w *pendingLogin) places(ofClient int) int {
	switch {
	case !w.asks:
		return maxDialogs
	case w.EndUser == "":
		return max(maxQuestions, ofClient/2)
	}
	return maxQuestions
}

// takes reports whether o may wait for the prompt of w: from the same origin, while
// nothing is decided, and for no weaker prompt than its plan asks for. Pending.mu is held.
func (w *pendingLogin) takes(o *pendingLogin) bool {
	return o.client.Join && w.client.Join && o.Key != "" && o.Key == w.Key && !w.deciding && (!o.matches() || w.matches())
}

// origin tells apart where logins come from: by client, by whether the request was
// signed, and by the end-user field.
func (w *pendingLogin) origin() string {
	signed := "unsigned"
	if w.Signed {
		signed = "signed"
	}
	return w.Client + "\x00" + signed + "\x00" + w.EndUser
}
