package push

import (
	"context"
	"slices"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
)

// maxQueue is how many changes wait for a slow device before they are dropped
// and the device is told the whole list again.
const maxQueue = 16

// Update is one thing that a device is told. Exactly one of its fields is set.
type Update struct {
	Sync      *device.PromptList // all that is live: what is not in it is over
	Prompt    *device.PromptView // a new prompt, or a known one that has changed
	Withdrawn *device.Withdrawn
}

// update is a change that waits in a queue. It holds no copy of the prompt: what
// is sent is the prompt's state when it is sent.
type update struct {
	prompt *prompt
	gone   string // id
	reason string
}

// Subscription is a device's view of its user's prompts. It starts with a sync.
type Subscription struct {
	a       *Approver
	user    mfa.NameKey
	version int
	ready   chan struct{} // capacity 1

	// guarded by a.mu
	queue  []update
	resync bool
}

// Subscribe returns the subscription of a device of user that speaks this
// version. It costs no goroutine. Close it when the device is gone.
func (a *Approver) Subscribe(user mfa.Name, version int) *Subscription {
	s := &Subscription{a: a, user: user.Key(), version: version, ready: make(chan struct{}, 1), resync: true}
	s.ready <- struct{}{}
	a.watch(s)
	if a.Elsewhere != nil {
		a.Elsewhere(user) // it is told as soon as that is live
	}
	return s
}

func (a *Approver) watch(s *Subscription) {
	a.mu.Lock()
	defer a.mu.Unlock()
	who := a.userEntry(s.user)
	who.subs = append(who.subs, s)
}

// Close ends the subscription. It may be called twice.
func (s *Subscription) Close() {
	s.a.mu.Lock()
	defer s.a.mu.Unlock()
	if who := s.a.users[s.user]; who != nil {
		who.subs = slices.DeleteFunc(who.subs, func(o *Subscription) bool { return o == s })
		s.a.forget(s.user)
	}
}

// Ready is sent to when Take has something to return.
func (s *Subscription) Ready() <-chan struct{} { return s.ready }

// Take returns what happened since the last call, in order. Where more than
// maxQueue changes waited, it is one sync.
func (s *Subscription) Take() []Update {
	s.a.mu.Lock()
	defer s.a.mu.Unlock()
	if s.resync {
		s.resync, s.queue = false, nil
		return []Update{{Sync: s.a.list(s.user, s.version)}}
	}
	updates := make([]Update, 0, len(s.queue))
	for _, u := range s.queue {
		if u.prompt == nil {
			updates = append(updates, Update{Withdrawn: &device.Withdrawn{ID: u.gone, Reason: u.reason}})
			continue
		}
		if s.a.live[u.prompt.ID] == u.prompt { // otherwise its withdrawal follows, and it is not worth a prompt
			v := device.ViewOf(&u.prompt.Prompt, s.version)
			updates = append(updates, Update{Prompt: &v})
		}
	}
	clear(s.queue) // it holds prompts
	s.queue = s.queue[:0]
	return updates
}

// publish queues a change for every connected device. The caller holds the lock.
func (p *userEntry) publish(u update) {
	for _, s := range p.subs {
		if len(s.queue) == maxQueue {
			s.resync = true
		}
		if !s.resync {
			s.queue = append(s.queue, u)
		}
		select {
		case s.ready <- struct{}{}:
		default: // it is told already
		}
	}
}

// Live returns what waits for user now, as a device of this version sees it.
func (a *Approver) Live(user mfa.Name, version int) *device.PromptList {
	a.bring(context.Background(), user)
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.list(user.Key(), version)
}

// list returns the live prompts of a user. The caller holds the lock.
func (a *Approver) list(user mfa.NameKey, version int) *device.PromptList {
	l := &device.PromptList{Time: time.Now().UTC().Truncate(time.Millisecond), Prompts: []device.PromptView{}}
	if who := a.users[user]; who != nil {
		for _, p := range who.prompts {
			l.Prompts = append(l.Prompts, device.ViewOf(&p.Prompt, version))
		}
	}
	return l
}
