package prompts

import (
	"context"
	"errors"
	"iter"
	"sync"
	"testing"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/record"
)

// memory is a Backend without a trail.
type memory struct {
	rows map[string][]byte
	err  error // of the next write
}

func (m *memory) Prompts(context.Context) (list []record.Prompt, err error) {
	for id, data := range m.rows {
		list = append(list, record.Prompt{ID: id, Data: data})
	}
	return list, nil
}

func (m *memory) KeepPrompts(_ context.Context, prompts []record.Prompt) error {
	for _, p := range prompts {
		if m.err == nil && p.Data == nil {
			delete(m.rows, p.ID)
		} else if m.err == nil {
			m.rows[p.ID] = p.Data
		}
	}
	return m.err
}

func (m *memory) Events(context.Context, record.Selection) iter.Seq2[record.Entry, error] {
	return func(func(record.Entry, error) bool) {}
}

func newKeeper() (*Keeper, *memory) {
	m := &memory{rows: make(map[string][]byte)}
	return NewKeeper(m, new(sync.Mutex)), m
}

// A prompt that ends before its turn comes is never written.
func TestShort(t *testing.T) {
	k, m := newKeeper()
	k.KeepPrompt(mfa.OpenPrompt{ID: "a"})
	k.KeepPrompt(mfa.OpenPrompt{ID: "b"})
	k.DropPrompt("b")
	if n := len(k.dirty); n != 1 {
		t.Errorf("got %d prompts to write, want 1", n)
	}
	if err := k.Flush(t.Context()); err != nil || len(m.rows) != 1 || len(k.disk) != 1 {
		t.Errorf("got %v, %d written, %d known; want one", err, len(m.rows), len(k.disk))
	}
	k.DropPrompt("a")
	if err := k.Flush(t.Context()); err != nil || len(m.rows) != 0 || len(k.disk) != 0 {
		t.Errorf("got %v, %d left, %d known; want none", err, len(m.rows), len(k.disk))
	}
}

// What could not be written is tried again, but never over what came later.
func TestPutBack(t *testing.T) {
	k, m := newKeeper()
	k.KeepPrompt(mfa.OpenPrompt{ID: "a", Origin: mfa.Origin{User: mfa.NameOf("old")}})
	k.KeepPrompt(mfa.OpenPrompt{ID: "b"})
	k.KeepPrompt(mfa.OpenPrompt{ID: "c"})
	todo := k.take(flushMost)
	k.KeepPrompt(mfa.OpenPrompt{ID: "a", Origin: mfa.Origin{User: mfa.NameOf("new")}})
	k.DropPrompt("b")
	k.putBack(todo)
	m.err = errors.New("disk full")
	if err := k.Flush(t.Context()); err == nil {
		t.Error("got a change that was not written counted as written; want it written later")
	}
	m.err = nil
	if err := k.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := k.Open(t.Context())
	if err != nil || len(got) != 2 {
		t.Fatalf("got %+v, %v", got, err)
	}
	for _, p := range got {
		if p.ID == "a" && p.User.String() != "new" || p.ID != "a" && p.ID != "c" {
			t.Errorf("got %+v", p)
		}
	}
}
