package store

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/op"
)

// maxLatches bounds the source addresses that are remembered. Anyone who reaches
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
	latches, err := s.db.Latches(ctx)
	list := make([]LatchedSource, 0, len(latches))
	for _, l := range latches {
		list = append(list, LatchedSource(l))
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

// ClientStats is what the server has counted for one client since it started.
type ClientStats struct {
	Client       string            `json:"client"`
	Packets      uint64            `json:"packets"`
	Accepts      uint64            `json:"accepts"`
	Rejects      uint64            `json:"rejects"`
	Challenges   uint64            `json:"challenges"`
	Discards     uint64            `json:"discards"`                // not answered, whatever the reason
	Duplicates   uint64            `json:"duplicates"`              // retransmissions
	Signed       uint64            `json:"signed"`                  // new requests with a valid Message-Authenticator
	Unsigned     uint64            `json:"unsigned"`                // and without one
	Refused      map[string]uint64 `json:"refused,omitempty"`       // failed intake, by reason
	Recorded     uint64            `json:"accounting,omitempty"`    // reports of sessions, retransmissions aside
	UnsignedFrom []UnsignedSource  `json:"unsigned_from,omitempty"` // from where unsigned logins were accepted lately; outlasts a restart
	Late         uint64            `json:"late,omitempty"`          // answered when the client no longer waited
	Mean         time.Duration     `json:"mean_ns"`                 // from request to answer
	Max          time.Duration     `json:"max_ns"`
	Last         time.Time         `json:"last_seen,omitzero"`
}

// UnsignedSource is an address from which an unsigned login was accepted, and when last.
type UnsignedSource struct {
	Addr netip.Addr `json:"addr"`
	At   time.Time  `json:"at"`
}

// SaveStats replaces the saved statistics. Numbers that have not changed since the last
// call is not written.
func (s *Store) SaveStats(ctx context.Context, stats []ClientStats) (err error) {
	defer wrap(&err, "store: statistics")
	now := make(map[string]string, len(stats))
	for i := range stats {
		data, err := json.Marshal(&stats[i])
		if err != nil {
			return err
		}
		now[s.ownStats()+stats[i].Client] = string(data)
	}
	s.wmu.Lock()
	defer s.wmu.Unlock()
	if s.saved != nil && maps.Equal(s.saved, now) {
		return nil
	}
	var notes []op.Note
	if s.saved == nil { // those of the server before this one
		notes = append(notes, op.ClearStats{Prefix: s.ownStats()})
	}
	for client := range s.saved {
		if _, ok := now[client]; !ok {
			notes = append(notes, op.SetStats{Client: client})
		}
	}
	for client, data := range now {
		if s.saved[client] != data {
			notes = append(notes, op.SetStats{Client: client, Data: []byte(data)})
		}
	}
	err = s.keep(ctx, notes...)
	if err == nil {
		s.saved = now
	}
	return err
}

// ownStats is what the names of clients begin with in the statistics of this node: each keeps
// its own.
func (s *Store) ownStats() string {
	if s.nodes == nil {
		return ""
	}
	return s.opt.Node + "\n"
}

// ClientStats returns the saved statistics by client, all nodes together.
func (s *Store) ClientStats(ctx context.Context) (list []ClientStats, err error) {
	defer wrap(&err, "store: statistics")
	stored, err := s.db.Stats(ctx)
	if err != nil {
		return nil, err
	}
	for _, data := range stored {
		var c ClientStats
		if err := json.Unmarshal(data, &c); err != nil {
			return list, err
		}
		i := slices.IndexFunc(list, func(o ClientStats) bool { return o.Client == c.Client })
		if i < 0 {
			list = append(list, c)
			continue
		}
		list[i].add(&c)
	}
	return list, nil
}

// add adds what another node has counted for the client.
func (c *ClientStats) add(o *ClientStats) {
	if answered := c.answered() + o.answered(); answered > 0 {
		c.Mean = time.Duration((float64(c.Mean)*float64(c.answered()) + float64(o.Mean)*float64(o.answered())) / float64(answered))
	}
	for to, n := range map[*uint64]uint64{
		&c.Packets: o.Packets, &c.Accepts: o.Accepts, &c.Rejects: o.Rejects, &c.Challenges: o.Challenges, &c.Discards: o.Discards,
		&c.Duplicates: o.Duplicates, &c.Signed: o.Signed, &c.Unsigned: o.Unsigned, &c.Recorded: o.Recorded, &c.Late: o.Late,
	} {
		*to += n
	}
	for reason, n := range o.Refused {
		if c.Refused == nil {
			c.Refused = make(map[string]uint64)
		}
		c.Refused[reason] += n
	}
	for _, u := range o.UnsignedFrom {
		i := slices.IndexFunc(c.UnsignedFrom, func(x UnsignedSource) bool { return x.Addr == u.Addr })
		if i < 0 {
			c.UnsignedFrom = append(c.UnsignedFrom, u)
		} else if u.At.After(c.UnsignedFrom[i].At) {
			c.UnsignedFrom[i].At = u.At
		}
	}
	c.Max = max(c.Max, o.Max)
	if o.Last.After(c.Last) {
		c.Last = o.Last
	}
}

func (c *ClientStats) answered() uint64 { return c.Accepts + c.Rejects + c.Challenges }
