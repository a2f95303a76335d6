package web

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/radmatch/radmatch/mfa/push"
)

// events streams what happens to a user's prompts until the device goes, is
// removed, or the server ends.
func (s *Server) events(w http.ResponseWriter, r *http.Request, c caller) {
	limit := s.MaxStreams
	if limit == 0 {
		limit = defaultStreams
	}
	perAddress := s.MaxAddressStreams
	if perAddress == 0 {
		perAddress = defaultStreams / 4
	}
	end := s.streams.add(c.ID, proxies(s.TrustedProxies).limited(r.RemoteAddr), limit, perAddress)
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
		dev, err := s.Store.Device(r.Context(), c.ID)
		if err != nil {
			return
		}
		for _, u := range updates {
			s.complete(dev, u)
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
