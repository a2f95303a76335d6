package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/store/postgrestest"
	"github.com/radmatch/radmatch/otp"
)

// TestKillPrimary kills the server of the database again and again while logins come: each
// that was acknowledged is there once.
func TestKillPrimary(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	options := site(t, server.URL(server.NewDatabase(t)), "none")
	n := openNode(t, options("a"))
	l := begin(t, n, 8)
	for round := range 5 {
		l.await(t, 100+int64(round)*7)
		if round%2 == 0 {
			server.Kill()
			server.Begin(t)
		} else {
			server.Restart(t)
		}
	}
	before := versionOf(t, n.Store, "user0").Epoch
	l.await(t, 200)
	if now := versionOf(t, n.Store, "user0").Epoch; now != before {
		t.Errorf("after a start of the same server: got epoch %d; want %d as before", now, before)
	}
	l.check(t, false)
}

// TestFreezePrimary stops the server of the database for a while.
func TestFreezePrimary(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	options := site(t, server.URL(server.NewDatabase(t)), "none")
	l := begin(t, openNode(t, options("a")), 4)
	l.await(t, 100)
	server.Freeze()
	done := l.count.Load() + 4 // those on their way at that moment
	select {
	case <-time.After(500 * time.Millisecond):
	case <-t.Context().Done():
	}
	if n := l.count.Load(); n > done {
		t.Errorf("got %d entries while the server stood; want none", n-done)
	}
	server.Thaw()
	l.await(t, 200)
	l.check(t, false)
}

// pair is a primary with a standby that has caught up.
func pair(t *testing.T, synchronous bool) (primary, standby *postgrestest.Server, database string) {
	t.Helper()
	primary = postgrestest.Start(t)
	database = primary.NewDatabase(t)
	standby = primary.Standby(t, "second")
	if synchronous {
		primary.Set(t, "synchronous_standby_names = 'second'")
		primary.Exec(t, database, "CREATE TABLE confirmed ()") // returns when the standby has it
	}
	return primary, standby, database
}

// TestFailoverSync promotes a synchronous standby: nothing that was acknowledged is lost, and
// nothing that was decided before goes on.
func TestFailoverSync(t *testing.T) {
	t.Parallel()
	primary, standby, database := pair(t, true)
	options := site(t, primary.URLs(database, standby), "")
	n, other := openNode(t, options("a")), openNode(t, options("b"))
	token := otp.NewTOTP(mfa.NameOf("anna"))
	if err := n.AddToken(t.Context(), token, mfa.Event{}); err != nil {
		t.Fatal(err)
	}
	l := begin(t, n, 8)
	l.await(t, 200)
	before := versionOf(t, n.Store, "user0").Epoch
	// What decides only there is not told here until it matters.
	if err := other.Append(t.Context(), versionOf(t, other.Store, "bob"), entry("elsewhere", "bob")); err != nil {
		t.Fatal(err)
	}
	primary.Kill()
	standby.Promote(t)
	l.await(t, 300)
	if now := versionOf(t, n.Store, "user0").Epoch; now == before {
		t.Error("got the epoch of before; want another one")
	}
	l.check(t, false)
	err := n.Append(t.Context(), versionOf(t, n.Store, "bob"), entry("here", "bob"))
	if told := n.toldOf("bob"); !errors.Is(err, mfa.ErrStale) || !slices.Equal(told, []string{"elsewhere"}) {
		t.Errorf("an entry behind that of the other node: got %v, and told %v; want %v, and what came first", err, told, mfa.ErrStale)
	}
	if tokens, err := n.Tokens(t.Context(), token.User); err != nil || len(tokens) != 1 || tokens[0].Next != 0 {
		t.Errorf("got tokens %+v, %v; want one whose codes are not in doubt", tokens, err)
	}
}

// TestFailoverAsync promotes a standby that lacks commits: that is noticed, and codes from
// before are used, at this node and at one that starts later.
func TestFailoverAsync(t *testing.T) {
	t.Parallel()
	primary, standby, database := pair(t, false)
	options := site(t, primary.URLs(database, standby), "async")
	n := openNode(t, options("a"))
	totp, hotp := otp.NewTOTP(mfa.NameOf("anna")), otp.NewHOTP(mfa.NameOf("anna"))
	pass, _, err := otp.NewPass(mfa.NameOf("anna"), time.Now(), time.Hour, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, tok := range []otp.Token{totp, hotp, pass} {
		if err := n.AddToken(t.Context(), tok, mfa.Event{}); err != nil {
			t.Fatal(err)
		}
	}
	l := begin(t, n, 4)
	l.await(t, 50)
	// It has the tokens, and lacks what comes now.
	for end := time.Now().Add(20 * time.Second); !has(t, standby, database, totp.ID); {
		if time.Now().After(end) {
			t.Fatal("got a standby without the tokens after 20 s; want it to have them")
		}
	}
	standby.Set(t, "primary_conninfo = ''")
	for end := time.Now().Add(20 * time.Second); standby.Count(t, "postgres", `SELECT count(*) FROM pg_stat_wal_receiver`) > 0; {
		if time.Now().After(end) {
			t.Fatal("got a standby that still follows after 20 s; want it apart")
		}
	}
	l.await(t, 200)
	step := time.Now().Unix() / 30
	use := entry("lost", "anna")
	use.Take(mfa.Use{Method: "totp", Token: totp.ID, Step: step})
	if err := n.Append(t.Context(), versionOf(t, n.Store, "anna"), use); err != nil {
		t.Fatal(err)
	}
	primary.Kill()
	standby.Promote(t)
	l.await(t, 200)
	if missing := l.check(t, true); missing == 0 {
		t.Error("got no lost entry; the test shows nothing")
	}
	for _, n := range []*node{n, openNode(t, options("b"))} {
		tokens, err := n.Tokens(t.Context(), totp.User)
		if err != nil || len(tokens) != 3 {
			t.Fatalf("got tokens %+v, %v; want three", tokens, err)
		}
		for _, tok := range tokens {
			switch {
			case tok.Kind == otp.TOTP && tok.Next <= step+1:
				t.Errorf("got next step %d; want all up to %d used", tok.Next, step+1)
			case tok.Kind == otp.HOTP && !tok.Doubt:
				t.Error("got a counter as before; want it in doubt")
			case tok.Kind == otp.Pass && tok.Expires.After(time.Now()):
				t.Errorf("got a pass until %s; want it over", tok.Expires)
			}
		}
	}
}

// has reports whether a standby has a token.
func has(t *testing.T, s *postgrestest.Server, database, token string) bool {
	t.Helper()
	n := s.Count(t, database, `SELECT count(*) FROM tokens WHERE id = $1`, token)
	return n == 1
}

// TestUnconfirmed cancels a commit that waits for its standby: PostgreSQL says that it is
// done, and no login may believe that.
func TestUnconfirmed(t *testing.T) {
	t.Parallel()
	primary, standby, database := pair(t, true)
	options := site(t, primary.URL(database), "sync")
	n := openNode(t, options("a"))
	standby.Freeze()
	done := make(chan error, 1)
	go func() { done <- n.Append(t.Context(), versionOf(t, n.Store, "anna"), entry("l1", "anna")) }()
	const waiting = `SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE 'WITH me%'`
	for end := time.Now().Add(20 * time.Second); primary.Count(t, database, waiting) == 0; {
		if time.Now().After(end) {
			t.Fatal("got no commit that waits for the standby within 20 s; want one")
		}
	}
	select {
	case err := <-done:
		t.Fatalf("got %v while the standby stood; want no answer", err)
	case <-time.After(time.Second):
	}
	standby.Thaw()
	if err := <-done; err != nil {
		t.Errorf("when the standby confirms again: got %v; want no error", err)
	}
	if v := versionOf(t, n.Store, "anna"); v.N != 1 {
		t.Errorf("got version %d; want 1: the entry is there once", v.N)
	}
}

// TestStandbySetting: sync without a standby that is waited for is a mistake.
func TestStandbySetting(t *testing.T) {
	server := postgrestest.Shared(t)
	url := server.URL(server.NewDatabase(t))
	_, err := store.Open(t.Context(), site(t, url, "sync")("a"))
	if err == nil || !strings.Contains(err.Error(), "synchronous_standby_names is empty") {
		t.Errorf("got %v; want that no standby is waited for", err)
	}
	_, err = store.Open(t.Context(), site(t, fmt.Sprint(url, "&password=hidden&x"), "none")("a"))
	if err != nil && strings.Contains(err.Error(), "hidden") {
		t.Errorf("got an error with the password: %v", err)
	}
}
