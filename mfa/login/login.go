package login

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"net/netip"
	"strconv"
	"sync"
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
	copied     bool            // another node opened it, and has its packets
	caughtUp   chan struct{}   // closed once a copy knows what became of it before; nil: it is none
	code       string          // that came with the password
	asks       bool            // a primary's question is open: the name is what anybody may have typed
	asksGone   bool            // it waits until another prompt is out of the way
	again      chan struct{}   // of a copy: closed when its devices are notified once more
	stood      bool            // the approval has its entry; set in the turn
	deviceCode mfa.Password    // what a device shows once it has approved, and the user must type; empty: nothing
	life       context.Context // the prompt's; no packet's and no request's is its parent
	cancel     context.CancelCauseFunc

	// Under Pending.mu.
	done       bool
	placeless  bool // a code came with the password: it is no dialog until that was wrong
	yielded    bool // another dialog has its place: it is about to end
	deciding   bool // its end is being committed: nothing joins any more
	waiters    []waiter
	challenges []*challenge
	approved   *mfa.Approval // of a device; nil: none has approved
	tried      int           // wrong codes that have their entry, at any node
	appending  bool          // an entry is on its way here
	endedBy    *mfa.Event    // another node's
	rightCode  *challenge    // whose answer was the code that lets in
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
	return ev
}

// methodDeviceCode is the method of an event whose login a device's code has ended.
const methodDeviceCode = "code"

func (w *pendingLogin) promptMethod() string {
	switch {
	case w.Number != "":
		return "number"
	case w.deviceCode != "":
		return methodDeviceCode
	}
	return "push"
}

func (w *pendingLogin) prompt(requests []mfa.PromptRequest, approved func(mfa.Approval)) mfa.Prompt {
	p := mfa.Prompt{
		ID: w.ID, Again: w.again, User: w.User, Client: w.Client, Number: w.Number,
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

// takes reports whether o may wait for the prompt of w: from the same origin, while nothing
// is decided, and for no weaker prompt than its plan asks for. Its entry may still come too
// late. Pending.mu is held.
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

// entropy is buffered randomness: a system call for each State would cost more
// than the rest of making one. It may be used concurrently; its zero value is ready.
type entropy struct {
	mu   sync.Mutex
	buf  [512]byte
	left int
	more func() []byte // more octets; nil: of the system
}

// derived is a source of what is the same at every node for this purpose and data.
func derived(site mfa.Site, purpose, data string) *entropy {
	n := 0
	return &entropy{more: func() []byte {
		n++
		return site.Derive(purpose, data+"\x00"+strconv.Itoa(n))
	}}
}

// bytes returns octets that are used once, and are the caller's until e.mu is given
// back. e.mu is held.
func (e *entropy) bytes(n int) []byte {
	switch {
	case e.left >= n:
	case e.more != nil:
		e.left = copy(e.buf[:], e.more())
	default:
		rand.Read(e.buf[:]) // never fails; it ends the program if the system has no randomness
		e.left = len(e.buf)
	}
	b := e.buf[e.left-n : e.left]
	e.left -= n
	return b
}

// text returns n random octets as base32: printable, because ocserv handles
// State as a C string.
func (e *entropy) text(n int) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.bytes(n)
	s := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b)
	clear(b)
	return s
}

// id returns the id of a login.
func (e *entropy) id() string { return e.text(10) }

// number returns two digits, 10 to 99.
func (e *entropy) number() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		// 180 is the highest multiple of 90 in an octet: no number is likelier.
		if b := e.bytes(1)[0]; b < 180 {
			n := 10 + b%90
			return string([]byte{'0' + n/10, '0' + n%10})
		}
	}
}

// deviceCode returns six digits, none likelier than another.
func (e *entropy) deviceCode() mfa.Password {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		b := e.bytes(3)
		n := uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
		clear(b)
		if n < 16_000_000 { // the highest multiple of a million in three octets
			return mfa.Password(fmt.Sprintf("%06d", n%1_000_000))
		}
	}
}
