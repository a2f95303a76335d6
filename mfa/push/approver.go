package push

import (
	"bytes"
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/bound"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/push/webpush"
)

// The errors of Decide. None of them ends the prompt, and none of them accepts.
var (
	// ErrUnknownPrompt: no such prompt is or was live lately.
	ErrUnknownPrompt = errors.New("no such request")
	// ErrNotYours: the prompt is another user's. Tell the device ErrUnknownPrompt.
	ErrNotYours = errors.New("request of another user")
	// ErrExpired: the prompt is over without a decision.
	ErrExpired = errors.New("request is over")
	// ErrDecided: a device has already decided this prompt.
	ErrDecided = errors.New("request already decided")
	// ErrTooOld: the device's protocol version has no number, and the prompt needs one.
	ErrTooOld = errors.New("device protocol version has no number matching")
	// ErrTooOldForCode: the device's protocol version shows no code, and the prompt needs that.
	ErrTooOldForCode = errors.New("device protocol version shows no code")
	// ErrSurface: a number or a code is due, and the approval was not made in the app.
	ErrSurface = errors.New("approved outside the app, and a number is due")
	// ErrNumberRequired: the prompt needs a number and the decision has none.
	ErrNumberRequired = errors.New("the number is missing")
)

// ErrNoDevices is Push's answer for a user who has no device. It is not
// mfa.ErrRejected: the user was not asked.
var ErrNoDevices = errors.New("no device is registered")

// ErrBusy is Push's answer while there are MaxPrompts prompts.
var ErrBusy = errors.New("too many live prompts")

const (
	defaultMaxPrompts = 50_000
	keptEnded         = 4096 // prompts of which Decide still knows how they ended
)

// Approver is the push provider of our own devices. Its fields may be set until
// the first call; its methods may be called concurrently.
type Approver struct {
	Store      device.Store
	MaxPrompts int // live at once; 0: 50,000
	// Passkeys examines passkeys; nil: nothing does, and a device that has one cannot approve.
	Passkeys device.PasskeyVerifier
	// RequirePasskey keeps devices without a passkey from approving.
	RequirePasskey bool
	// Elsewhere brings the open prompt of a user here that another node shows, and returns its
	// id: Push is called for it. Empty: there is none. nil: there are no other nodes.
	Elsewhere func(user mfa.Name) (id string)
	// WebPush notifies the devices of a prompt's user that have subscribed; nil: none.
	WebPush *webpush.Sender

	mu    sync.Mutex
	live  map[string]*prompt           // by id
	users map[mfa.NameKey]*userEntry   // no empty ones
	ended *bound.Cache[string, ending] // by id
	comes map[string]chan struct{}     // by id of prompts that Elsewhere brings: closed when they are live
}

var (
	_ mfa.Pusher        = (*Approver)(nil)
	_ mfa.PromptAmender = (*Approver)(nil)
)

// prompt is a live prompt. Requests is guarded by Approver.mu, the rest is fixed.
type prompt struct {
	mfa.Prompt
	verdict chan *verdict // capacity 1; sent to when the prompt leaves live by a decision
}

type verdict struct {
	approval mfa.Approval
	err      error
}

// userEntry is what there is for one user.
type userEntry struct {
	prompts []*prompt // oldest first
	subs    []*Subscription
}

type ending struct {
	user mfa.NameKey
	err  error // ErrDecided or ErrExpired
	// told is set where it holds a code: the device that approved may have lost it
	// on the way, and is told again for the same decision.
	told      *device.DecisionResponse
	device    string
	signature []byte
}

// again returns what a device was told of the same decision, while its code counts.
func (e ending) again(d device.Decision) (device.DecisionResponse, bool) {
	if e.told == nil || e.device != d.Device || !bytes.Equal(e.signature, d.Signature) || !time.Now().Before(e.told.CodeExpires) {
		return device.DecisionResponse{}, false
	}
	return *e.told, true
}

// Abilities implements mfa.Pusher. Devices are told all that is live when they
// connect: a prompt that is pushed again after a restart is the same one to them.
func (a *Approver) Abilities() mfa.PushAbilities {
	return mfa.PushAbilities{OwnDevices: true, Amender: a, ChecksNumbers: true, TypesNumbers: true, ShowsCodes: true, Resumes: true}
}

// Push shows p on all devices of its user, also on those that connect later,
// until one of them decides or ctx ends. See mfa.Pusher.
func (a *Approver) Push(ctx context.Context, p mfa.Prompt) (mfa.Approval, error) {
	if err := ctx.Err(); err != nil {
		return mfa.Approval{}, err
	}
	devices, err := a.Store.Devices(ctx, p.User)
	if err != nil {
		return mfa.Approval{}, fmt.Errorf("approver: devices of %q: %w", p.User, err)
	}
	if len(devices) == 0 {
		return mfa.Approval{}, fmt.Errorf("approver: user %q: %w", p.User, ErrNoDevices)
	}
	live, err := a.open(p)
	if err != nil {
		return mfa.Approval{}, fmt.Errorf("approver: %w", err)
	}
	for {
		stop := a.WebPush.Notify(ctx, &p, devices)
		v := a.await(ctx, live, p.Again)
		stop()
		if v != nil {
			return v.approval, v.err
		}
		p.Again, p.Resumed = nil, false
	}
}

// await returns what becomes of a prompt, nil where the devices are to be notified once more.
// Its frame is small: all prompts that wait are in it.
func (a *Approver) await(ctx context.Context, live *prompt, again <-chan struct{}) *verdict {
	select {
	case v := <-live.verdict:
		return v
	case <-ctx.Done():
		return a.giveUp(ctx, live)
	case <-again:
		return nil
	}
}

func (a *Approver) open(p mfa.Prompt) (*prompt, error) {
	p.Requests = slices.Clone(p.Requests)
	live := &prompt{Prompt: p, verdict: make(chan *verdict, 1)}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.live) >= cmp.Or(a.MaxPrompts, defaultMaxPrompts) {
		return nil, ErrBusy
	}
	if p.ID == "" || len(p.ID) > device.MaxID || a.live[p.ID] != nil || a.ended.Has(p.ID, time.Now()) {
		return nil, fmt.Errorf("prompt id %q is not a new one", p.ID)
	}
	if a.live == nil {
		a.live = make(map[string]*prompt)
	}
	a.live[p.ID] = live
	if c := a.comes[p.ID]; c != nil {
		close(c)
		delete(a.comes, p.ID)
	}
	who := a.userEntry(p.User.Key())
	who.prompts = append(who.prompts, live)
	who.publish(update{prompt: live})
	return live, nil
}

// comesWithin is how long a prompt of another node may take to be live here.
const comesWithin = time.Second

// bring has the open prompt of a user, which another node shows, be live here, and returns
// its id. Empty: there is none.
func (a *Approver) bring(ctx context.Context, user mfa.Name) string {
	if a.Elsewhere == nil {
		return ""
	}
	id := a.Elsewhere(user)
	if id == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, comesWithin)
	defer cancel()
	if c := a.coming(id); c != nil {
		select {
		case <-c:
		case <-ctx.Done():
		}
	}
	return id
}

// coming returns what is closed when the prompt is live; nil: it is, or is over.
func (a *Approver) coming(id string) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.live[id] != nil || a.ended.Has(id, time.Now()) {
		return nil
	}
	c := a.comes[id]
	if c == nil {
		if len(a.comes) >= cmp.Or(a.MaxPrompts, defaultMaxPrompts) {
			return nil
		}
		if a.comes == nil {
			a.comes = make(map[string]chan struct{})
		}
		c = make(chan struct{})
		a.comes[id] = c
	}
	return c
}

// Watches reports whether a device of the user is connected here.
func (a *Approver) Watches(user mfa.Name) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	who := a.users[user.Key()]
	return who != nil && len(who.subs) > 0
}

// giveUp withdraws a prompt whose time is over, unless a decision came first:
// then that one was confirmed to a device and stands.
func (a *Approver) giveUp(ctx context.Context, live *prompt) *verdict {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.close(live, ending{err: ErrExpired}, device.WithdrawnEnded) {
		return <-live.verdict
	}
	return &verdict{err: ctx.Err()}
}

// close ends a prompt, once. The caller holds the lock.
func (a *Approver) close(live *prompt, how ending, reason string) bool {
	if a.live[live.ID] != live {
		return false
	}
	delete(a.live, live.ID)
	user := live.User.Key()
	who := a.users[user]
	who.prompts = slices.DeleteFunc(who.prompts, func(p *prompt) bool { return p == live })
	who.publish(update{gone: live.ID, reason: reason})
	a.forget(user)
	how.user = user
	a.remember(live.ID, how)
	return true
}

// remember keeps how the last prompts ended, so that a device that comes second is told so.
func (a *Approver) remember(id string, e ending) {
	if a.ended == nil {
		a.ended = bound.NewCache[string, ending](keptEnded, 0)
	}
	a.ended.Put(id, e, time.Now())
}

// endedAs returns how a prompt ended, zero where that is not known. The caller
// holds the lock.
func (a *Approver) endedAs(id string) ending {
	e, _ := a.ended.Get(id, time.Now())
	return e
}

// userEntry returns the entry of a user. The caller holds the lock.
func (a *Approver) userEntry(user mfa.NameKey) *userEntry {
	who := a.users[user]
	if who == nil {
		if a.users == nil {
			a.users = make(map[mfa.NameKey]*userEntry)
		}
		who = &userEntry{}
		a.users[user] = who
	}
	return who
}

// forget drops an entry that holds nothing. The caller holds the lock.
func (a *Approver) forget(user mfa.NameKey) {
	if who := a.users[user]; who != nil && len(who.prompts) == 0 && len(who.subs) == 0 {
		delete(a.users, user)
	}
}

// Amend shows requests, all that wait for the prompt so far, on the devices.
func (a *Approver) Amend(promptID string, requests []mfa.PromptRequest) {
	requests = slices.Clone(requests)
	a.mu.Lock()
	defer a.mu.Unlock()
	live := a.live[promptID]
	if live == nil {
		return
	}
	live.Requests = requests
	a.users[live.User.Key()].publish(update{prompt: live})
}

// Decide ends a prompt by a device's decision. The decision must be signed by a
// device that is registered at this moment and belongs to the prompt's user; it
// counts once; who sends an approval that was answered with a code again gets
// the same answer. A wrong number is a denial, as is everything that is not approve.
// An error means that the decision did not count and the prompt, if there is
// one, still waits: the errors above, those of package device (ErrNoDevice,
// ErrSignature, ErrPasskeyRequired, ErrBadPasskey, *VersionError), or the store's.
func (a *Approver) Decide(ctx context.Context, d device.Decision) (device.DecisionResponse, error) {
	if err := d.Check(); err != nil {
		return device.DecisionResponse{}, err
	}
	dev, err := a.Store.Device(ctx, d.Device)
	if err != nil {
		return device.DecisionResponse{}, err
	}
	live, told, err := a.find(d, dev.User.Key())
	if errors.Is(err, ErrUnknownPrompt) && a.bring(ctx, dev.User) == d.Prompt {
		live, told, err = a.find(d, dev.User.Key())
	}
	if live == nil {
		return told, err
	}
	if err := d.Verify(dev.Key, live.User.String()); err != nil {
		return device.DecisionResponse{}, err
	}
	outcome, v, err := judge(live, d)
	if err != nil {
		return device.DecisionResponse{}, err
	}
	// Before the caller learns what the number was worth, and before a wrong one counts.
	if err := a.confirm(ctx, dev, live.User, d); err != nil {
		return device.DecisionResponse{}, err
	}
	v.approval = mfa.Approval{Device: dev.Name, DeviceID: dev.ID, Signature: d.Signature}
	how := ending{err: ErrDecided}
	told = device.DecisionResponse{Outcome: outcome}
	if live.Code != "" && outcome == device.OutcomeApproved {
		told.Code, told.CodeExpires = string(live.Code), live.CodeExpires.UTC()
		how.told, how.device, how.signature = &told, d.Device, d.Signature
	}
	if err := a.decided(live, how, v); err != nil {
		return device.DecisionResponse{}, err
	}
	if told.Code != "" && live.Approved != nil {
		live.Approved(v.approval)
	}
	return told, nil
}

// decided ends a prompt by a decision, unless it is over.
func (a *Approver) decided(live *prompt, how ending, v verdict) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.close(live, how, device.WithdrawnDecided) {
		return a.over(live.ID, live.User.Key())
	}
	live.verdict <- &v
	return nil
}

// find returns the live prompt that d decides, or what is to be told of one that
// is over. user is whose device it is.
func (a *Approver) find(d device.Decision, user mfa.NameKey) (*prompt, device.DecisionResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	live := a.live[d.Prompt]
	if live == nil {
		if told, same := a.endedAs(d.Prompt).again(d); same {
			return nil, told, nil
		}
		return nil, device.DecisionResponse{}, a.over(d.Prompt, user)
	}
	if live.User.Key() != user {
		return nil, device.DecisionResponse{}, ErrNotYours
	}
	if !live.Expires.IsZero() && !time.Now().Before(live.Expires) {
		return nil, device.DecisionResponse{}, ErrExpired // Push is about to give up
	}
	return live, device.DecisionResponse{}, nil
}

// over returns why a decision on a prompt that is not live comes too late, always
// an error. The caller holds the lock.
func (a *Approver) over(id string, user mfa.NameKey) error {
	switch e := a.endedAs(id); {
	case e.err == nil: // or so many prompts ended since that it is forgotten
		return ErrUnknownPrompt
	case e.user != user:
		return ErrNotYours
	default:
		return e.err
	}
}

// judge says what a genuine decision means for the prompt.
func judge(live *prompt, d device.Decision) (device.Outcome, verdict, error) {
	switch d.Action {
	case device.ActionDeny:
		return device.OutcomeDenied, verdict{err: fmt.Errorf("denied on the device: %w", mfa.ErrRejected)}, nil
	case device.ActionNotMe:
		return device.OutcomeReported, verdict{err: fmt.Errorf("denied on the device: %w: %w", mfa.ErrRejected, mfa.ErrNotMe)}, nil
	case device.ActionApprove:
	default:
		return "", verdict{}, device.ErrMalformed
	}
	switch {
	case live.Number == "" && d.Number != "":
		return "", verdict{}, fmt.Errorf("%w: this request takes no number", device.ErrMalformed)
	case live.Number == "" && live.Code == "":
		return device.OutcomeApproved, verdict{}, nil
	case live.Number != "" && d.Version < device.VersionNumber:
		return "", verdict{}, ErrTooOld
	case live.Code != "" && d.Version < device.VersionCode:
		return "", verdict{}, ErrTooOldForCode
	case d.Surface != "" && d.Surface != device.SurfaceApp:
		return "", verdict{}, ErrSurface
	case live.Number == "":
		return device.OutcomeApproved, verdict{}, nil
	case d.Number == "":
		return "", verdict{}, ErrNumberRequired
	case subtle.ConstantTimeCompare([]byte(live.Number), []byte(d.Number)) != 1:
		return device.OutcomeWrongNumber, verdict{err: fmt.Errorf("%w: %w", mfa.ErrRejected, mfa.ErrWrongNumber)}, nil
	}
	return device.OutcomeApproved, verdict{}, nil
}

// confirm returns nil when d needs no passkey or has the right one. A device that
// has registered one is never believed without it, whatever the configuration is now.
func (a *Approver) confirm(ctx context.Context, dev device.Device, user mfa.Name, d device.Decision) error {
	switch {
	case d.Action != device.ActionApprove, dev.Passkey == nil && !a.RequirePasskey:
		return nil
	case dev.Passkey == nil, len(d.Assertion) == 0, a.Passkeys == nil:
		return device.ErrPasskeyRequired
	}
	return a.Passkeys.VerifyPasskey(ctx, dev, d.Challenge(user.String()), d.Assertion)
}
