package device

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"slices"
	"time"

	"github.com/radmatch/radmatch/mfa/text"
)

// Notice is one thing that Watch tells. Exactly one of its fields is set.
type Notice struct {
	New       *PromptView
	Changed   *PromptView // requests joined
	Withdrawn *Withdrawn  // Reason is empty where it is not known
	Connected bool
	Problem   error // Watch tries again
}

const (
	firstEvent   = 10 * time.Second // for the sync that begins a stream
	silence      = 45 * time.Second // three heartbeats
	pollInterval = 3 * time.Second
	pollSpan     = 5 * time.Minute // after which a stream is tried again
	maxPause     = 30 * time.Second
	maxLine      = 1 << 20
	maxLive      = 1000
)

// Watch tells what happens to the user's prompts until ctx ends, tell returns an
// error, or the server says something final. It reads the event stream and
// connects again when that ends; where streams do not get through, or poll is
// true, it polls. tell is called only from this goroutine.
func (p *Phone) Watch(ctx context.Context, poll bool, tell func(Notice) error) error {
	w := &watch{phone: p, tell: tell, live: map[string]PromptView{}}
	streamFails := 0
	for pause := time.Second; ; pause = min(2*pause, maxPause) {
		w.synced = false
		var err error
		if poll || streamFails >= 2 {
			streamFails = 0
			err = w.poll(ctx, poll)
		} else {
			err = w.stream(ctx)
			if streamFails++; w.synced {
				streamFails = 0
			}
		}
		var told *PhoneError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case w.stopped != nil:
			return w.stopped
		case errors.As(err, &told) && told.Final():
			return err
		}
		if w.synced {
			pause = time.Second
		}
		if err != nil && w.say(Notice{Problem: err}) != nil {
			return w.stopped
		}
		// Not all at once, where a server restarts and has many devices.
		if err := sleep(ctx, pause/2+rand.N(pause/2)); err != nil {
			return err
		}
	}
}

// watch is the state of one Watch.
type watch struct {
	phone   *Phone
	tell    func(Notice) error
	stopped error // what tell returned
	live    map[string]PromptView
	synced  bool // since the last connect
}

func (w *watch) say(n Notice) error {
	if w.stopped == nil {
		w.stopped = w.tell(n)
	}
	return w.stopped
}

// poll asks every pollInterval. It returns nil when a stream is to be tried again.
func (w *watch) poll(ctx context.Context, forever bool) error {
	for start := time.Now(); forever || time.Since(start) < pollSpan; {
		l, err := w.phone.Prompts(ctx)
		if err != nil {
			return err
		}
		if err := w.sync(l); err != nil {
			return err
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return err
		}
	}
	return nil
}

// stream reads one event stream to its end.
func (w *watch) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	dead := time.AfterFunc(firstEvent, func() { cancel(errors.New("server: the event stream is silent")) })
	defer dead.Stop()
	const target = "/api/v1/events"
	w.phone.agreed.Store(0) // the server may be a newer one by now
	listen := func(auth string) error {
		resp, err := w.phone.send(ctx, "GET", target, auth, nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "text/event-stream" {
			return fmt.Errorf("server: answered %q in place of an event stream", text.Printable(kind, 64))
		}
		return readEvents(resp.Body, func(name string, data []byte) error {
			err := w.event(name, data)
			if w.synced {
				dead.Reset(silence)
			}
			return err
		})
	}
	err := w.phone.agree(func(version int) error { return w.phone.signed(version, "GET", target, nil, listen) })
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// event handles one server-sent event. An unknown one is a later version's.
func (w *watch) event(name string, data []byte) error {
	switch name {
	case "sync":
		var l PromptList
		if err := json.Unmarshal(data, &l); err != nil {
			return fmt.Errorf("server: sync event: %w", err)
		}
		return w.sync(&l)
	case "prompt":
		var v PromptView
		if err := json.Unmarshal(data, &v); err != nil {
			return fmt.Errorf("server: prompt event: %w", err)
		}
		return w.prompt(v)
	case "withdrawn":
		var g Withdrawn
		if err := json.Unmarshal(data, &g); err != nil {
			return fmt.Errorf("server: withdrawn event: %w", err)
		}
		return w.withdrawn(g)
	}
	return nil
}

func (w *watch) sync(l *PromptList) error {
	if !w.synced {
		w.synced = true
		if err := w.say(Notice{Connected: true}); err != nil {
			return err
		}
	}
	for id := range w.live {
		if !slices.ContainsFunc(l.Prompts, func(v PromptView) bool { return v.ID == id }) {
			if err := w.withdrawn(Withdrawn{ID: id}); err != nil {
				return err
			}
		}
	}
	for _, v := range l.Prompts {
		if err := w.prompt(v); err != nil {
			return err
		}
	}
	return nil
}

func (w *watch) prompt(v PromptView) error {
	old, known := w.live[v.ID]
	if !known && len(w.live) == maxLive {
		return errors.New("server: tells more requests than one user can have")
	}
	w.live[v.ID] = v
	switch {
	case !known:
		return w.say(Notice{New: &v})
	case len(old.Requests)+old.More != len(v.Requests)+v.More:
		return w.say(Notice{Changed: &v})
	}
	return nil
}

func (w *watch) withdrawn(g Withdrawn) error {
	if _, known := w.live[g.ID]; !known {
		return nil
	}
	delete(w.live, g.ID)
	return w.say(Notice{Withdrawn: &g})
}

// readEvents reads server-sent events (HTML standard, §9.2.6) and calls f for
// each, and with an empty name for each comment, which is a sign of life.
func readEvents(r io.Reader, f func(name string, data []byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	name, data, some := "", []byte(nil), false
	for lines.Scan() {
		line := bytes.TrimSuffix(lines.Bytes(), []byte("\r"))
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		var err error
		switch {
		case len(line) == 0:
			if some {
				err = f(name, data)
			}
			name, data, some = "", nil, false
		case len(field) == 0:
			err = f("", nil)
		case string(field) == "event":
			name = string(value)
		case string(field) == "data":
			if len(data)+len(value) > maxLine {
				return errors.New("server: event too large")
			}
			if some {
				data = append(data, '\n')
			}
			data, some = append(data, value...), true
		}
		if err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("server: event stream: %w", err)
	}
	return errors.New("server: the event stream has ended")
}
