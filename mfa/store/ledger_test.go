package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/record"
)

var anna = mfa.NameOf("anna")

// at is the version of a user.
func at(t *testing.T, s *Store, user mfa.Name) mfa.Version {
	t.Helper()
	u, err := s.User(t.Context(), user)
	must(t, err)
	return u.Version
}

// entry is a row of anna's log that was decided on base.
func entry(t *testing.T, s *Store, base mfa.Version, ev mfa.Event) record.Row {
	t.Helper()
	ev.User = anna
	r, err := record.NewRow(ev, s.opt.Now())
	must(t, err)
	r.Seq, r.Epoch = base.N+1, base.Epoch
	return r
}

// TestOvertaken: what a command has changed is not overtaken by an entry, whether memory has
// taken the change over by then or not.
func TestOvertaken(t *testing.T) {
	t.Parallel()
	bypass := mfa.Bypass{Group: mfa.GroupOf("edge"), Reason: "lost phones"}
	for name, tt := range map[string]struct {
		ops   []op.Op
		known bool // memory has it
		kept  []bool
	}{
		"nothing":             {kept: nil},
		"the user":            {ops: []op.Op{op.Block{User: mfa.NameOf("Anna")}}, kept: []bool{true, false, true}},
		"the user, known":     {ops: []op.Op{op.Block{User: mfa.NameOf("Anna")}}, known: true, kept: []bool{true, false, true}},
		"another user":        {ops: []op.Op{op.Block{User: mfa.NameOf("bob")}}, kept: []bool{true, true, true}},
		"another user, known": {ops: []op.Op{op.Block{User: mfa.NameOf("bob")}}, known: true, kept: nil},
		"the site":            {ops: []op.Op{op.BeginBypass{Bypass: bypass}}, kept: []bool{true, false, true}},
		"the site, known":     {ops: []op.Op{op.BeginBypass{Bypass: bypass}}, known: true, kept: []bool{true, false, true}},
	} {
		t.Run(name, func(t *testing.T) {
			s := quiet(t, Options{Dir: t.TempDir()})
			base := at(t, s, anna)
			plain, err := record.NewRow(loginEvent(1), s.opt.Now())
			must(t, err)
			if len(tt.ops) > 0 {
				_, err := s.db.Apply(t.Context(), admin("change"), tt.ops...)
				must(t, err)
			}
			if tt.known {
				must(t, s.catchUp(t.Context()))
			}
			before := count(t, s, `SELECT count(*) FROM events`)
			notMe := mfa.Event{ID: "l1", Kind: mfa.EventLogin, Reason: mfa.ReasonNotMe, Plan: mfa.PlanPush}
			notMe.Client = "vpn" // leaves a report and a block of push beside it
			kept, err := commit(s, []record.Row{plain, entry(t, s, base, notMe), plain})
			must(t, err)
			if !slices.Equal(kept, tt.kept) {
				t.Errorf("got kept %v; want %v", kept, tt.kept)
			}
			isKept := tt.kept == nil || tt.kept[1]
			want := before + 2
			if isKept {
				want += 2
			}
			if n := count(t, s, `SELECT count(*) FROM events`); n != want {
				t.Errorf("got %d events; want %d", n, want)
			}
			u, err := s.User(t.Context(), anna)
			must(t, err)
			if barred := u.PushBlockedIn("vpn"); barred != isKept {
				t.Errorf("push blocked in memory: got %t; want %t", barred, isKept)
			}
		})
	}
}

// TestBigChange: what memory has of a change that it takes over in parts is no longer in
// the way.
func TestBigChange(t *testing.T) {
	t.Parallel()
	s := quiet(t, Options{Dir: t.TempDir()})
	ops := []op.Op{op.Block{User: anna}}
	for n := range pollChunk {
		ops = append(ops, op.Block{User: mfa.NameOf(fmt.Sprint("user", n))})
	}
	last := mfa.NameOf(fmt.Sprint("user", pollChunk-1))
	_, err := s.db.Apply(t.Context(), admin("change"), ops...)
	must(t, err)
	for _, known := range []bool{false, true} {
		if known {
			more, err := s.catchUpChunk(t.Context())
			if err != nil || !more {
				t.Fatalf("got more %t, %v; want a part of the changes", more, err)
			}
		}
		late := mfa.Event{Kind: mfa.EventTry}
		late.User = last
		r, err := record.NewRow(late, s.opt.Now())
		must(t, err)
		v := at(t, s, last)
		r.Seq, r.Epoch = v.N+1, v.Epoch
		kept, err := commit(s, []record.Row{entry(t, s, at(t, s, anna), mfa.Event{Kind: mfa.EventTry}), r})
		must(t, err)
		if want := []bool{known, false}; !slices.Equal(kept, want) {
			t.Errorf("taken over in part %t: got kept %v; want %v", known, kept, want)
		}
	}
}

// TestFailedEntry: after a commit that may have failed, the code is used and
// nothing fits that was decided before.
func TestFailedEntry(t *testing.T) {
	t.Parallel()
	s := openServer(t, t.TempDir())
	tok := addToken(t, s, "anna")
	base := at(t, s, anna)
	told := false
	s.Follow(func(mfa.Event) { told = true })
	b := &batch{done: make(chan struct{}), err: errors.New("disk full")}
	_, err := s.ledger.begin("anna", base)
	must(t, err)
	ev := mfa.Event{Kind: mfa.EventLogin, Token: tok.ID, Step: 7, Used: true}
	if err := s.finish(&record.Row{Key: "anna"}, place{batch: b}, ev); !errors.Is(err, b.err) || told {
		t.Errorf("got %v, told %t; want the error of the commit, and nobody told", err, told)
	}
	tokens, err := s.ListTokens(t.Context(), anna)
	must(t, err)
	if tokens[0].Next != 8 {
		t.Errorf("got next %d; want 8", tokens[0].Next)
	}
	ev.User = anna
	if err := s.Append(t.Context(), base, ev); !errors.Is(err, mfa.ErrStale) {
		t.Errorf("got %v; want %v", err, mfa.ErrStale)
	}
}

// TestManyNumbers: users who have no account have numbers too, of which the first are
// forgotten; then nothing fits that was decided before.
func TestManyNumbers(t *testing.T) {
	t.Parallel()
	var l ledger
	l.init()
	l.makeRoom(2)
	first := l.version("user0")
	for n := range maxNumbers + 2 {
		user := fmt.Sprint("user", n)
		if _, err := l.begin(user, l.version(user)); err != nil {
			t.Fatalf("%s: %v", user, err)
		}
		l.end(user, true)
	}
	before := l.version("user7")
	if _, err := l.begin("one more", l.version("one more")); !errors.Is(err, mfa.ErrStale) {
		t.Errorf("full: got %v; want %v", err, mfa.ErrStale)
	}
	if _, err := l.begin("one more", l.version("one more")); err != nil {
		t.Errorf("again: got %v; want none", err)
	}
	for _, base := range []mfa.Version{first, before} {
		for _, user := range []string{"user0", "user7"} {
			if _, err := l.begin(user, base); !errors.Is(err, mfa.ErrStale) {
				t.Errorf("%s at %v: got %v; want %v", user, base, err, mfa.ErrStale)
			}
		}
	}
	if len(l.numbers) != 0 || len(l.flying) != 1 {
		t.Errorf("got %d numbers, %d on their way; want 0 and 1", len(l.numbers), len(l.flying))
	}
}

// TestLateContext: an entry whose caller gave up holds its user until it is there.
func TestLateContext(t *testing.T) {
	t.Parallel()
	s := openServer(t, t.TempDir())
	var told []mfa.EventKind
	s.Follow(func(ev mfa.Event) { told = append(told, ev.Kind) })
	base := at(t, s, anna)
	ctx, cancel := context.WithCancel(t.Context())
	s.wmu.Lock()
	var wg sync.WaitGroup
	wg.Go(func() {
		ev := mfa.Event{Kind: mfa.EventTry}
		ev.User = anna
		if err := s.Append(ctx, base, ev); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v; want %v", err, context.Canceled)
		}
	})
	waitFor(t, func() bool {
		s.ledger.mu.Lock()
		defer s.ledger.mu.Unlock()
		return len(s.ledger.flying) == 1
	})
	cancel()
	wg.Wait()
	wg.Go(func() {
		ev := mfa.Event{Kind: mfa.EventTry}
		ev.User = anna
		if err := s.Append(t.Context(), base, ev); !errors.Is(err, mfa.ErrStale) {
			t.Errorf("a second one: got %v; want %v", err, mfa.ErrStale)
		}
	})
	s.wmu.Unlock()
	wg.Wait()
	if got := at(t, s, anna); got.N != base.N+1 || !slices.Equal(told, []mfa.EventKind{mfa.EventTry}) {
		t.Errorf("got %v, told of %v; want one entry", got, told)
	}
}
