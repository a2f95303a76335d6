package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// What is open is there after the death of the server; what has ended is not,
// whether its row is gone yet or not.
func TestOpenPrompts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := quiet(t, Options{Dir: dir})
	ctx := t.Context()
	opened := time.Now().UTC()
	open := func(id string, requests int) mfa.OpenPrompt {
		return mfa.OpenPrompt{ID: id, Key: "anna\x00edge\x00x", Origin: mfa.Origin{User: mfa.NameOf("anna"), Client: "vpn"}, Plan: mfa.PlanPush, Opened: opened, Requests: make([]mfa.PromptRequest, requests)}
	}
	for _, id := range []string{"a", "b", "c", "d"} {
		s.KeepPrompt(open(id, 1))
	}
	s.DropPrompt("d") // before it was written
	if n := len(s.prompts.dirty); n != 3 {
		t.Errorf("%d prompts are to be written, want 3", n)
	}
	must(t, s.flushPrompts(ctx))
	s.KeepPrompt(open("a", 2))
	must(t, s.flushPrompts(ctx))
	s.DropPrompt("b")
	must(t, s.flushPrompts(ctx))
	ev := loginEvent(1)
	ev.ID = "c"
	put(t, s, ev) // has ended, and its row was not deleted
	got, err := s.OpenPrompts(ctx)
	must(t, err)
	want := open("a", 2)
	if len(got) != 1 || fmt.Sprintf("%+v", got[0]) != fmt.Sprintf("%+v", want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	must(t, s.flushPrompts(ctx))
	must(t, s.Close())
	s = quiet(t, Options{Dir: dir})
	if len(s.prompts.disk) != 1 {
		t.Errorf("on disk: %v", s.prompts.disk)
	}
	s.DropPrompt("a")
	must(t, s.flushPrompts(ctx))
	if got, err := s.OpenPrompts(ctx); err != nil || len(got) != 0 {
		t.Errorf("got %+v, %v; want none", got, err)
	}
}

// What could not be written is tried again, but never over what came later.
func TestOpenPromptsPutBack(t *testing.T) {
	s := quiet(t, Options{Dir: t.TempDir()})
	s.KeepPrompt(mfa.OpenPrompt{ID: "a", Origin: mfa.Origin{User: mfa.NameOf("old")}})
	s.KeepPrompt(mfa.OpenPrompt{ID: "b"})
	s.KeepPrompt(mfa.OpenPrompt{ID: "c"})
	todo := s.prompts.take(chunk)
	s.KeepPrompt(mfa.OpenPrompt{ID: "a", Origin: mfa.Origin{User: mfa.NameOf("new")}})
	s.DropPrompt("b")
	s.prompts.putBack(todo)
	must(t, s.flushPrompts(t.Context()))
	got, err := s.OpenPrompts(t.Context())
	if err != nil || len(got) != 2 || got[0].User.String() != "new" || got[1].ID != "c" {
		t.Errorf("got %+v, %v", got, err)
	}
}
