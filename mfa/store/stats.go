package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"github.com/radmatch/radmatch/mfa/store/op"
	"maps"
	"net/netip"
	"time"
)

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
	Late         uint64            `json:"late,omitempty"`          // answered when the client waited no more
	Mean         time.Duration     `json:"mean_ns"`                 // from request to answer
	Max          time.Duration     `json:"max_ns"`
	Last         time.Time         `json:"last_seen,omitzero"`
}

// UnsignedSource is an address from which an unsigned login was accepted, and when last.
type UnsignedSource struct {
	Addr netip.Addr `json:"addr"`
	At   time.Time  `json:"at"`
}

// SaveStats replaces the saved statistics. What has not changed since the last
// call is not written.
func (s *Store) SaveStats(ctx context.Context, stats []ClientStats) (err error) {
	defer wrap(&err, "store: statistics")
	now := make(map[string]string, len(stats))
	for i := range stats {
		data, err := json.Marshal(&stats[i])
		if err != nil {
			return err
		}
		now[stats[i].Client] = string(data)
	}
	s.wmu.Lock()
	defer s.wmu.Unlock()
	if s.saved != nil && maps.Equal(s.saved, now) {
		return nil
	}
	var notes []op.Note
	if s.saved == nil { // those of the server before this one
		notes = append(notes, op.ClearStats{})
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

// ClientStats returns the saved statistics by client.
func (s *Store) ClientStats(ctx context.Context) (list []ClientStats, err error) {
	defer wrap(&err, "store: statistics")
	err = each(ctx, s.db, `SELECT data FROM stats ORDER BY client`, nil, func(r *sql.Rows) error {
		var data []byte
		if err := r.Scan(&data); err != nil {
			return err
		}
		var c ClientStats
		if err := json.Unmarshal(data, &c); err != nil {
			return err
		}
		list = append(list, c)
		return nil
	})
	return list, err
}
