package store

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store/seal"
	"github.com/radmatch/radmatch/otp"
)

// older makes the database what a program before version 10 left: the users in keys
// have the tokens and devices of those that they are made from, under odd keys.
func older(t *testing.T, s *Store, keys map[string]string) {
	t.Helper()
	db, ring := beside(t, s), s.keys.Ring()
	exec := func(query string, args ...any) {
		_, err := db.Exec(query, args...)
		must(t, err)
	}
	for from, to := range keys {
		list, err := s.Tokens(t.Context(), mfa.NameOf(from))
		must(t, err)
		for _, token := range list {
			sealed, err := ring.Seal(1, token.Secret, seal.Bound(to, token.ID))
			must(t, err)
			exec(`UPDATE tokens SET secret = ? WHERE id = ?`, sealed, token.ID)
		}
		for _, table := range keyedTables {
			exec(`UPDATE `+table+` SET usr = ? WHERE usr = ?`, to, from)
		}
	}
	exec(`UPDATE meta SET value = 0 WHERE key = 'names'`)
}

// keyedTables are the tables that hold what belongs to a user.
var keyedTables = [...]string{"users", "tokens", "devices", "push_blocks"}

// TestReform: what is stored under an odd key is under the form afterwards, and its
// secret opens; where two users have one form nothing is merged, and no login is accepted.
func TestReform(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	s := openCommand(t, dir)
	tokens := map[string]otp.Token{}
	for _, user := range []string{"anna", "bob", "bob2", "carla"} {
		token := otp.NewTOTP(mfa.NameOf(user))
		token.Serial, tokens[user] = "no "+user, token
		must(t, s.AddToken(ctx, token, admin("add")))
	}
	for _, user := range []string{"anna", "bob", "bob2"} {
		must(t, s.AddDevice(ctx, device.NewRegistration(mfa.NameOf(user), "chat", "phone of "+user, time.Now()), admin("add")))
	}
	_, err := beside(t, s).Exec(`INSERT INTO push_blocks (usr, grp) VALUES ('anna', 'vpn'), ('bob2', 'vpn'); UPDATE tokens SET next = 4711 WHERE usr = 'bob2'`)
	must(t, err)
	older(t, s, map[string]string{"anna": "anna ", "bob2": "bob\u00a0"})
	must(t, s.Close())

	s = openCommand(t, dir)
	if tokens, err := s.Tokens(ctx, mfa.NameOf("Anna")); err != nil || len(tokens) != 1 || len(tokens[0].Secret) == 0 {
		t.Errorf("anna: %d tokens, %v", len(tokens), err)
	}
	if u, err := s.User(ctx, mfa.NameOf("anna")); err != nil || u.Blocked || u.Codes != 1 {
		t.Errorf("anna: got %+v, %v; want no error, Blocked false, Codes 1", u, err)
	}
	if u, err := s.User(ctx, mfa.NameOf("bob ")); err != nil || !u.Blocked || u.Codes != 1 {
		t.Errorf("bob, who was two users: got %+v, %v; want no error, Blocked true, Codes 1", u, err)
	}
	if u, err := s.User(ctx, mfa.NameOf("carla")); err != nil || u.Blocked || u.Codes != 1 {
		t.Errorf("carla: got %+v, %v; want no error, Blocked false, Codes 1", u, err)
	}
	for user, device := range map[string]string{"anna": "phone of anna", "bob": "phone of bob"} {
		if list, err := s.ListDevices(ctx, mfa.NameOf(user)); err != nil || len(list) != 1 || list[0].Name != device {
			t.Errorf("%s: devices %+v, %v", user, list, err)
		}
	}
	if u, err := s.User(ctx, mfa.NameOf("anna")); err != nil || !slices.Equal(u.PushBlocked, []string{"vpn"}) {
		t.Errorf("the push block of anna: got %+v, %v; want no error, only \"vpn\"", u, err)
	}
	if u, err := s.User(ctx, mfa.NameOf("bob")); err != nil || len(u.PushBlocked) > 0 {
		t.Errorf("the push block of the other bob: got %+v, %v; want no error, no PushBlocked", u, err)
	}
	clashes, err := s.Clashes(ctx)
	if err != nil || len(clashes) != 1 || clashes[0].User.String() != "bob" || len(clashes[0].Others) != 1 || clashes[0].Others[0] != "bob\u00a0" {
		t.Errorf("clashes: %+v, %v", clashes, err)
	}
	events, err := s.Events(ctx, Query{User: mfa.NameOf("bob")})
	if text := events[len(events)-1].Event.Text; err != nil || !strings.Contains(text, "user unblock") || !strings.Contains(text, `"bob\u00a0" (tokens: 1, devices: 1)`) {
		t.Errorf("events of bob: %+v, %v", events, err)
	}
	// The token of the other bob is registered anew, before the block goes: what was
	// used of it stays used.
	anew := tokens["bob2"]
	anew.ID, anew.User = "anew", mfa.NameOf("bob")
	must(t, s.AddToken(ctx, anew, admin("add")))
	if list, err := s.Tokens(ctx, mfa.NameOf("bob")); err != nil || !slices.ContainsFunc(list, func(t otp.Token) bool { return t.ID == "anew" && t.Next == 4711 }) {
		t.Errorf("the token of the other bob, registered anew: %+v, %v", list, err)
	}
	must(t, s.SetBlocked(ctx, mfa.NameOf("bob"), false, admin("unblock")))
	if clashes, err := s.Clashes(ctx); err != nil || len(clashes) != 0 {
		t.Errorf("after unblock: got %+v, %v; want no error, none", clashes, err)
	}
	if u, err := s.User(ctx, mfa.NameOf("bob")); err != nil || u.Blocked || u.Codes != 2 || u.Devices != 1 || len(u.PushBlocked) > 0 {
		t.Errorf("bob, unblocked: %+v, %v", u, err)
	}
	for _, table := range keyedTables {
		var n int
		must(t, beside(t, s).QueryRowContext(ctx, `SELECT count(*) FROM `+table+` WHERE usr LIKE 'bob%' AND usr <> 'bob'`).Scan(&n))
		if n != 0 {
			t.Errorf("got %d rows of the other bob stay in %s; want 0", n, table)
		}
	}
}
