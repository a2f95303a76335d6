package login

import (
	"context"
	"errors"
	"fmt"
	"github.com/radmatch/radmatch/mfa"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds of what is remembered: about 40 MiB at the most.
const (
	maxRemembered = 100_000
	maxOrigins    = 16 // of one user
)

// memory holds approvals that spare the same user, at the same origin, another
// prompt for a while (`remember`). It is lost at a restart, so that nothing on
// disk accepts a login. It may be used concurrently; its zero value is ready.
type memory struct {
	mu      sync.Mutex
	origins map[string]*remembered // by join key
	names   map[mfa.NameKey][]*remembered
	swept   time.Time // when it was last looked through
}

// remembered is one approval. It is never changed: a use does not extend it.
type remembered struct {
	key    string
	names  []mfa.NameKey // bare, by which it is forgotten
	login  string
	device mfa.Approval
	at     time.Time
	until  time.Time
}

// call adds a name by which the approval is forgotten. It is not yet in use.
func (a *remembered) call(user mfa.NameKey) {
	if n := bareName(user); !slices.Contains(a.names, n) {
		a.names = append(a.names, n)
	}
}

func (a *remembered) text() string {
	return fmt.Sprintf("approved on %q at %s, login %s", a.device.Device, a.at.UTC().Format(time.RFC3339), a.login)
}

// bareName is a name without its domain. To forget too much costs a prompt; to
// forget too little, because a name was spelled otherwise, would cost more.
func bareName(user mfa.NameKey) mfa.NameKey {
	name := user.String()
	if i := strings.LastIndexByte(name, '\\'); i >= 0 {
		name = name[i+1:]
	}
	name, _, _ = strings.Cut(name, "@")
	return mfa.NameOf(name).Key()
}

// newRemembered is the approval that ev tells of.
func newRemembered(w *pendingLogin, ev *mfa.Event) *remembered {
	return rememberedAt(w.Key, w.client.Remember, ev)
}

// rememberedAt is newRemembered under a join key, for a time.
func rememberedAt(key string, d time.Duration, ev *mfa.Event) *remembered {
	return &remembered{
		key: key, login: ev.ID, device: mfa.Approval{Device: ev.Device, DeviceID: ev.DeviceID},
		at: ev.Time, until: ev.Time.Add(d), names: []mfa.NameKey{bareName(ev.User.Key())},
	}
}

func (m *memory) Add(a *remembered) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old := m.origins[a.key]; old != nil {
		m.drop(old)
	}
	if len(m.origins) >= maxRemembered && !m.sweep(a.at) {
		return
	}
	if m.origins == nil {
		m.origins, m.names = make(map[string]*remembered), make(map[mfa.NameKey][]*remembered)
	}
	if of := m.names[a.names[0]]; len(of) >= maxOrigins {
		m.drop(of[0])
	}
	m.origins[a.key] = a
	for _, n := range a.names {
		m.names[n] = append(m.names[n], a)
	}
}

// sweep drops what has run out, once a second at most because it looks at every
// entry, and reports whether there is room.
func (m *memory) sweep(now time.Time) bool {
	if now.Sub(m.swept) < time.Second {
		return false
	}
	m.swept = now
	for _, a := range m.origins {
		if !now.Before(a.until) {
			m.drop(a)
		}
	}
	return len(m.origins) < maxRemembered
}

func (m *memory) drop(a *remembered) {
	delete(m.origins, a.key)
	for _, n := range a.names {
		of := slices.DeleteFunc(slices.Clone(m.names[n]), func(o *remembered) bool { return o == a })
		if len(of) == 0 {
			delete(m.names, n)
		} else {
			m.names[n] = of
		}
	}
}

// forget forgets every approval of a user, however the name is spelled.
func (m *memory) forget(user mfa.NameKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.names[bareName(user)] {
		m.drop(a)
	}
}

// find returns the approval of an origin that is not older than age, or nil. An
// approval that was remembered for a shorter time than age stays short.
func (m *memory) find(key string, now time.Time, age time.Duration) *remembered {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.origins[key]
	if a == nil {
		return nil
	}
	if !now.Before(a.until) {
		m.drop(a)
		return nil
	}
	if now.Sub(a.at) >= age {
		return nil
	}
	return a
}

// remembered returns the approval that spares the login a prompt, or nil. As before
// every Accept, blocks and the device are read again.
func (e *Engine) remembered(ctx context.Context, l *Login, c *mfa.Client, user mfa.User) *remembered {
	if c.Remember <= 0 || l.Key == "" {
		return nil
	}
	m, name := &e.Pending.memory, l.Identity.Name.Key()
	a := m.find(l.Key, l.Opened, c.Remember)
	if a == nil {
		return nil
	}
	if user.Blocked || l.Identity.Disabled || user.PushBlockedIn(c.Group) || !a.at.After(user.Unblocked) {
		m.forget(name) // for good: to be unblocked revives nothing
		return nil
	}
	switch err := e.Directory.Registered(ctx, a.device.DeviceID); {
	case errors.Is(err, mfa.ErrRejected):
		m.forget(name)
		return nil
	case err != nil:
		return nil
	}
	return a
}
