package accounting

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

const (
	// maxSessions bounds each of the two halves of Sessions.
	maxSessions = 50_000
	// keepSession is how long a half lasts. A session that is reported on stays.
	keepSession = 24 * time.Hour
)

// Sessions joins reports to logins at devices that send no Class back: those that
// send the same Acct-Session-Id with the Access-Request. It is in memory, bounded,
// and decides nothing. Its methods may be called concurrently.
type Sessions struct {
	seed maphash.Seed

	mu       sync.Mutex
	now, old map[uint64]string // login ids
	since    time.Time
}

// NewSessions returns an empty one.
func NewSessions() *Sessions { return &Sessions{seed: maphash.MakeSeed()} }

// Key is a hash of who has the session where, 0 where id is empty: the request names
// none. A device that counts its sessions from 1 again must not join one user's to
// another.
func (s *Sessions) Key(client string, user mfa.Name, id []byte) uint64 {
	if len(id) == 0 {
		return 0
	}
	var h maphash.Hash
	h.SetSeed(s.seed)
	h.WriteString(client)
	h.WriteByte(0)
	h.Write(id)
	maphash.WriteComparable(&h, user.Key())
	return h.Sum64() | 1
}

// Note remembers the login of a session. The key 0 is that of none.
func (s *Sessions) Note(key uint64, login string, now time.Time) {
	if key == 0 || login == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(key, login, now)
}

func (s *Sessions) put(key uint64, login string, now time.Time) {
	if s.now == nil || len(s.now) >= maxSessions || now.Sub(s.since) >= keepSession {
		s.old, s.now, s.since = s.now, make(map[uint64]string), now
	}
	s.now[key] = login
}

// Login returns the login of a session, empty where it is not known.
func (s *Sessions) Login(key uint64, now time.Time) string {
	if key == 0 {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	login, ok := s.now[key]
	if !ok {
		if login, ok = s.old[key]; ok {
			s.put(key, login, now)
		}
	}
	return login
}
