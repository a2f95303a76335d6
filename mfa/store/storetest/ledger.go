package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/otp"
)

var steps = []mfa.EventKind{mfa.EventOpen, mfa.EventJoin, mfa.EventTry, mfa.EventApproved}

// runLedger checks the contract of mfa.Ledger.
func runLedger(t *testing.T, h Harness) {
	t.Run("Conflict", func(t *testing.T) { conflict(t, h) })
	t.Run("Order", func(t *testing.T) { order(t, h) })
	t.Run("StaleBases", func(t *testing.T) { staleBases(t, h) })
	t.Run("CommandBetween", func(t *testing.T) { commandBetween(t, h) })
	t.Run("NoneAfterBlock", func(t *testing.T) { noneAfterBlock(t, h) })
	t.Run("Crash", func(t *testing.T) { crash(t, h) })
	t.Run("HiddenSteps", func(t *testing.T) { hiddenSteps(t, h) })
	t.Run("Parallel", func(t *testing.T) { parallel(t, h) })
}

func version(t *testing.T, s Store, name string) mfa.Version {
	t.Helper()
	return user(t, s, name).Version
}

// step is an entry that ends no login.
func step(kind mfa.EventKind, name string) mfa.Event {
	ev := login(name)
	ev.Kind, ev.Plan, ev.Reason, ev.Outcome = kind, mfa.PlanPush, "", mfa.Reject
	return ev
}

// use is the login that uses a step of a token up.
func use(name string, t otp.Token, n int64) mfa.Event {
	ev := login(name)
	ev.ID = fmt.Sprint("use-", t.ID, "-", n)
	ev.Take(mfa.Use{Method: string(t.Kind), Token: t.ID, Step: n, Drift: 1})
	return ev
}

func addTOTP(t *testing.T, s Store, name string) otp.Token {
	t.Helper()
	token := otp.NewTOTP(mfa.NameOf(name))
	do(t, s.AddToken(t.Context(), token, admin("add")))
	return token
}

// next is the lowest step of a user's only token that is not used.
func next(t *testing.T, s Store, name string) int64 {
	t.Helper()
	tokens, err := s.ListTokens(t.Context(), mfa.NameOf(name))
	do(t, err)
	if len(tokens) != 1 {
		t.Fatalf("got %d tokens; want one", len(tokens))
	}
	return tokens[0].Next
}

// conflict: of entries on one version one is kept, and the others hear of it when it is in
// memory.
func conflict(t *testing.T, h Harness) {
	s := h.Open(t, time.Now)
	token := addTOTP(t, s, "anna")
	base := version(t, s, "anna")
	const many = 20
	var kept, stale atomic.Int32
	var wg sync.WaitGroup
	for n := range many {
		wg.Go(func() {
			err := s.Append(t.Context(), base, use("Anna", token, int64(n)))
			switch {
			case err == nil:
				kept.Add(1)
			case errors.Is(err, mfa.ErrStale):
				stale.Add(1)
				if v := version(t, s, "anna"); v == base {
					t.Errorf("stale, and the user is at %v as before", v)
				}
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if kept.Load() != 1 || stale.Load() != many-1 {
		t.Errorf("got %d kept and %d stale; want 1 and %d", kept.Load(), stale.Load(), many-1)
	}
	trail := h.Trail(t, h.Reopen(t, s))
	if n := len(trail); n != 2 {
		t.Errorf("got %d events; want two", n)
	}
}

// order: what an entry says is in memory first, then the login machine is told, then the
// user has another version, then the appender goes on.
func order(t *testing.T, h Harness) {
	s := h.Open(t, time.Now)
	token := addTOTP(t, s, "anna")
	var told []string
	s.Follow(func(ev mfa.Event) {
		told = append(told, fmt.Sprint(ev.Kind, " ", ev.Step, " next ", next(t, s, "anna"), " at ", version(t, s, "anna").N))
	})
	base := version(t, s, "anna")
	want := []string{}
	for n := range int64(3) {
		at := version(t, s, "anna")
		do(t, s.Append(t.Context(), at, use("anna", token, n)))
		want = append(want, fmt.Sprint("login ", n, " next ", n+1, " at ", base.N+n))
		if !slices.Equal(told, want) {
			t.Fatalf("after entry %d the login machine was told\n%q; want\n%q", n, told, want)
		}
		if v := version(t, s, "anna"); v.N != at.N+1 || v.Epoch != at.Epoch {
			t.Errorf("after entry %d: got %v; want the one after %v", n, v, at)
		}
	}
}

func staleBases(t *testing.T, h Harness) {
	s := h.Open(t, time.Now)
	do(t, s.Append(t.Context(), version(t, s, "anna"), step(mfa.EventTry, "anna")))
	v := version(t, s, "anna")
	for name, base := range map[string]mfa.Version{
		"zero": {}, "before": {Epoch: v.Epoch, N: v.N - 1}, "ahead": {Epoch: v.Epoch, N: v.N + 1},
		"another epoch": {Epoch: v.Epoch + 1, N: v.N}, "no epoch": {N: v.N},
	} {
		if err := s.Append(t.Context(), base, login("anna")); !errors.Is(err, mfa.ErrStale) {
			t.Errorf("%s: got %v; want %v", name, err, mfa.ErrStale)
		}
	}
	do(t, s.Append(t.Context(), v, login("ANNA"))) // by the form of the name
	if trail := h.Trail(t, h.Reopen(t, s)); len(trail) != 1 {
		t.Errorf("got %d lines; want the one login", len(trail))
	}
}

// commandBetween: a decision that was made before another process changed the user, or what
// is for all users, is stale.
func commandBetween(t *testing.T, h Harness) {
	for name, change := range map[string]func(Store) error{
		"block": func(c Store) error { return c.SetBlocked(t.Context(), mfa.NameOf("Anna"), true, admin("block")) },
		"method": func(c Store) error {
			return c.SetDefaultMethod(t.Context(), mfa.NameOf("anna"), mfa.MethodOTP, admin("m"))
		},
		"token": func(c Store) error { return c.AddToken(t.Context(), otp.NewHOTP(mfa.NameOf("anna")), admin("add")) },
		"bypass": func(c Store) error {
			_, err := c.BeginBypass(t.Context(), mfa.Bypass{Group: mfa.GroupOf("edge"), Reason: "x"}, time.Hour, admin("bypass"))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := h.Open(t, time.Now)
			base, other := version(t, s, "anna"), version(t, s, "bob")
			do(t, change(h.Beside(t, s)))
			if err := s.Append(t.Context(), base, login("anna")); !errors.Is(err, mfa.ErrStale) {
				t.Errorf("got %v; want %v", err, mfa.ErrStale)
			}
			if name == "block" && !user(t, s, "anna").Blocked {
				t.Error("got a user who is not blocked; want the block")
			}
			if name != "bypass" {
				do(t, s.Append(t.Context(), other, login("bob")))
			}
			do(t, s.Append(t.Context(), version(t, s, "anna"), login("anna")))
		})
	}
}

// noneAfterBlock: whenever a block comes, no login that was decided without it stands behind
// it in the log.
func noneAfterBlock(t *testing.T, h Harness) {
	s := h.Open(t, time.Now)
	const many, most = 12, 300
	var wg sync.WaitGroup
	var kept [many]chan struct{}
	name := func(n int) string { return fmt.Sprint("user", n) }
	for n := range many {
		kept[n] = make(chan struct{}, 3)
		wg.Go(func() {
			for range most {
				u, err := s.User(t.Context(), mfa.NameOf(name(n)))
				if err != nil || u.Blocked {
					return
				}
				err = s.Append(t.Context(), u.Version, login(name(n)))
				if err != nil && !errors.Is(err, mfa.ErrStale) {
					t.Error(err)
					return
				}
				select {
				case kept[n] <- struct{}{}:
				default:
				}
			}
		})
	}
	beside := h.Beside(t, s)
	for n := range many {
		for range cap(kept[n]) { // logins are under way
			<-kept[n]
		}
		ev := admin("block")
		ev.User = mfa.NameOf(name(n))
		do(t, beside.SetBlocked(t.Context(), ev.User, true, ev))
	}
	wg.Wait()
	blocked := map[mfa.NameKey]bool{}
	for _, ev := range h.Trail(t, h.Reopen(t, s)) {
		if blocked[ev.User.Key()] {
			t.Errorf("%s: %s behind the block", ev.User, ev.Kind)
		}
		if ev.Kind == mfa.EventAdmin {
			blocked[ev.User.Key()] = true
		}
	}
	if len(blocked) != many {
		t.Errorf("got %d users who were blocked; want %d", len(blocked), many)
	}
}

// crash: after the death of the server used steps, open prompts and blocks are what the log
// says.
func crash(t *testing.T, h Harness) {
	s := h.Open(t, time.Now)
	token := addTOTP(t, s, "anna")
	add := func(ev mfa.Event) {
		t.Helper()
		do(t, s.Append(t.Context(), version(t, s, ev.User.String()), ev))
	}
	open := func(id string, kind mfa.EventKind, requests int) {
		t.Helper()
		ev := step(kind, "anna")
		ev.ID = id
		ev.Prompt = &mfa.OpenPrompt{
			ID: id, Key: "k", Origin: ev.Origin, Plan: mfa.PlanPush, Opened: time.Now().UTC().Truncate(time.Microsecond),
			Requests: make([]mfa.PromptRequest, requests),
		}
		add(ev)
	}
	ends := func(id string, kind mfa.EventKind) {
		t.Helper()
		ev := login("anna")
		ev.ID, ev.Kind, ev.Plan = id, kind, mfa.PlanPush
		add(ev)
	}
	add(use("anna", token, 41))
	open("ended", mfa.EventOpen, 1)
	open("unclaimed", mfa.EventOpen, 1)
	open("open", mfa.EventOpen, 1)
	open("open", mfa.EventJoin, 2)
	ends("ended", mfa.EventLogin)
	ends("unclaimed", mfa.EventUnclaimed)
	notMe := login("carol")
	notMe.Reason, notMe.Outcome, notMe.Plan = mfa.ReasonNotMe, mfa.Reject, mfa.PlanPush
	add(notMe)
	add(use("anna", token, 42))
	lines := len(h.Trail(t, s))
	s = h.Crash(t, s)
	if n := next(t, s, "anna"); n != 43 {
		t.Errorf("got next step %d; want 43", n)
	}
	if err := s.Append(t.Context(), version(t, s, "anna"), use("anna", token, 43)); err != nil {
		t.Error(err)
	}
	prompts, err := s.OpenPrompts(t.Context())
	do(t, err)
	if len(prompts) != 1 || prompts[0].ID != "open" || len(prompts[0].Requests) != 2 {
		t.Errorf("got prompts %+v; want the one that is open, with the request that joined", prompts)
	}
	if u := user(t, s, "carol"); !slices.Equal(u.PushBlocked, []string{"edge"}) {
		t.Errorf("got %q; want push blocked at edge", u.PushBlocked)
	}
	if n := len(h.Trail(t, s)); n != lines+1 {
		t.Errorf("got %d lines; want %d", n, lines+1)
	}
}

// hiddenSteps: no reader of the trail is shown the steps of a login; the limits are made of
// those that count.
func hiddenSteps(t *testing.T, h Harness) {
	s := h.Open(t, time.Now)
	began := time.Now().Add(-time.Minute)
	for _, kind := range steps {
		do(t, s.Append(t.Context(), version(t, s, "anna"), step(kind, "anna")))
	}
	end := login("anna")
	end.Primary = time.Millisecond
	do(t, s.Append(t.Context(), version(t, s, "anna"), end))
	look := func(s Store) {
		kinds := func(what string, events []mfa.Event, err error, want ...mfa.EventKind) {
			t.Helper()
			var got []mfa.EventKind
			for _, ev := range events {
				got = append(got, ev.Kind)
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: got %q, %v; want %q", what, got, err, want)
			}
		}
		kinds("trail", h.Trail(t, s), nil, mfa.EventLogin)
		events, err := s.EventsOf(t.Context(), mfa.NameOf("anna"), 10)
		kinds("of the user", events, err, mfa.EventLogin)
		events, _, err = s.Logins(t.Context(), mfa.NameOf("anna"), 0, 10)
		kinds("sign-ins", events, err, mfa.EventLogin)
		events, err = s.EventsSince(t.Context(), began)
		kinds("limits", events, err, mfa.EventOpen, mfa.EventTry)
	}
	look(s)
	look(h.Reopen(t, s))
}

// parallel: entries of many users at once, each user's in order and none lost.
func parallel(t *testing.T, h Harness) {
	s := h.Open(t, time.Now)
	const users, each = 16, 20
	var mu sync.Mutex
	told := map[mfa.NameKey]int64{}
	s.Follow(func(ev mfa.Event) {
		mu.Lock()
		defer mu.Unlock()
		if told[ev.User.Key()]++; told[ev.User.Key()] != int64(ev.Tries) {
			t.Errorf("%s: told of the one with number %d after %d others", ev.User, ev.Tries, told[ev.User.Key()]-1)
		}
	})
	var wg sync.WaitGroup
	for n := range users {
		for range 2 { // who contend
			wg.Go(func() { appendEach(t.Context(), t, s, fmt.Sprint("user", n), each) })
		}
	}
	wg.Wait()
	lines := map[mfa.NameKey]int{}
	for _, ev := range h.Trail(t, h.Reopen(t, s)) {
		lines[ev.User.Key()]++
	}
	for n := range users {
		key := mfa.NameOf(fmt.Sprint("user", n)).Key()
		if told[key] != 2*each || lines[key] != 2*each {
			t.Errorf("%s: told of %d entries, %d in the trail; want %d", key, told[key], lines[key], 2*each)
		}
	}
}

// appendEach appends n logins of a user, each with its number.
func appendEach(ctx context.Context, t *testing.T, s Store, name string, n int) {
	for n > 0 {
		u, err := s.User(ctx, mfa.NameOf(name))
		if err != nil {
			t.Error(err)
			return
		}
		ev := login(name)
		ev.Tries = int(u.Version.N) + 1
		switch err := s.Append(ctx, u.Version, ev); {
		case err == nil:
			n--
		case !errors.Is(err, mfa.ErrStale):
			t.Error(err)
			return
		}
	}
}
