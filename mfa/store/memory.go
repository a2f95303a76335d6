package store

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/otp"
)

// loadAll reads everything that logins need, as of one moment.
func (s *Store) loadAll(ctx context.Context) error {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	return s.loadAllLocked(ctx)
}

// loadAllLocked is loadAll for a caller that holds wmu: nothing is written meanwhile.
func (s *Store) loadAllLocked(ctx context.Context) error {
	st, err := s.db.Load(ctx)
	if err != nil {
		return err
	}
	s.knowBypasses(st.Bypasses)
	s.mu.Lock()
	s.accounts, s.devices, s.latches = st.Accounts, devicesOf(st.Accounts), latchesOf(st.Latches)
	s.mu.Unlock()
	s.ledger.makeRoom(len(st.Accounts))
	if st.Numbers != nil {
		s.ledger.order.Lock()
		s.ledger.begun(st.Numbers)
		s.ledger.order.Unlock()
	}
	s.applied = st.Change
	s.tail.Store(st.Tail)
	return s.db.Acknowledge(st.Change)
}

// devicesOf returns the devices of all accounts by their ids.
func devicesOf(accounts map[string]*record.Account) map[string]*device.Device {
	devices := make(map[string]*device.Device)
	for _, a := range accounts {
		for _, d := range a.Devices {
			devices[d.ID] = d
		}
	}
	return devices
}

// put replaces the accounts of users with what was read, nil for those that are
// gone. Steps that are used in memory stay used. wmu is held.
func (s *Store) put(users []string, read map[string]*record.Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, user := range users {
		a := read[user]
		if old := s.accounts[user]; old != nil {
			inherit(a, old)
			s.forget(old)
		}
		if a == nil {
			delete(s.accounts, user)
			continue
		}
		s.accounts[user] = a
		for _, d := range a.Devices {
			s.devices[d.ID] = d
		}
	}
}

// inherit takes over what memory knows and the disk may not yet.
func inherit(a, old *record.Account) {
	if a == nil {
		return
	}
	for i := range old.Tokens {
		o := &old.Tokens[i]
		if t := a.Token(o.ID); t != nil {
			t.Used(o.Next-1, int64(o.Drift))
		}
	}
	for _, o := range old.Devices {
		for _, d := range a.Devices {
			if d.ID == o.ID && o.Seen.After(d.Seen) {
				d.Version, d.Seen = o.Version, o.Seen
			}
			if d.ID == o.ID && samePasskey(o, d) {
				d.Passkey = o.Passkey // its count is newer
			}
		}
	}
}

func (s *Store) forget(a *record.Account) {
	for _, d := range a.Devices {
		delete(s.devices, d.ID)
	}
}

// view calls f with the account of a user, nil for an unknown one: the server's
// from memory under mu, a command's as the database has it now.
func (s *Store) view(ctx context.Context, user mfa.Name, f func(*record.Account)) error {
	key := user.Key().String()
	if s.opt.Server {
		s.mu.RLock()
		defer s.mu.RUnlock()
		f(s.accounts[key])
		return nil
	}
	if key == "" {
		f(nil)
		return nil
	}
	accounts, err := s.db.Accounts(ctx, record.Which{User: key})
	if err == nil {
		f(accounts[key])
	}
	return err
}

// User implements mfa.Directory.
func (s *Store) User(ctx context.Context, name mfa.Name) (mfa.User, error) {
	u := mfa.User{Name: name}
	var v mfa.Version
	if s.opt.Server {
		v = s.ledger.version(name.Key().String()) // first: it must not be newer than the rest
	}
	now := record.Micros(s.opt.Now())
	err := s.view(ctx, name, func(a *record.Account) {
		if a == nil {
			return
		}
		u = mfa.User{
			Name: a.Name, Blocked: a.Blocked, Devices: len(a.Devices), Default: a.Method,
			PushBlocked: slices.Clone(a.Barred), Unblocked: record.FromMicros(a.Unblocked),
		}
		if a.Unblocked > now { // the clock was set back: it would forgive wrong codes until it is there again
			u.Unblocked = time.Time{}
		}
		for _, d := range a.Devices {
			if d.Provider != "" {
				u.Elsewhere = append(u.Elsewhere, d.Provider)
			}
		}
		for i := range a.Tokens {
			t := &a.Tokens[i]
			if t.Kind != otp.Pass {
				u.Codes++
				continue
			}
			u.HasPass = true
			if t.NotBefore <= now && now < t.Expires && (!t.Once || t.Next == 0) {
				u.Pass = true
			}
		}
	})
	if err != nil {
		return mfa.User{}, err
	}
	u.Version = v
	return u, nil
}

// Users returns the names of all users that the store knows, sorted.
func (s *Store) Users(ctx context.Context) ([]mfa.Name, error) { return s.db.Names(ctx) }

// sorted returns the accounts in the order of their keys.
func sorted(accounts map[string]*record.Account) []*record.Account {
	list := make([]*record.Account, 0, len(accounts))
	for _, user := range slices.Sorted(maps.Keys(accounts)) {
		list = append(list, accounts[user])
	}
	return list
}

type latchKey struct {
	client string
	addr   netip.Addr
}

func latchesOf(list []op.Latch) map[latchKey]time.Time {
	latches := make(map[latchKey]time.Time, len(list))
	for _, l := range list {
		latches[latchKey{l.Client, l.Addr}] = l.Since
	}
	return latches
}

// samePasskey reports whether two devices have the same passkey.
func samePasskey(a, b *device.Device) bool {
	return a.Passkey != nil && b.Passkey != nil && bytes.Equal(a.Passkey.ID, b.Passkey.ID)
}

// SetDefaultMethod sets what `method default` chooses; "" goes back to what
// follows from the registered methods.
func (s *Store) SetDefaultMethod(ctx context.Context, user mfa.Name, m mfa.Method, ev mfa.Event) (err error) {
	defer wrap(&err, "store: default method")
	if m != "" && m != mfa.MethodPush && m != mfa.MethodOTP {
		return fmt.Errorf("no such method: %q", m)
	}
	_, err = s.Apply(ctx, ev, op.SetDefaultMethod{User: user, Method: m})
	return err
}

// SetBlocked blocks a user, or lifts every block of the user: then each "this was not
// me" is taken back, and wrong codes and denials from before are forgotten too. Both
// end the user's invitations: a block that a "this was not me" has set leaves them to
// the unblocking.
func (s *Store) SetBlocked(ctx context.Context, user mfa.Name, blocked bool, ev mfa.Event) (err error) {
	defer wrap(&err, "store: block")
	if blocked {
		_, err = s.Apply(ctx, ev, op.Block{User: user})
	} else {
		_, err = s.Apply(ctx, ev, op.Unblock{User: user, At: s.opt.Now()})
	}
	return err
}

// Clash is a user who was several before names had a form.
type Clash struct {
	User   mfa.Name
	Others []string // keys whose methods and blocks count for no user
}

// Clashes returns the users whose names were kept apart and are one.
func (s *Store) Clashes(ctx context.Context) (list []Clash, err error) {
	defer wrap(&err, "store: names")
	odd, err := s.db.OddKeys(ctx)
	for form, keys := range odd {
		if form != "" { // no name at all: it blocks no other name
			list = append(list, Clash{mfa.NameOf(form), keys})
		}
	}
	slices.SortFunc(list, func(a, b Clash) int { return strings.Compare(a.User.String(), b.User.String()) })
	return list, err
}

// bar notes in memory that push is off for a user at a client group, and
// that the user is blocked where that is so. wmu is held.
func (s *Store) bar(user, group string, blocked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[user]
	if a == nil {
		a = &record.Account{Name: mfa.NameOf(user)}
		s.accounts[user] = a
	}
	a.Blocked = a.Blocked || blocked
	if !slices.Contains(a.Barred, group) {
		a.Barred = append(slices.Clip(a.Barred), group)
	}
}
