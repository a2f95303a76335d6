package store

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/op"
)

// maxLatches bounds the source addresses that are remembered. Whoever reaches
// it has a client's secret and a network of addresses.
const maxLatches = 100_000

// LatchedSource is an address from which unsigned requests are refused, because
// it has signed before.
type LatchedSource struct {
	Client string
	Addr   netip.Addr
	Since  time.Time
}

// unsaved is what the janitor will write. mu guards it.
type unsaved struct {
	latches map[latchKey]time.Time
	devices map[string]struct{}
	full    bool // maxLatches was reached, and logged
}

func (u *unsaved) seen(device string) {
	if u.devices == nil {
		u.devices = make(map[string]struct{})
	}
	u.devices[device] = struct{}{}
}

// Latched reports whether source has proved that it signs. It answers from memory.
func (s *Store) Latched(client string, source netip.Addr) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.latches[latchKey{client, source.Unmap()}]
	return ok
}

// Latch remembers that source signs: in memory at once, on disk a little later.
func (s *Store) Latch(client string, source netip.Addr, at time.Time) {
	key := latchKey{client, source.Unmap()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.latches[key]; ok || s.latches == nil {
		return
	}
	if len(s.latches) >= maxLatches {
		if !s.unsaved.full {
			s.log.Error("too many addresses have signed: no further one is remembered", zap.String("client", client), zap.Int("addresses", maxLatches))
		}
		s.unsaved.full = true
		return
	}
	s.latches[key] = at
	if s.unsaved.latches == nil {
		s.unsaved.latches = make(map[latchKey]time.Time)
	}
	s.unsaved.latches[key] = at
}

// Latches returns what is remembered on disk, by client and address.
func (s *Store) Latches(ctx context.Context) (_ []LatchedSource, err error) {
	defer wrap(&err, "store: latches")
	latches, err := pullLatches(ctx, s.db)
	list := make([]LatchedSource, 0, len(latches))
	for key, since := range latches {
		list = append(list, LatchedSource{Client: key.client, Addr: key.addr, Since: since})
	}
	slices.SortFunc(list, func(a, b LatchedSource) int {
		return cmp.Or(cmp.Compare(a.Client, b.Client), a.Addr.Compare(b.Addr))
	})
	return list, err
}

// Unlatch forgets that addr of client signs, or for the zero Addr that any
// does, and returns how many addresses that were. ErrNotFound if none.
func (s *Store) Unlatch(ctx context.Context, client string, addr netip.Addr, ev mfa.Event) (n int, err error) {
	defer wrap(&err, "store: unlatch")
	done, err := s.Apply(ctx, ev, op.Unlatch{Client: client, Addr: addr})
	return done.N, err
}

// flush writes what was to be written later.
func (s *Store) flush(ctx context.Context) error {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	s.mu.Lock()
	todo := s.unsaved
	s.unsaved = unsaved{full: todo.full}
	var notes []op.Note
	for key, since := range todo.latches {
		notes = append(notes, op.KeepLatch{Latch: op.Latch{Client: key.client, Addr: key.addr, Since: since}})
	}
	for id := range todo.devices {
		if d := s.devices[id]; d != nil {
			notes = append(notes, op.SeeDevice{ID: id, Version: d.Version, At: d.Seen, Passkey: d.Passkey})
		}
	}
	s.mu.Unlock()
	if len(notes) == 0 {
		return nil
	}
	err := s.keep(ctx, notes...)
	if err != nil {
		s.putBack(todo)
	}
	return err
}

// putBack keeps what could not be written.
func (s *Store) putBack(todo unsaved) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unsaved.latches == nil {
		s.unsaved.latches = make(map[latchKey]time.Time)
	}
	maps.Copy(s.unsaved.latches, todo.latches)
	for id := range todo.devices {
		s.unsaved.seen(id)
	}
}
