package admin

import (
	"context"
	"errors"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/hotp"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/otp"
)

var (
	_    Store = (*store.Store)(nil)
	root       = Actor{Name: "root (sudo by ida)", Via: CLI}
	anna       = mfa.NameOf("Anna")
	bob        = mfa.NameOf("bob")
)

// secret is that of anna's token.
const secret = "12345678901234567890"

// desk is an Admin with a store of its own.
type desk struct {
	Admin
	st  *store.Store
	dir string
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{dir: t.TempDir()}
	d.open(t)
	t.Cleanup(func() { d.st.Close() })
	return d
}

func (d *desk) open(t *testing.T) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: d.dir, Server: true})
	if err != nil {
		t.Fatal(err)
	}
	d.st, d.Store = st, st
}

// trail returns all events.
func (d *desk) trail(t *testing.T) (list []mfa.Event) {
	t.Helper()
	entries, err := d.st.Events(t.Context(), store.Query{Limit: store.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Event)
	}
	return list
}

func (d *desk) user(t *testing.T, name mfa.Name) mfa.User {
	t.Helper()
	u, err := d.st.User(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// fill gives anna a token, a pass, a device, an invitation, and a login that anna
// reported, begins a bypass of bob and latches a client.
func (d *desk) fill(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	token := otp.NewTOTP(anna)
	token.ID, token.Secret = "t1", []byte(secret)
	pass, _, err := otp.NewPass(anna, time.Now(), time.Hour, false)
	if err != nil {
		t.Fatal(err)
	}
	_, in := device.NewInvitation(anna, time.Now().Add(time.Hour))
	ev := mfa.Event{Details: mfa.Details{Text: "filled"}}
	_, bypassed := d.st.BeginBypass(ctx, mfa.Bypass{User: bob, Reason: "x"}, time.Hour, ev)
	reported := mfa.Event{ID: "l1", Time: time.Now(), Kind: mfa.EventLogin, Origin: mfa.Origin{Client: "vpn", Group: "edge", User: anna}, Reason: mfa.ReasonNotMe, Outcome: mfa.Reject, Plan: mfa.PlanPush}
	if err := errors.Join(bypassed, d.st.AddToken(ctx, token, ev), d.st.ReplacePass(ctx, pass, ev), d.st.Invite(ctx, in, ev), d.st.Record(ctx, reported),
		d.st.AddDevice(ctx, device.NewRegistration(anna, "chat", "old phone", time.Now()), ev)); err != nil {
		t.Fatal(err)
	}
	d.st.Latch("vpn", netip.MustParseAddr("203.0.113.10"), time.Now())
	if err := d.st.Close(); err != nil { // which writes the latch
		t.Fatal(err)
	}
	d.open(t)
}

// operations are all that change something, each on a store that is filled.
var operations = []struct {
	name string
	do   func(context.Context, *desk, Actor) error
	user mfa.Name // of the event
	text string   // of the event, as a regular expression
}{
	{"block", func(ctx context.Context, d *desk, by Actor) error { return d.Block(ctx, by, bob, "has left, INC-1") }, bob, `user blocked: has left, INC-1`},
	{"block without a reason", func(ctx context.Context, d *desk, by Actor) error { return d.Block(ctx, by, bob, "") }, bob, `user blocked`},
	{"unblock", func(ctx context.Context, d *desk, by Actor) error { return d.Unblock(ctx, by, anna) }, anna, `user unblocked, push allowed again at edge`},
	{"unblock nobody", func(ctx context.Context, d *desk, by Actor) error { return d.Unblock(ctx, by, bob) }, bob, `user unblocked`},
	{"default", func(ctx context.Context, d *desk, by Actor) error { return d.SetDefault(ctx, by, anna, mfa.MethodOTP) }, anna, `default method: otp`},
	{"add a token", func(ctx context.Context, d *desk, by Actor) error {
		t, err := NewToken(bob, TokenOptions{HOTP: true, Digits: 8, Algorithm: "sha-256", Counter: 7, Label: "key fob"})
		return errors.Join(err, d.AddToken(ctx, by, t))
	}, bob, `hotp token [a-z0-9]+ added`},
	{"import tokens", func(ctx context.Context, d *desk, by Actor) error {
		known := otp.NewTOTP(anna)
		known.Secret = []byte(secret)
		done, err := d.ImportTokens(ctx, by, "tokens.csv", []otp.Row{{Line: 4, Token: otp.NewTOTP(bob)}, {Line: 2, Token: known}}, []otp.RowError{{Line: 3, Problem: "x"}})
		if err == nil && (done.Added != 1 || len(done.Bad) != 2 || done.Bad[0].Line != 2 || done.Bad[1].Line != 3) {
			err = errors.New("want one row added, and the bad ones by line")
		}
		return err
	}, mfa.Name{}, `totp import of "tokens.csv": 2 good rows, 1 bad`},
	{"remove the one token", func(ctx context.Context, d *desk, by Actor) error {
		_, err := d.RemoveToken(ctx, by, anna, "")
		return err
	}, anna, `totp token t1 removed`},
	{"synchronise a token", func(ctx context.Context, d *desk, by Actor) error {
		step := time.Now().Unix() / 30
		s, err := d.SyncToken(ctx, by, anna, codeAt(step-3), codeAt(step-2))
		if err == nil && (s.Token != "t1" || s.Off >= 0) {
			err = errors.New("want a clock that is slow; got " + s.String())
		}
		return err
	}, anna, `token t1 synchronised: its clock is about 1m.* slow`},
	{"issue a pass", func(ctx context.Context, d *desk, by Actor) error {
		t, shown, err := d.IssuePass(ctx, by, bob, PassOptions{Lifetime: time.Hour, Once: true})
		if err == nil && (shown == "" || !t.Once) {
			err = errors.New("want a pass for one login")
		}
		return err
	}, bob, `pass [a-z0-9]+ issued for one login, valid for 1h0m0s`},
	{"revoke a pass", func(ctx context.Context, d *desk, by Actor) error { return d.RevokePass(ctx, by, anna) }, anna, `pass [a-z0-9]+ revoked`},
	{"invite", func(ctx context.Context, d *desk, by Actor) error {
		token, in, err := d.Invite(ctx, by, bob, DefaultInvitation)
		if err == nil && (token == "" || time.Until(in.Expires) < 23*time.Hour) {
			err = errors.New("want an invitation for a day")
		}
		return err
	}, bob, `device invitation, valid for 24h0m0s`},
	{"uninvite", func(ctx context.Context, d *desk, by Actor) error { return d.Uninvite(ctx, by, anna) }, anna, `device invitation taken back`},
	{"add a device", func(ctx context.Context, d *desk, by Actor) error {
		_, err := d.AddDevice(ctx, by, anna, "chat", "new phone")
		return err
	}, anna, `device "new phone" at "chat" added`},
	{"remove a device", func(ctx context.Context, d *desk, by Actor) error { return d.RemoveDevice(ctx, by, anna, "old phone") }, anna, `device "old phone" removed`},
	{"begin a bypass", func(ctx context.Context, d *desk, by Actor) error {
		b, err := d.BeginBypass(ctx, by, mfa.Bypass{Group: mfa.GroupOf("staff"), Reason: "INC-2"}, time.Hour)
		if err == nil && b.Operator != by.Name {
			err = errors.New("the bypass does not say whose it is")
		}
		return err
	}, mfa.Name{}, `bypass begun: .*INC-2.*`},
	{"end a bypass", func(ctx context.Context, d *desk, by Actor) error { return d.EndBypass(ctx, by, 1) }, bob, `bypass ended: .*`},
	{"end all", func(ctx context.Context, d *desk, by Actor) error {
		ended, err := d.EndBypasses(ctx, by)
		if err == nil && len(ended) != 1 {
			err = errors.New("want one ended")
		}
		return err
	}, bob, `bypass ended: .*`},
	{"unlatch", func(ctx context.Context, d *desk, by Actor) error {
		_, err := d.Unlatch(ctx, by, "vpn", netip.MustParseAddr("203.0.113.10"))
		return err
	}, mfa.Name{}, `address 203\.0\.113\.10 of client vpn unlatched`},
	{"unlatch all", func(ctx context.Context, d *desk, by Actor) error {
		n, err := d.Unlatch(ctx, by, "vpn", netip.Addr{})
		if err == nil && n != 1 {
			err = errors.New("want one unlatched")
		}
		return err
	}, mfa.Name{}, `every address of client vpn unlatched`},
	{"rekey", func(ctx context.Context, d *desk, by Actor) error {
		_, err := d.Rekey(ctx, by)
		return err
	}, mfa.Name{}, `tokens sealed with a new key`},
	{"note a backup", func(ctx context.Context, d *desk, by Actor) error { return d.NoteBackup(ctx, by, "b.db") }, mfa.Name{}, `backup written to b\.db`},
}

// codeAt is the code that anna's token shows at a step.
func codeAt(step int64) string {
	code, err := hotp.GenerateCode(otp.FormatSecret([]byte(secret)), uint64(step))
	if err != nil {
		panic(err)
	}
	return code
}

// TestOneEvent: each operation leaves one event, which says who it was.
func TestOneEvent(t *testing.T) {
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			d := newDesk(t)
			d.fill(t)
			before := d.trail(t)
			if err := op.do(t.Context(), d, root); err != nil {
				t.Fatal(err)
			}
			list := d.trail(t)[len(before):]
			if len(list) != 1 {
				t.Fatalf("got %d events; want 1: %+v", len(list), list)
			}
			ev := list[0]
			if ev.Kind != mfa.EventAdmin || ev.Operator != root.Name || !ev.User.Is(op.user) || time.Since(ev.Time) > time.Minute {
				t.Errorf("got %s of %q by %q at %v; want admin of %q by %q now", ev.Kind, ev.User, ev.Operator, ev.Time, op.user, root.Name)
			}
			if !regexp.MustCompile(`^` + op.text + `$`).MatchString(ev.Text) {
				t.Errorf("got text %q; want %q", ev.Text, op.text)
			}
		})
	}
}

// TestNoActor: without a name or a door nothing is changed, and nothing recorded.
func TestNoActor(t *testing.T) {
	d := newDesk(t)
	d.fill(t)
	before, user := len(d.trail(t)), d.user(t, anna)
	for _, op := range operations {
		for _, by := range []Actor{{}, {Name: "root"}, {Via: CLI}} {
			if err := op.do(t.Context(), d, by); !errors.Is(err, ErrNoActor) {
				t.Errorf("%s by %+v: got %v; want %v", op.name, by, err, ErrNoActor)
			}
		}
	}
	if after := len(d.trail(t)); after != before {
		t.Errorf("got %d events; want %d", after, before)
	}
	if u := d.user(t, anna); u.Devices != user.Devices || u.Codes != user.Codes || u.HasPass != user.HasPass || len(u.PushBlocked) != 1 {
		t.Errorf("got %+v; want %+v", u, user)
	}
}

// TestRefused: what an operation does not take leaves no event.
func TestRefused(t *testing.T) {
	d := newDesk(t)
	d.fill(t)
	second := otp.NewTOTP(anna)
	if err := d.st.AddToken(t.Context(), second, mfa.Event{}); err != nil {
		t.Fatal(err)
	}
	before := len(d.trail(t))
	remove := func(user mfa.Name, which string) error {
		_, err := d.RemoveToken(t.Context(), root, user, which)
		return err
	}
	device := func(user mfa.Name, name string) error {
		_, err := d.AddDevice(t.Context(), root, user, "chat", name)
		return err
	}
	invite := func(user mfa.Name, lifetime time.Duration) error {
		_, _, err := d.Invite(t.Context(), root, user, lifetime)
		return err
	}
	pass := func(lifetime time.Duration) error {
		_, _, err := d.IssuePass(t.Context(), root, anna, PassOptions{Lifetime: lifetime})
		return err
	}
	bypass := func(b mfa.Bypass, length time.Duration) error {
		_, err := d.BeginBypass(t.Context(), root, b, length)
		return err
	}
	_, syncs := d.SyncToken(t.Context(), root, anna, "000000", "000000")
	for _, tt := range []struct {
		name, want string
		err        error
	}{
		{"a reason of two lines", "reason must be at most 200 characters", d.Block(t.Context(), root, anna, "x\ny")},
		{"no such method", `method must be push or otp; got "sms"`, d.SetDefault(t.Context(), root, anna, "sms")},
		{"nobody's default", "user is empty", d.SetDefault(t.Context(), root, mfa.NameOf(" "), mfa.MethodOTP)},
		{"which token", `"Anna" has 2 tokens; say which`, remove(anna, "")},
		{"no token", otp.ErrNoToken.Error(), remove(bob, "")},
		{"no such token", otp.ErrNoToken.Error(), remove(anna, "t9")},
		{"codes of no token", otp.ErrSync.Error(), syncs},
		{"no pass", `"bob" has no pass`, d.RevokePass(t.Context(), root, bob)},
		{"a pass for too long", "", pass(721 * time.Hour)},
		{"an invitation for too short", "lifetime must be 1m to 720h0m0s; got 59s", invite(bob, 59*time.Second)},
		{"an invitation for too long", "lifetime must be 1m to 720h0m0s", invite(bob, 30*24*time.Hour+1)},
		{"nobody's invitation", "user is empty", invite(mfa.Name{}, time.Hour)},
		{"no invitation", op.ErrNotFound.Error(), d.Uninvite(t.Context(), root, bob)},
		{"a name of a device that is too long", "name must be at most 64 characters", device(bob, strings.Repeat("x", 65))},
		{"a name of a device that is taken", "has this name", device(anna, "Old phone")},
		{"no device", "", d.RemoveDevice(t.Context(), root, anna, "new phone")},
		{"a bypass for a user and a group", "group and user must not stand together", bypass(mfa.Bypass{Group: mfa.GroupOf("staff"), User: anna, Reason: "x"}, time.Hour)},
		{"a bypass for two days", "for must be from 1s to 24h0m0s", bypass(mfa.Bypass{User: anna, Reason: "x"}, 48*time.Hour)},
		{"no bypass", op.ErrNotFound.Error(), d.EndBypass(t.Context(), root, 9)},
	} {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("%s: got %v; want %q", tt.name, tt.err, tt.want)
		}
	}
	if _, err := d.Unlatch(t.Context(), root, "lab", netip.Addr{}); !errors.Is(err, op.ErrNotFound) {
		t.Errorf("no latch: got %v; want %v", err, op.ErrNotFound)
	}
	if err := errors.Join(d.Block(t.Context(), root, bob, ""), invite(bob, time.Hour)); !errors.Is(err, op.ErrBlocked) {
		t.Errorf("an invitation for a user who is blocked: got %v; want %v", err, op.ErrBlocked)
	}
	if after := len(d.trail(t)); after != before+1 {
		t.Errorf("got %d events; want only that of the block", after-before)
	}
}

// TestUnblock: one commit lifts the block, takes every "this was not me" back and
// notes the time, before which wrong codes do not count.
func TestUnblock(t *testing.T) {
	d := newDesk(t)
	d.fill(t)
	if err := errors.Join(d.Block(t.Context(), root, anna, ""), d.Unblock(t.Context(), root, anna)); err != nil {
		t.Fatal(err)
	}
	if u := d.user(t, anna); u.Blocked || len(u.PushBlocked) != 0 || u.Unblocked.IsZero() {
		t.Errorf("got %+v; want no block", u)
	}
}

func TestNewToken(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    TokenOptions
		want string // of the error
	}{
		{"a clock", TokenOptions{Digits: 6, Period: 60, Algorithm: "SHA512", Secret: []byte(secret)}, ""},
		{"a new secret", TokenOptions{Digits: 6, Period: 30, Algorithm: "sha1"}, ""},
		{"a counter", TokenOptions{HOTP: true, Digits: 8, Algorithm: "sha-1", Counter: 5}, ""},
		{"a period", TokenOptions{Digits: 6, Period: 45, Algorithm: "SHA1"}, "period must be 30 or 60 seconds"},
		{"digits", TokenOptions{Digits: 7, Period: 30, Algorithm: "SHA1"}, "digits"},
		{"an algorithm", TokenOptions{Digits: 6, Period: 30, Algorithm: "MD5"}, "algorithm"},
	} {
		token, err := NewToken(anna, tt.o)
		if tt.want != "" {
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: got %v; want %q", tt.name, err, tt.want)
			}
			continue
		}
		if err != nil || token.Digits != tt.o.Digits || token.Next != tt.o.Counter || len(token.Secret) < 20 || strings.Contains(token.Algorithm, "-") {
			t.Errorf("%s: got %+v, %v", tt.name, token, err)
		}
		if tt.o.Secret != nil && string(token.Secret) != secret {
			t.Errorf("%s: the secret is another one", tt.name)
		}
	}
}

func TestLists(t *testing.T) {
	d := newDesk(t)
	d.fill(t)
	tokens, err := d.ListTokens(t.Context(), mfa.Name{})
	if err != nil || len(tokens) != 1 || tokens[0].ID != "t1" || tokens[0].Secret != nil {
		t.Errorf("got tokens %+v, %v; want t1 without its secret", tokens, err)
	}
	passes, err := d.ListPasses(t.Context(), anna)
	if err != nil || len(passes) != 1 || passes[0].Kind != otp.Pass || passes[0].Secret != nil {
		t.Errorf("got passes %+v, %v; want one without its secret", passes, err)
	}
}
