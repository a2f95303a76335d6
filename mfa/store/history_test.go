package store

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// ownEvent is a sign-in that began with the right password.
func ownEvent(user, id string) mfa.Event {
	ev := loginEvent(1)
	ev.User, ev.ID, ev.Primary = mfa.NameOf(user), id, time.Millisecond
	return ev
}

func TestLogins(t *testing.T) {
	t.Parallel()
	guess, not := ownEvent("anna", "guess"), func(change func(*mfa.Event)) mfa.Event {
		ev := ownEvent("anna", "no")
		change(&ev)
		return ev
	}
	guess.Primary, guess.Reason = 0, mfa.ReasonWrongPassword
	pending := ownEvent("anna", "pending")
	pending.Primary, pending.Reason = 0, mfa.ReasonPromptPending
	unclaimed := ownEvent("ANNA", "unclaimed")
	unclaimed.Kind = mfa.EventUnclaimed
	trail := []mfa.Event{
		ownEvent("Anna", "first"), guess, ownEvent("bob", "bob's"), ownEvent("anna2", "another's"), pending, unclaimed,
		not(func(ev *mfa.Event) { ev.Kind = mfa.EventAdmin }),
		not(func(ev *mfa.Event) { ev.Kind = mfa.EventAccounting }),
		not(func(ev *mfa.Event) { ev.Primary, ev.Reason = 0, mfa.ReasonStateUnknown }),
		not(func(ev *mfa.Event) { ev.User = mfa.NameOf("annа") }), // with a Cyrillic letter
		ownEvent("anna", "last"),
	}
	for folds := range 2 {
		t.Run(fmt.Sprint("folds=", folds), func(t *testing.T) {
			s := quiet(t, Options{Dir: t.TempDir()})
			put(t, s, trail[:6]...)
			for range folds {
				_, err := s.fold(t.Context())
				must(t, err)
			}
			put(t, s, trail[6:]...)
			for limit := 1; limit <= 6; limit++ {
				var got []string
				for before, rounds := int64(0), 0; ; rounds++ {
					events, next, err := s.Logins(t.Context(), mfa.NameOf("anna"), before, limit)
					must(t, err)
					if len(events) > limit || rounds > 10 {
						t.Fatalf("limit %d: %d events, round %d", limit, len(events), rounds)
					}
					for _, ev := range events {
						got = append(got, ev.ID)
					}
					if before = next; next == 0 {
						break
					}
				}
				if want := []string{"last", "unclaimed", "pending", "first"}; !slices.Equal(got, want) {
					t.Errorf("limit %d: got %v, want %v", limit, got, want)
				}
			}
		})
	}
}

// TestLoginsBound: what lies between two sign-ins is not looked at without an end.
func TestLoginsBound(t *testing.T) {
	t.Parallel()
	s := quiet(t, Options{Dir: t.TempDir()})
	put(t, s, ownEvent("anna", "old"))
	session := ownEvent("anna", "session")
	session.Kind = mfa.EventAccounting
	put(t, s, slices.Repeat([]mfa.Event{session}, historyLook+10)...)
	events, next, err := s.Logins(t.Context(), mfa.NameOf("anna"), 0, 50)
	if must(t, err); len(events) != 0 || next == 0 {
		t.Fatalf("%d events, next %d", len(events), next)
	}
	events, next, err = s.Logins(t.Context(), mfa.NameOf("anna"), next, 50)
	if must(t, err); len(events) != 1 || next != 0 || events[0].ID != "old" {
		t.Errorf("then %v, next %d; want 1 of them, 0, ID \"old\"", events, next)
	}
}
