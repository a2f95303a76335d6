package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/record"
)

// An open prompt is there after the death of the server. One that a program of before left
// beside the event of its login is not, and goes from the disk.
func TestOpenPrompts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := quiet(t, Options{Dir: dir})
	ctx := t.Context()
	opened := time.Now().UTC()
	open := func(id string, requests int) *mfa.OpenPrompt {
		return &mfa.OpenPrompt{ID: id, Key: "anna\x00edge\x00x", Origin: mfa.Origin{User: mfa.NameOf("anna"), Client: "vpn"}, Plan: mfa.PlanPush, Opened: opened, Requests: make([]mfa.PromptRequest, requests)}
	}
	for _, ev := range []mfa.Event{
		{ID: "a", Kind: mfa.EventOpen, Prompt: open("a", 1)},
		{ID: "b", Kind: mfa.EventOpen, Prompt: open("b", 1)},
		{ID: "c", Kind: mfa.EventOpen, Prompt: open("c", 1)},
		{ID: "a", Kind: mfa.EventJoin, Prompt: open("a", 2)},
		{ID: "b", Kind: mfa.EventLogin, Plan: mfa.PlanPush},
		{ID: "c", Kind: mfa.EventLogin, Plan: mfa.PlanOTP}, // does not end the prompt, as its own event would
	} {
		put(t, s, ev)
	}
	if on := onDisk(t, s); len(on) != 2 {
		t.Errorf("got on disk: %v; want two", on)
	}
	for _, s := range []*Store{openCommand(t, dir), s} { // which only looks, and the server
		got, err := s.OpenPrompts(ctx)
		must(t, err)
		want := *open("a", 2)
		if len(got) != 1 || fmt.Sprintf("%+v", got[0]) != fmt.Sprintf("%+v", want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
	}
	if on := onDisk(t, s); len(on) != 1 || on[0].ID != "a" {
		t.Errorf("got on disk: %v; want a", on)
	}
	put(t, s, mfa.Event{ID: "a", Kind: mfa.EventUnclaimed, Plan: mfa.PlanCode})
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
