package otptest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/otp"
)

// Memory is a store that keeps nothing. The zero value is empty and ready; its
// methods may be called concurrently.
type Memory struct {
	mu     sync.Mutex
	tokens map[mfa.NameKey][]otp.Token
	used   map[string]int64 // how far removed tokens were used
	events []mfa.Event
}

var _ Store = (*Memory)(nil)

// Events returns what was committed so far.
func (m *Memory) Events() []mfa.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.events)
}

// Tokens implements otp.Store.
func (m *Memory) Tokens(_ context.Context, user mfa.Name) ([]otp.Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	tokens := slices.Clone(m.tokens[user.Key()])
	for i := range tokens {
		tokens[i].Secret = bytes.Clone(tokens[i].Secret)
	}
	return tokens, nil
}

// Forms implements otp.Store.
func (m *Memory) Forms(user mfa.Name) otp.Forms {
	m.mu.Lock()
	defer m.mu.Unlock()
	var f otp.Forms
	for _, t := range m.tokens[user.Key()] {
		f = f.With(t)
	}
	return f
}

// User has the version of the store: here one is for all users.
func (m *Memory) User(_ context.Context, name mfa.Name) (mfa.User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return mfa.User{Name: name, Version: m.version()}, nil
}

func (m *Memory) version() mfa.Version { return mfa.Version{Epoch: 1, N: int64(len(m.events))} }

// Append implements mfa.Ledger. otp.ErrUsed where the step is used, or the token gone.
func (m *Memory) Append(_ context.Context, base mfa.Version, ev mfa.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if base != m.version() {
		return mfa.ErrStale
	}
	tokens := m.tokens[ev.User.Key()]
	i := slices.IndexFunc(tokens, func(t otp.Token) bool { return t.ID == ev.Token })
	switch {
	case i < 0, ev.Used && ev.Step < tokens[i].Next:
		return otp.ErrUsed
	case ev.Used:
		tokens[i].Next, tokens[i].Drift = ev.Step+1, ev.Drift
	}
	m.events = append(m.events, ev)
	return nil
}

// AddToken registers a token: ErrDuplicate, ErrTooMany.
func (m *Memory) AddToken(_ context.Context, t otp.Token, admin mfa.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	t.Secret = bytes.Clone(t.Secret)
	user := t.User.Key()
	for name, tokens := range m.tokens {
		for _, o := range tokens {
			if name == user && bytes.Equal(o.Secret, t.Secret) || t.Serial != "" && strings.EqualFold(o.Serial, t.Serial) {
				return otp.ErrDuplicate
			}
		}
	}
	if len(m.tokens[user]) >= otp.MaxTokens {
		return otp.ErrTooMany
	}
	t.Next = max(t.Next, m.used[mark(t)])
	m.set(user, append(m.tokens[user], t), admin)
	return nil
}

// mark names a secret and what its steps mean.
func mark(t otp.Token) string { return fmt.Sprint(t.Kind, t.Period, t.Secret) }

// ReplacePass registers a pass in place of the user's old one.
func (m *Memory) ReplacePass(_ context.Context, t otp.Token, admin mfa.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	t.Secret = bytes.Clone(t.Secret)
	user := t.User.Key()
	kept := slices.DeleteFunc(slices.Clone(m.tokens[user]), func(o otp.Token) bool { return o.Kind == otp.Pass })
	if len(kept) >= otp.MaxTokens {
		return otp.ErrTooMany
	}
	m.set(user, append(kept, t), admin)
	return nil
}

func (m *Memory) set(user mfa.NameKey, tokens []otp.Token, admin mfa.Event) {
	if m.tokens == nil {
		m.tokens = make(map[mfa.NameKey][]otp.Token)
	}
	m.tokens[user] = tokens
	m.events = append(m.events, admin)
}

// RemoveToken removes a token by its id or serial number: ErrNoToken.
func (m *Memory) RemoveToken(_ context.Context, user mfa.Name, idOrSerial string, admin mfa.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := user.Key()
	kept := slices.DeleteFunc(slices.Clone(m.tokens[key]), func(t otp.Token) bool {
		return t.ID == idOrSerial || t.Serial != "" && t.Serial == idOrSerial
	})
	if len(kept) == len(m.tokens[key]) {
		return otp.ErrNoToken
	}
	if m.used == nil {
		m.used = make(map[string]int64)
	}
	for _, t := range m.tokens[key] {
		m.used[mark(t)] = max(m.used[mark(t)], t.Next)
	}
	m.set(key, kept, admin)
	return nil
}
