package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/record"
)

// An open prompt is there after the death of the server; an ended one is not,
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
	must(t, s.prompts.Flush(ctx))
	if on := onDisk(t, s); len(on) != 3 {
		t.Errorf("got %d prompts on disk, want 3", len(on))
	}
	s.KeepPrompt(open("a", 2))
	must(t, s.prompts.Flush(ctx))
	s.DropPrompt("b")
	must(t, s.prompts.Flush(ctx))
	ev := loginEvent(1)
	ev.ID = "c"
	put(t, s, ev) // has ended, and its row was not deleted
	got, err := s.OpenPrompts(ctx)
	must(t, err)
	want := open("a", 2)
	if len(got) != 1 || fmt.Sprintf("%+v", got[0]) != fmt.Sprintf("%+v", want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	must(t, s.prompts.Flush(ctx))
	must(t, s.Close())
	s = quiet(t, Options{Dir: dir})
	if on := onDisk(t, s); len(on) != 1 {
		t.Errorf("got on disk: %v, want one", on)
	}
	s.DropPrompt("a")
	must(t, s.prompts.Flush(ctx))
	if got, err := s.OpenPrompts(ctx); err != nil || len(got) != 0 {
		t.Errorf("got %+v, %v; want none", got, err)
	}
}

func onDisk(t *testing.T, s *Store) []record.Prompt {
	t.Helper()
	on, err := s.db.Prompts(t.Context())
	must(t, err)
	return on
}
