package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa/front"
	"github.com/radmatch/radmatch/mfa/push"
)

// events streams what happens to a user's prompts until the device goes, is
// removed, or the server ends.
func (s *Server) events(w http.ResponseWriter, r *http.Request, c caller) {
	limit := cmp.Or(s.MaxStreams, defaultStreams)
	perAddress := cmp.Or(s.MaxAddressStreams, limit/4)
	end := s.streams.add(c.ID, front.Proxies(s.TrustedProxies).Limited(r.RemoteAddr), limit, perAddress)
	if end == nil {
		refuse(w, errBusy)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	conn, err := hijack(w)
	if err != nil { // it is broken
		s.streams.remove(c.ID, end)
		return
	}
	go func() {
		defer conn.Close()
		defer s.report()
		s.stream(conn, c, end)
	}()
}

// hijack begins the answer of an event stream and takes the connection over from
// net/http, whose goroutines, stacks and buffers for it are then free: thousands
// of devices are connected all day. The answer ends with the connection.
func hijack(w http.ResponseWriter) (net.Conn, error) {
	h := w.Header()
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	h.Set("Connection", "close")
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 200 OK\r\n")
	_ = h.Write(&head) // to memory
	head.WriteString("\r\n")
	// An error comes again at the first event.
	_ = conn.SetWriteDeadline(time.Now().Add(front.RequestTimeout))
	_, _ = conn.Write(head.Bytes())
	return conn, nil
}

// report turns a bug in a goroutine of our own into one log line.
func (s *Server) report() {
	if v := recover(); v != nil {
		s.Logger.Error("web: internal error", zap.Any("panic", v), zap.ByteString("stack", debug.Stack()))
	}
}

// stream tells a device what happens until end says stop, the device is removed,
// or it does not read.
func (s *Server) stream(conn net.Conn, c caller, end chan struct{}) {
	defer s.streams.remove(c.ID, end)
	sub := s.Approver.Subscribe(c.User, c.version)
	defer sub.Close()
	tick := time.NewTicker(cmp.Or(s.Heartbeat, defaultInterval))
	defer tick.Stop()
	for {
		var updates []push.Update
		select {
		case <-end:
			return
		case <-tick.C:
		case <-sub.Ready():
			updates = sub.Take()
		}
		// The device may have been removed by a command beside this process.
		dev, err := s.Store.Device(context.Background(), c.ID)
		if err != nil {
			return
		}
		for _, u := range updates {
			s.complete(dev, u)
		}
		if err := send(conn, updates); err != nil {
			return
		}
	}
}

// send writes updates as server-sent events, or a sign of life where there are
// none, at once.
func send(conn net.Conn, updates []push.Update) error {
	if err := conn.SetWriteDeadline(time.Now().Add(front.RequestTimeout)); err != nil {
		return err
	}
	var b bytes.Buffer
	if len(updates) == 0 {
		b.WriteString(":\n\n")
	}
	for _, u := range updates {
		name, data := event(u)
		text, err := json.Marshal(data) // holds no line break
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", name, text)
	}
	_, err := conn.Write(b.Bytes())
	return err
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
