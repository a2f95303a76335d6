package web

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa/push"
)

// maxDeviceStreams is how many streams a device may have. One more ends its
// oldest: a phone that changed networks leaves a dead connection behind, and
// must not be locked out by it.
const maxDeviceStreams = 2

// streams are the open event streams. The zero value is ready.
type streams struct {
	mu     sync.Mutex
	open   map[string][]chan struct{} // by device; each is closed to end its stream
	count  int
	closed bool
}

// add registers a stream. It returns nil where there are too many.
func (s *streams) add(device string, limit int) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := s.open[device]
	if len(mine) == maxDeviceStreams {
		close(mine[0])
		s.drop(device, mine[0])
		mine = s.open[device]
	}
	if s.closed || s.count >= limit {
		return nil
	}
	if s.open == nil {
		s.open = make(map[string][]chan struct{})
	}
	end := make(chan struct{})
	s.open[device] = append(mine, end)
	s.count++
	return end
}

func (s *streams) remove(device string, end chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(device, end)
}

// drop forgets a stream, once. The caller holds the lock.
func (s *streams) drop(device string, end chan struct{}) {
	i := slices.Index(s.open[device], end)
	if i < 0 {
		return
	}
	s.count--
	s.open[device] = slices.Delete(s.open[device], i, i+1)
	if len(s.open[device]) == 0 {
		delete(s.open, device)
	}
}

func (s *streams) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, ends := range s.open {
		for _, end := range ends {
			close(end)
		}
	}
	s.open, s.count = nil, 0
}

// events streams what happens to a user's prompts until the device goes, is
// removed, or the server ends.
func (s *Server) events(w http.ResponseWriter, r *http.Request, c caller) {
	limit := s.MaxStreams
	if limit == 0 {
		limit = defaultStreams
	}
	end := s.streams.add(c.ID, limit)
	if end == nil {
		refuse(w, errBusy)
		return
	}
	defer s.streams.remove(c.ID, end)
	sub := s.Approver.Subscribe(c.User, c.version)
	defer sub.Close()

	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	out := &stream{w: w, rc: http.NewResponseController(w)}
	beat := s.Heartbeat
	if beat == 0 {
		beat = defaultInterval
	}
	tick := time.NewTicker(beat)
	defer tick.Stop()
	defer func() { _ = out.extend() }() // for the last chunk
	for {
		var updates []push.Update
		select {
		case <-r.Context().Done():
			return
		case <-end:
			return
		case <-tick.C:
		case <-sub.Ready():
			updates = sub.Take()
		}
		// The device may have been removed by a command beside this process.
		if _, err := s.Store.Device(r.Context(), c.ID); err != nil {
			return
		}
		if err := out.send(updates); err != nil {
			return
		}
	}
}

// stream writes server-sent events.
type stream struct {
	w  io.Writer
	rc *http.ResponseController
}

// extend gives the next write its time.
func (s *stream) extend() error { return s.rc.SetWriteDeadline(time.Now().Add(requestTimeout)) }

// send writes updates, or a sign of life where there are none.
func (s *stream) send(updates []push.Update) error {
	if err := s.extend(); err != nil {
		return err
	}
	if len(updates) == 0 {
		if _, err := io.WriteString(s.w, ":\n\n"); err != nil {
			return err
		}
	}
	for _, u := range updates {
		name, data := event(u)
		text, err := json.Marshal(data) // holds no line break
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(s.w, "event: %s\ndata: %s\n\n", name, text); err != nil {
			return err
		}
	}
	return s.rc.Flush()
}

func event(u push.Update) (name string, data any) {
	switch {
	case u.Sync != nil:
		return "sync", u.Sync
	case u.Prompt != nil:
		return "prompt", u.Prompt
	default:
		return "withdrawn", u.Withdrawn
	}
}
