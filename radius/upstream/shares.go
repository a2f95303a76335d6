package upstream

import "sync"

// shares bounds how much of something each client holds, so that none holds all
// of it. Its zero value is ready. Its methods may be called concurrently.
type shares struct {
	mu   sync.Mutex
	held map[string]int
}

// take takes one for the client, unless it holds most already. A place for no
// client ("") is not bounded.
func (s *shares) take(client string, most int) bool {
	if client == "" {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[client] >= most {
		return false
	}
	if s.held == nil {
		s.held = make(map[string]int)
	}
	s.held[client]++
	return true
}

// give gives back what take took.
func (s *shares) give(client string) {
	if client == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[client]--; s.held[client] == 0 {
		delete(s.held, client)
	}
}
