// Package prompts keeps open prompts, so that they outlive a server that is killed: see
// mfa.PromptKeeper. They are written a little later than they change; a change that is lost with
// that is a prompt that its user must get again.
package prompts

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/record"
)

// maxClockStep is how far the clock may have been set back while a prompt was open.
const maxClockStep = time.Minute

// flushMost is how many changes are written in one commit, while logins wait.
const flushMost = 256

// Backend is where open prompts are kept, beside the audit trail.
type Backend interface {
	Prompts(ctx context.Context) ([]record.Prompt, error)
	// KeepPrompts writes some, or deletes those without data.
	KeepPrompts(ctx context.Context, prompts []record.Prompt) error
	Events(ctx context.Context, sel record.Selection) iter.Seq2[record.Entry, error]
}

// Keeper is what has to be written about open prompts. A prompt that ends before its
// turn comes is never written. Its methods may be called concurrently; mu is held over
// no call.
type Keeper struct {
	db      Backend
	writing sync.Locker // held while db writes

	mu    sync.Mutex
	dirty map[string]*mfa.OpenPrompt // by id; nil: to be deleted
	disk  map[string]struct{}        // ids in the table
}

// NewKeeper returns one that has nothing to write. writing is held by who writes db.
func NewKeeper(db Backend, writing sync.Locker) *Keeper {
	return &Keeper{db: db, writing: writing, dirty: make(map[string]*mfa.OpenPrompt), disk: make(map[string]struct{})}
}

// KeepPrompt implements mfa.PromptKeeper.
func (k *Keeper) KeepPrompt(p mfa.OpenPrompt) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dirty[p.ID] = &p
}

// DropPrompt implements mfa.PromptKeeper.
func (k *Keeper) DropPrompt(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, there := k.disk[id]; there {
		k.dirty[id] = nil
	} else {
		delete(k.dirty, id)
	}
}

// Open returns the prompts of a server that was killed, those that have an event left
// out. A server calls it before its first login.
func (k *Keeper) Open(ctx context.Context) (open []mfa.OpenPrompt, err error) {
	since := time.Now()
	stored, err := k.db.Prompts(ctx)
	if err != nil {
		return nil, err
	}
	for _, row := range stored {
		p, err := record.DecodePrompt(row.Data)
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
	ended, err := k.endedSince(ctx, since.Add(-maxClockStep))
	if err != nil {
		return nil, err
	}
	left := open[:0]
	for _, p := range open {
		if ended[p.ID] {
			k.DropPrompt(p.ID)
		} else {
			left = append(left, p)
		}
	}
	return left, nil
}

// endedSince returns the ids of all logins that have an event.
func (k *Keeper) endedSince(ctx context.Context, t time.Time) (map[string]bool, error) {
	ended := make(map[string]bool)
	for e, err := range k.db.Events(ctx, record.Selection{NoReports: true}.Since(t)) {
		if err != nil {
			return ended, err
		}
		ended[e.Event.ID] = true
	}
	return ended, nil
}

// Load reads which prompts there are.
func (k *Keeper) Load(ctx context.Context) error {
	stored, err := k.db.Prompts(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range stored {
		k.disk[p.ID] = struct{}{}
	}
	return err
}

// Flush writes what changed, some at a time while logins wait.
func (k *Keeper) Flush(ctx context.Context) error {
	for {
		todo := k.take(flushMost)
		if len(todo) == 0 {
			return nil
		}
		if err := k.write(ctx, todo); err != nil {
			k.putBack(todo)
			return err
		}
	}
}

func (k *Keeper) write(ctx context.Context, todo map[string]*mfa.OpenPrompt) error {
	rows := make([]record.Prompt, 0, len(todo))
	for id, p := range todo {
		row := record.Prompt{ID: id}
		if p != nil {
			var err error
			if row.Data, err = record.EncodePrompt(p); err != nil {
				return err
			}
		}
		rows = append(rows, row)
	}
	k.writing.Lock()
	defer k.writing.Unlock()
	return k.db.KeepPrompts(ctx, rows)
}

// take returns at most n changes. From then on they count as written.
func (k *Keeper) take(n int) map[string]*mfa.OpenPrompt {
	k.mu.Lock()
	defer k.mu.Unlock()
	todo := make(map[string]*mfa.OpenPrompt, min(n, len(k.dirty)))
	for id, p := range k.dirty {
		if len(todo) == n {
			break
		}
		todo[id] = p
		delete(k.dirty, id)
		if p == nil {
			delete(k.disk, id)
		} else {
			k.disk[id] = struct{}{}
		}
	}
	return todo
}

// putBack takes changes back that could not be written, except those that
// were overtaken.
func (k *Keeper) putBack(todo map[string]*mfa.OpenPrompt) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, p := range todo {
		k.disk[id] = struct{}{} // it may be
		if _, later := k.dirty[id]; !later {
			k.dirty[id] = p
		}
	}
}
