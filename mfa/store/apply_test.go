package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/sqlite"
	"github.com/radmatch/radmatch/otp"
)

// raw opens the database beside the store.
func raw(tb testing.TB, dir string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, sqlite.File)+"?_pragma=busy_timeout(5000)")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	return db
}

// beside opens the database of s beside it.
func beside(tb testing.TB, s *Store) *sql.DB { tb.Helper(); return raw(tb, s.opt.Dir) }

// dump is all that the database holds.
func dump(t *testing.T, db *sql.DB) string {
	t.Helper()
	var b strings.Builder
	for _, table := range column(t, db, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`) {
		fields := column(t, db, fmt.Sprintf(`SELECT name FROM pragma_table_info('%s')`, table))
		for i, f := range fields {
			fields[i] = `quote("` + f + `")`
		}
		for _, row := range column(t, db, `SELECT `+strings.Join(fields, ` || ',' || `)+` FROM `+table+` ORDER BY 1`) {
			fmt.Fprintf(&b, "%s: %s\n", table, row)
		}
	}
	return b.String()
}

func column(t *testing.T, db *sql.DB, query string) (list []string) {
	t.Helper()
	rows, err := db.Query(query)
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var v string
		must(t, rows.Scan(&v))
		list = append(list, v)
	}
	must(t, rows.Err())
	return list
}

// changes is each operation, with what must be there before.
func changes(t *testing.T, s *Store) map[string][]op.Op {
	t.Helper()
	ctx, anna := t.Context(), mfa.NameOf("anna")
	tok := addToken(t, s, "anna")
	hash := sha256.Sum256([]byte("invitation"))
	must(t, s.AddDevice(ctx, device.Device{ID: "d1", Name: "phone", User: anna, Provider: "chat"}, admin("add")))
	must(t, s.Invite(ctx, device.Invitation{Hash: hash, User: anna, Expires: time.Now().Add(time.Hour)}, admin("invite")))
	b, err := s.BeginBypass(ctx, mfa.Bypass{User: anna, Reason: "lost phone"}, time.Hour, admin(""))
	must(t, err)
	must(t, s.keep(ctx, op.KeepLatch{Latch: op.Latch{Client: "vpn", Addr: netip.MustParseAddr("203.0.113.10"), Since: time.Now()}}))
	pass, _, err := otp.NewPass(anna, time.Now(), time.Hour, true)
	must(t, err)
	key, err := s.addKey(ctx)
	must(t, err)
	return map[string][]op.Op{
		"block":          {op.Block{User: anna}},
		"unblock":        {op.Unblock{User: anna, At: time.Now()}},
		"default method": {op.SetDefaultMethod{User: anna, Method: mfa.MethodOTP}},
		"add tokens":     {op.AddTokens{Tokens: []otp.Token{otp.NewTOTP(anna), otp.NewHOTP(mfa.NameOf("bob"))}}},
		"pass":           {op.RemovePasses{User: anna}, op.AddTokens{Tokens: []otp.Token{pass}}},
		"remove token":   {op.RemoveToken{User: anna, IDOrSerial: tok.ID}},
		"sync token":     {op.SyncToken{Use: otp.Use{User: anna, Token: tok.ID, Step: 5}}},
		"invite":         {op.Invite{Invitation: device.Invitation{Hash: sha256.Sum256(nil), User: anna, Expires: time.Now().Add(time.Hour)}}},
		"uninvite":       {op.Uninvite{User: anna}},
		"enrol":          {op.Enroll{Invitation: hash, Device: device.Device{ID: "d2", User: anna, Name: "tablet", Key: []byte{1}}}},
		"add device":     {op.AddDevice{Device: device.Device{ID: "d3", Name: "watch", User: anna, Provider: "chat"}}},
		"remove device":  {op.RemoveDevice{User: anna, Name: "phone"}},
		"rename device":  {op.RenameDevice{User: anna, ID: "d1", Name: "old phone"}},
		"passkey":        {op.AddPasskey{User: anna, Device: "d1", Passkey: device.Passkey{ID: []byte{1}, Key: []byte{2}}}},
		"begin bypass":   {op.BeginBypass{Bypass: mfa.Bypass{User: anna, Reason: "x", Until: time.Now().Add(time.Hour)}}},
		"end bypass":     {op.EndBypass{ID: b.ID}},
		"unlatch":        {op.Unlatch{Client: "vpn"}},
		"reseal":         {op.Reseal{Key: key}},
	}
}

// TestOneCommit: an operation, its event and the line by which the server hears of it are
// on disk together, or none of them.
func TestOneCommit(t *testing.T) {
	t.Parallel()
	for _, fails := range []struct{ name, before, trigger string }{
		{"at the end", "changes", `CREATE TRIGGER stop BEFORE INSERT ON changes BEGIN SELECT raise(ABORT, 'disk full'); END`},
		{"at the event", "events", `CREATE TRIGGER stop BEFORE INSERT ON events BEGIN SELECT raise(ABORT, 'disk full'); END`},
	} {
		t.Run(fails.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openCommand(t, dir)
			all, db := changes(t, s), raw(t, dir)
			_, err := db.Exec(fails.trigger)
			must(t, err)
			before := dump(t, db)
			for name, ops := range all {
				if _, err := s.Apply(t.Context(), admin(name), ops...); err == nil || !strings.Contains(err.Error(), "disk full") {
					t.Errorf("%s: got %v; want disk full", name, err)
				}
				if after := dump(t, db); after != before {
					t.Fatalf("%s: half of it is on disk:\n%s\nbefore:\n%s", name, after, before)
				}
			}
			_, err = db.Exec(`DROP TRIGGER stop`)
			must(t, err)
			for _, name := range []string{"block", "unblock", "default method", "rename device", "reseal"} {
				_, err := s.Apply(t.Context(), admin(name), all[name]...)
				must(t, err)
				if after := dump(t, db); after == before {
					t.Errorf("%s: nothing is on disk", name)
				} else {
					before = after
				}
			}
		})
	}
}

// TestSecondOperationRefused: where one operation of several is refused, none is applied.
func TestSecondOperationRefused(t *testing.T) {
	dir := t.TempDir()
	s := openServer(t, dir)
	db := raw(t, dir)
	before := dump(t, db)
	eve := mfa.NameOf("eve")
	_, err := s.Apply(t.Context(), admin("both"), op.Block{User: eve}, op.Uninvite{User: eve})
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v; want ErrNotFound", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Apply(ctx, admin("cancelled"), op.Block{User: eve}); err == nil {
		t.Error("applied for a caller that has gone: got no error; want one")
	}
	if after := dump(t, db); after != before {
		t.Errorf("on disk:\n%s\nbefore:\n%s", after, before)
	}
	if u, err := s.User(t.Context(), eve); err != nil || u.Blocked {
		t.Errorf("got %+v, %v; want not blocked", u, err)
	}
}

// TestUnblock: one event, and nothing of what kept the user out is left.
func TestUnblock(t *testing.T) {
	dir := t.TempDir()
	server, cli := openServer(t, dir), openCommand(t, dir)
	ev := loginEvent(1)
	ev.User, ev.Reason, ev.Outcome, ev.BlocksUser = mfa.NameOf("Eve"), mfa.ReasonNotMe, mfa.Reject, true
	must(t, server.Record(t.Context(), ev))
	must(t, cli.SetBlocked(t.Context(), mfa.NameOf("eve"), false, admin("unblocked")))
	u, err := server.User(t.Context(), mfa.NameOf("eve"))
	if err != nil || u.Blocked || len(u.PushBlocked) > 0 || u.Unblocked.IsZero() {
		t.Errorf("got %+v, %v", u, err)
	}
	if n := count(t, cli, `SELECT count(*) FROM events WHERE usr = '' OR usr IS NULL`); n != 1 {
		t.Errorf("%d events of the change; want 1", n)
	}
}
