// Package storetest is the conformance suite of mfa.Journal, mfa.Ledger and mfa.Directory
// over one store.
package storetest

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/otp"
)

// Store is what is tested, with what the suite needs to fill it.
type Store interface {
	mfa.Journal
	mfa.Ledger
	mfa.Directory
	Follow(f func(mfa.Event))
	OpenPrompts(ctx context.Context) ([]mfa.OpenPrompt, error)
	EventsOf(ctx context.Context, user mfa.Name, n int) ([]mfa.Event, error)
	EventsSince(ctx context.Context, t time.Time) ([]mfa.Event, error)
	Logins(ctx context.Context, user mfa.Name, before int64, limit int) (events []mfa.Event, next int64, err error)
	ListTokens(ctx context.Context, user mfa.Name) ([]otp.Token, error)
	BeginBypass(ctx context.Context, b mfa.Bypass, d time.Duration, admin mfa.Event) (mfa.Bypass, error)
	AddToken(ctx context.Context, t otp.Token, admin mfa.Event) error
	ReplacePass(ctx context.Context, t otp.Token, admin mfa.Event) error
	RemoveToken(ctx context.Context, user mfa.Name, idOrSerial string, admin mfa.Event) error
	SetBlocked(ctx context.Context, user mfa.Name, blocked bool, admin mfa.Event) error
	SetDefaultMethod(ctx context.Context, user mfa.Name, m mfa.Method, admin mfa.Event) error
}

// Harness makes stores for the suite.
type Harness struct {
	// Open returns an empty store whose clock is now.
	Open func(t *testing.T, now func() time.Time) Store
	// Reopen closes s and opens what is on disk, as after a restart.
	Reopen func(t *testing.T, s Store) Store
	// Crash opens what is on disk as after the death of s, which was not closed.
	Crash func(t *testing.T, s Store) Store
	// Beside opens the store of s as a command does, in another process or as if it were.
	Beside func(t *testing.T, s Store) Store
	// Trail returns everything that was recorded, oldest first.
	Trail func(t *testing.T, s Store) []mfa.Event
}

// Run checks the contracts line by line.
func Run(t *testing.T, h Harness) {
	t.Run("UnknownUser", func(t *testing.T) {
		u := user(t, h.Open(t, time.Now), "Nobody")
		if u.Name.String() != "Nobody" || u.Blocked || u.Devices+u.Codes != 0 || u.HasPass || u.Pass || u.Default != "" || u.PushBlocked != nil || !u.Unblocked.IsZero() {
			t.Errorf("got %+v; want the zero User with the name", u)
		}
	})
	t.Run("Methods", func(t *testing.T) { methods(t, h) })
	t.Run("Pass", func(t *testing.T) { pass(t, h) })
	t.Run("Blocked", func(t *testing.T) { blocked(t, h) })
	t.Run("NotMe", func(t *testing.T) { notMe(t, h) })
	t.Run("Trail", func(t *testing.T) { trail(t, h) })
	t.Run("EachField", func(t *testing.T) { eachField(t, h) })
	t.Run("Concurrent", func(t *testing.T) { concurrent(t, h) })
	t.Run("Ledger", func(t *testing.T) { runLedger(t, h) })
}

func user(t *testing.T, s mfa.Directory, name string) mfa.User {
	t.Helper()
	u, err := s.User(t.Context(), mfa.NameOf(name))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func admin(text string) mfa.Event {
	return mfa.Event{Time: time.Now(), Kind: mfa.EventAdmin, Details: mfa.Details{Text: text, Operator: "root"}}
}

func methods(t *testing.T, h Harness) {
	s := h.Open(t, time.Now)
	totp, hotp := otp.NewTOTP(mfa.NameOf("Anna@Example.org")), otp.NewHOTP(mfa.NameOf("Anna@Example.org"))
	do(t, s.AddToken(t.Context(), totp, admin("add")))
	do(t, s.AddToken(t.Context(), hotp, admin("add")))
	do(t, s.SetDefaultMethod(t.Context(), mfa.NameOf("ANNA@example.org"), mfa.MethodOTP, admin("default")))
	for _, s := range []Store{s, h.Reopen(t, s)} {
		u := user(t, s, "anna@example.ORG")
		if u.Name.String() != "Anna@Example.org" || u.Codes != 2 || u.Default != mfa.MethodOTP || u.HasPass {
			t.Errorf("got %+v; want Anna@Example.org with two codes, default otp", u)
		}
		if other := user(t, s, "anna"); other.Codes != 0 {
			t.Errorf("anna without the domain got %+v; want nothing", other)
		}
	}
}

func pass(t *testing.T, h Harness) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := h.Open(t, func() time.Time { return now })
	p, _, err := otp.NewPass(mfa.NameOf("bob"), now.Add(time.Hour), time.Hour, true)
	do(t, err)
	do(t, s.ReplacePass(t.Context(), p, admin("issue")))
	for _, step := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {time.Hour - 1, false}, {time.Hour, true}, {2*time.Hour - 1, true}, {2 * time.Hour, false}} {
		now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(step.after)
		if u := user(t, s, "bob"); u.Pass != step.want || !u.HasPass || u.Codes != 0 {
			t.Errorf("%s after: got %+v; want Pass %t, HasPass, no codes", step.after, u, step.want)
		}
	}
	do(t, s.RemoveToken(t.Context(), mfa.NameOf("bob"), p.ID, admin("revoke")))
	if u := user(t, s, "bob"); u.HasPass || u.Pass {
		t.Errorf("revoked: got %+v; want no pass", u)
	}
}

func blocked(t *testing.T, h Harness) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := h.Open(t, func() time.Time { return now })
	do(t, s.SetBlocked(t.Context(), mfa.NameOf("Eve"), true, admin("block")))
	if u := user(t, s, "eve"); !u.Blocked || !u.Unblocked.IsZero() {
		t.Errorf("got %+v; want blocked, never unblocked", u)
	}
	s = h.Reopen(t, s)
	if u := user(t, s, "EVE"); !u.Blocked {
		t.Errorf("after a restart: got %+v; want blocked", u)
	}
	do(t, s.SetBlocked(t.Context(), mfa.NameOf("eve"), false, admin("unblock")))
	if u := user(t, s, "eve"); u.Blocked || u.Unblocked.IsZero() {
		t.Errorf("got %+v; want not blocked, with the time", u)
	}
}

func notMe(t *testing.T, h Harness) {
	s := h.Open(t, time.Now)
	ev := login("Carol")
	ev.Reason, ev.Outcome, ev.Plan = mfa.ReasonNotMe, mfa.Reject, mfa.PlanPush
	do(t, s.Record(t.Context(), ev))
	do(t, s.Record(t.Context(), ev))
	for _, s := range []Store{s, h.Reopen(t, s)} {
		if u := user(t, s, "carol"); !slices.Equal(u.PushBlocked, []string{"edge"}) {
			t.Errorf("got %q; want push blocked at edge, once", u.PushBlocked)
		}
		if u := user(t, s, "dave"); u.PushBlocked != nil {
			t.Errorf("dave got %q; want nothing", u.PushBlocked)
		}
	}
	s = h.Open(t, time.Now)
	ev.BlocksUser = true
	do(t, s.Record(t.Context(), ev))
	for _, s := range []Store{s, h.Reopen(t, s)} {
		if u := user(t, s, "carol"); !u.Blocked {
			t.Error("got a user who is not blocked after BlocksUser; want a block")
		}
	}
	ev.BlocksUser = false
	s = h.Open(t, time.Now)
	do(t, s.Record(t.Context(), ev))
	do(t, s.SetBlocked(t.Context(), mfa.NameOf("carol"), false, admin("unblock")))
	if u := user(t, s, "carol"); u.PushBlocked != nil {
		t.Errorf("unblocked: got %q; want nothing", u.PushBlocked)
	}
	do(t, s.Record(t.Context(), ev))
	do(t, s.SetBlocked(t.Context(), mfa.NameOf("carol"), true, admin("block")))
	if u := user(t, s, "carol"); len(u.PushBlocked) != 1 {
		t.Errorf("blocked: got %q; want push blocked as before", u.PushBlocked)
	}
}

func login(user string) mfa.Event {
	return mfa.Event{
		ID: "l1", Time: time.Date(2026, 3, 1, 12, 0, 0, 1000, time.UTC), Kind: mfa.EventLogin, Origin: mfa.Origin{Client: "vpn", Group: "edge", User: mfa.NameOf(user), EndUser: "198.51.100.7", Source: "203.0.113.1:1024"}, Plan: mfa.PlanOTP, Reason: mfa.ReasonDefaultOTP, Outcome: mfa.Accept,
	}
}

func trail(t *testing.T, h Harness) {
	s := h.Open(t, time.Now)
	full := login("Zoë\x00\x1b[2J\xff")
	full.Approval = mfa.Approval{Device: "phone", DeviceID: "d1", Signature: []byte{0, 1, 2}}
	full.Method, full.Token, full.Drift, full.Tries = "push", "t1", -2, 3
	full.Primary, full.Factor, full.Total, full.Count = 1, time.Second, time.Minute, 7
	full.Packets, full.Answer = [][]byte{{1, 2}, {3}}, []byte{4}
	full.Requests = []mfa.PromptRequest{{Time: full.Time, Client: "vpn", EndUser: "x", Source: "y"}}
	full.Text, full.Operator, full.NumberSet, full.Rounds, full.Claimed, full.BlocksUser = "text", "root", true, 2, true, true
	for _, f := range reflect.VisibleFields(reflect.TypeFor[mfa.Event]()) {
		switch {
		case f.Name == "Step", f.Name == "Used", f.Name == "Prompt", f.Name == "Session", f.Name == "WrongCodes": // of other tests
		case len(f.Index) == 1 && reflect.ValueOf(full).FieldByIndex(f.Index).IsZero():
			t.Errorf("the test sets no %s", f.Name)
		}
	}
	want := []mfa.Event{login("anna"), full, {Kind: mfa.EventUnclaimed, Time: full.Time}}
	for _, ev := range want {
		do(t, s.Record(t.Context(), ev))
	}
	got := h.Trail(t, h.Reopen(t, s))
	if len(got) != len(want) {
		t.Fatalf("got %d events; want %d", len(got), len(want))
	}
	for i := range want {
		if got, want := fmt.Sprintf("%+v", got[i]), fmt.Sprintf("%+v", want[i]); got != want {
			t.Errorf("event %d\n got %s\nwant %s", i, got, want)
		}
	}
}

// eachField records one event for each field, which is the only one that is set beside
// what every event has: a field that a store forgets when it is the only one is lost.
func eachField(t *testing.T, h Harness) {
	s := h.Open(t, time.Now)
	var names []string
	var want []mfa.Event
	for _, f := range reflect.VisibleFields(reflect.TypeFor[mfa.Event]()) {
		switch f.Name {
		case "ID", "Time", "Kind", "Origin", "Details", "Approval":
			continue
		case "Step", "Used": // of the log: with the token whose step it is
			continue
		}
		ev := mfa.Event{ID: f.Name, Time: time.Date(2026, 3, 1, 12, 0, 0, 1000, time.UTC), Kind: mfa.EventLogin}
		v := reflect.ValueOf(&ev).Elem().FieldByIndex(f.Index)
		switch x := v.Addr().Interface().(type) {
		case *mfa.Name:
			*x = mfa.NameOf("anna")
		case *[]mfa.PromptRequest:
			*x = []mfa.PromptRequest{{Client: "vpn", EndUser: "x", Claimed: true, Source: "y", Address: netip.MustParseAddr("198.51.100.7")}}
		case **mfa.OpenPrompt:
			*x = &mfa.OpenPrompt{ID: "l1", Plan: mfa.PlanPush}
		case **mfa.Session:
			*x = &mfa.Session{Status: "start"}
		case **mfa.WrongCodes:
			*x = &mfa.WrongCodes{Row: 1}
		case *[]byte:
			*x = []byte{1}
		case *[][]byte:
			*x = [][]byte{{1}}
		default:
			switch v.Kind() {
			case reflect.String:
				v.SetString("x")
			case reflect.Int, reflect.Int64:
				v.SetInt(1)
			case reflect.Bool:
				v.SetBool(true)
			default:
				t.Fatalf("the test cannot set %s, a %s", f.Name, v.Type())
			}
		}
		names, want = append(names, f.Name), append(want, ev)
		do(t, s.Record(t.Context(), ev))
	}
	got := h.Trail(t, h.Reopen(t, s))
	if len(got) != len(want) {
		t.Fatalf("got %d events; want %d", len(got), len(want))
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("%s as the only field\n got %+v\nwant %+v", names[i], got[i], want[i])
		}
	}
}

func concurrent(t *testing.T, h Harness) {
	s := h.Open(t, time.Now)
	const routines, each = 8, 50
	var wg sync.WaitGroup
	for g := range routines {
		wg.Go(func() {
			for i := range each {
				ev := login("anna")
				ev.ID = fmt.Sprintf("%d-%d", g, i)
				if err := s.Record(t.Context(), ev); err != nil {
					t.Error(err)
				}
				if _, err := s.User(t.Context(), mfa.NameOf("anna")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	seen := make(map[string]int)
	for _, ev := range h.Trail(t, h.Reopen(t, s)) {
		seen[ev.ID]++
	}
	for g := range routines {
		for i := range each {
			if id := fmt.Sprintf("%d-%d", g, i); seen[id] != 1 {
				t.Errorf("event %s stands %d times in the trail; want once", id, seen[id])
			}
		}
	}
}
