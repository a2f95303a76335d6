package store

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/record"
)

// maxClockStep is how far the clock may have been set back while a prompt was open.
const maxClockStep = time.Minute

// openPrompts is what the janitor has to write about prompts. A prompt that ends
// before its turn comes is never written. mu is taken last and held over no call.
type openPrompts struct {
	mu    sync.Mutex
	dirty map[string]*mfa.OpenPrompt // by id; nil: to be deleted
	disk  map[string]struct{}        // ids in the table
}

// keptPrompt is a prompt on disk: its keys are the names of the fields, those of an
// Origin too.
type keptPrompt struct {
	mfa.OpenPrompt
	keptOrigin
}

// keptOrigin has the fields of mfa.Origin, or the conversion does not compile.
type keptOrigin struct {
	Client, Group string
	User          mfa.Name
	EndUser       string
	Claimed       bool
	Source        string
}

func encodePrompt(p mfa.OpenPrompt) ([]byte, error) {
	k := keptPrompt{p, keptOrigin(p.Origin)}
	k.Origin = mfa.Origin{}
	return json.Marshal(k)
}

func decodePrompt(data []byte) (mfa.OpenPrompt, error) {
	var k keptPrompt
	err := json.Unmarshal(data, &k)
	k.Origin = mfa.Origin(k.keptOrigin)
	return k.OpenPrompt, err
}

// KeepPrompt implements mfa.PromptKeeper.
func (s *Store) KeepPrompt(p mfa.OpenPrompt) {
	s.prompts.mu.Lock()
	defer s.prompts.mu.Unlock()
	s.prompts.dirty[p.ID] = &p
}

// DropPrompt implements mfa.PromptKeeper.
func (s *Store) DropPrompt(id string) {
	s.prompts.mu.Lock()
	defer s.prompts.mu.Unlock()
	if _, there := s.prompts.disk[id]; there {
		s.prompts.dirty[id] = nil
	} else {
		delete(s.prompts.dirty, id)
	}
}

// OpenPrompts returns the prompts of a server that was killed, those that have
// an event left out. A server calls it before its first login.
func (s *Store) OpenPrompts(ctx context.Context) (open []mfa.OpenPrompt, err error) {
	defer wrap(&err, "store: prompts")
	since := time.Now()
	stored, err := s.db.Prompts(ctx)
	if err != nil {
		return nil, err
	}
	for _, row := range stored {
		p, err := decodePrompt(row.Data)
		if err != nil {
			return nil, err
		}
		if p.Opened.Before(since) {
			since = p.Opened
		}
		open = append(open, p)
	}
	if len(open) == 0 {
		return nil, err
	}
	ended, err := s.endedSince(ctx, since.Add(-maxClockStep))
	if err != nil {
		return nil, err
	}
	left := open[:0]
	for _, p := range open {
		if ended[p.ID] {
			s.DropPrompt(p.ID)
		} else {
			left = append(left, p)
		}
	}
	return left, nil
}

// endedSince returns the ids of all logins that have an event.
func (s *Store) endedSince(ctx context.Context, t time.Time) (map[string]bool, error) {
	ended := make(map[string]bool)
	for e, err := range s.db.Events(ctx, since(t, record.Selection{NoReports: true})) {
		if err != nil {
			return ended, err
		}
		ended[e.Event.ID] = true
	}
	return ended, nil
}

// loadPrompts reads which prompts there are.
func (s *Store) loadPrompts(ctx context.Context) error {
	s.prompts.dirty, s.prompts.disk = make(map[string]*mfa.OpenPrompt), make(map[string]struct{})
	stored, err := s.db.Prompts(ctx)
	for _, p := range stored {
		s.prompts.disk[p.ID] = struct{}{}
	}
	return err
}

// flushPrompts writes what changed, some at a time while logins wait.
func (s *Store) flushPrompts(ctx context.Context) error {
	for {
		todo := s.prompts.take(chunk)
		if len(todo) == 0 {
			return nil
		}
		if err := s.writePrompts(ctx, todo); err != nil {
			s.prompts.putBack(todo)
			return err
		}
	}
}

func (s *Store) writePrompts(ctx context.Context, todo map[string]*mfa.OpenPrompt) error {
	rows := make([]record.Prompt, 0, len(todo))
	for id, p := range todo {
		row := record.Prompt{ID: id}
		if p != nil {
			var err error
			if row.Data, err = encodePrompt(*p); err != nil {
				return err
			}
		}
		rows = append(rows, row)
	}
	s.wmu.Lock()
	defer s.wmu.Unlock()
	return s.db.KeepPrompts(ctx, rows)
}

// take returns at most n changes. From then on they count as written.
func (o *openPrompts) take(n int) map[string]*mfa.OpenPrompt {
	o.mu.Lock()
	defer o.mu.Unlock()
	todo := make(map[string]*mfa.OpenPrompt, min(n, len(o.dirty)))
	for id, p := range o.dirty {
		if len(todo) == n {
			break
		}
		todo[id] = p
		delete(o.dirty, id)
		if p == nil {
			delete(o.disk, id)
		} else {
			o.disk[id] = struct{}{}
		}
	}
	return todo
}

// putBack takes changes back that could not be written, except those that
// were overtaken.
func (o *openPrompts) putBack(todo map[string]*mfa.OpenPrompt) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, p := range todo {
		o.disk[id] = struct{}{} // it may be
		if _, later := o.dirty[id]; !later {
			o.dirty[id] = p
		}
	}
}
