package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/store/postgrestest"
	"github.com/radmatch/radmatch/otp"
)

// TestSweepPostgres folds and prunes a trail to its end: the numbers of the users go on, and
// used codes stay used, at a node that starts too.
func TestSweepPostgres(t *testing.T) {
	ctx := t.Context()
	server := postgrestest.Shared(t)
	database := server.NewDatabase(t)
	options := site(t, server.URL(database), "none")
	a := openNode(t, options("a"))
	token := otp.NewTOTP(mfa.NameOf("anna"))
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(a.AddToken(ctx, token, mfa.Event{}))
	const entries = 300 // more than a chunk
	for i := range int64(entries) {
		ev := entry(fmt.Sprint("l", i), "anna")
		ev.Take(mfa.Use{Method: "totp", Token: token.ID, Step: 1000 + i, Drift: 2})
		check(a.Append(ctx, versionOf(t, a.Store, "anna"), ev))
	}
	check(a.Append(ctx, versionOf(t, a.Store, "bob"), entry("b", "bob")))
	check(a.Record(ctx, entry("refused", "mallory")))
	for i, status := range []string{"start", "interim", "stop"} {
		ev := mfa.Event{ID: "s", Kind: mfa.EventAccounting, Origin: mfa.Origin{User: token.User, Client: "vpn"}, Details: mfa.Details{Session: &mfa.Session{Status: status}}}
		for _, want := range []bool{false, true} {
			if again, err := a.RecordSession(ctx, ev, [16]byte{byte(i + 1)}); err != nil || again != want {
				t.Errorf("%s: got %t, %v; want %t", status, again, err, want)
			}
		}
	}
	versions := map[string]int64{"anna": versionOf(t, a.Store, "anna").N, "bob": 1}
	if got, err := a.Events(ctx, store.Query{User: token.User, Limit: 10_000}); err != nil || len(got) != entries+3 {
		t.Errorf("got %d events of the user, %v; want %d", len(got), err, entries+3)
	}
	check(a.Fold(ctx))
	if next := server.Count(t, database, `SELECT next FROM tokens`); next != 1000+entries {
		t.Errorf("folded: got next %d; want %d", next, 1000+entries)
	}
	all, others, reports, err := a.Sizes(ctx)
	if check(err); others <= 0 || reports <= 0 || all <= others+reports {
		t.Errorf("got sizes %d, %d, %d; want parts of the first", all, others, reports)
	}
	if n, freed, err := a.Thinned(ctx, time.Now().Add(time.Hour)); err != nil || n != 1 || freed <= 0 {
		t.Errorf("thinned: got %d rows, %d octets, %v; want the interim one", n, freed, err)
	}
	if n, err := a.PruneAll(ctx, time.Now().Add(time.Hour)); err != nil || n < entries {
		t.Errorf("pruned: got %d, %v; want at least %d", n, err, entries)
	}
	if n, err := a.PruneAll(ctx, time.Now().Add(time.Hour)); err != nil || n != 0 {
		t.Errorf("pruned again: got %d, %v; want none", n, err)
	}
	if got, err := a.Events(ctx, store.Query{}); err != nil || len(got) != 0 {
		t.Errorf("got %d events, %v; want none", len(got), err)
	}
	b := openNode(t, options("b"))
	if v := versionOf(t, b.Store, "anna").N; v != versions["anna"] {
		t.Errorf("got version %d at a node that starts; want %d", v, versions["anna"])
	}
	if tokens, err := b.Tokens(ctx, token.User); err != nil || tokens[0].Next != 1000+entries || tokens[0].Drift != 2 {
		t.Errorf("got %+v, %v; want the codes used", tokens, err)
	}
	if err := b.Append(ctx, versionOf(t, b.Store, "bob"), entry("again", "bob")); !errors.Is(err, mfa.ErrStale) {
		t.Errorf("the number of a pruned entry: got %v; want ErrStale", err)
	}
	check(b.Append(ctx, versionOf(t, b.Store, "bob"), entry("again", "bob")))
	if v := versionOf(t, b.Store, "bob").N; v != 2 {
		t.Errorf("got version %d; want 2", v)
	}
	// A token that is registered again has its codes used.
	check(b.RemoveToken(ctx, token.User, token.ID, mfa.Event{}))
	token.ID = ""
	check(b.AddToken(ctx, token, mfa.Event{}))
	if tokens, err := b.Tokens(ctx, token.User); err != nil || len(tokens) != 1 || tokens[0].Next != 1000+entries {
		t.Errorf("registered again: got %+v, %v; want the codes used", tokens, err)
	}
}

// TestUsesAtStart: codes that are used up and not folded are used at a node that starts, also
// where the clock of the node that wrote an entry was behind what is folded by time.
func TestUsesAtStart(t *testing.T) {
	ctx := t.Context()
	server := postgrestest.Shared(t)
	database := server.NewDatabase(t)
	options := site(t, server.URL(database), "none")
	a := openNode(t, options("a"))
	want := make(map[string]int64) // the step after the last used one
	for u, user := range []string{"anna", "bob", "carl"} {
		token := otp.NewTOTP(mfa.NameOf(user))
		if err := a.AddToken(ctx, token, mfa.Event{}); err != nil {
			t.Fatal(err)
		}
		for i := range int64(5) {
			ev := entry(fmt.Sprint(user, i), user)
			ev.Take(mfa.Use{Method: "totp", Token: token.ID, Step: 1000 + int64(u) + i, Drift: 1})
			if err := a.Append(ctx, versionOf(t, a.Store, user), ev); err != nil {
				t.Fatal(err)
			}
		}
		want[user] = 1000 + int64(u) + 5
	}
	if err := a.Record(ctx, entry("refused", "mallory")); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil { // it may have folded some
		t.Fatal(err)
	}
	server.Exec(t, database, `DELETE FROM folded`)
	server.Exec(t, database, `UPDATE tokens SET next = 0, drift = 0`)
	server.Exec(t, database, `UPDATE meta SET value = (SELECT min(at) - 1 FROM events) WHERE key = 'folded'`)
	server.Exec(t, database, `UPDATE events SET at = 1 WHERE usr = 'bob' AND step = (SELECT max(step) FROM events WHERE usr = 'bob')`)
	server.Exec(t, database, `UPDATE events SET at = 2 WHERE usr = 'carl'`)
	b := openNode(t, options("b"))
	for user, next := range want {
		tokens, err := b.Tokens(ctx, mfa.NameOf(user))
		if err != nil || len(tokens) != 1 || tokens[0].Next != next || tokens[0].Drift != 1 {
			t.Errorf("%s: got %+v, %v; want next %d, drift 1", user, tokens, err, next)
		}
	}
}
