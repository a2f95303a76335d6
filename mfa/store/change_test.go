package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store/datadir"
	"github.com/radmatch/radmatch/otp"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestCommandBesideServer changes everything from beside and looks, when the
// call has returned, what the server says.
func TestCommandBesideServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, cli := openServer(t, dir), openCommand(t, dir)
	ctx := t.Context()
	tok := otp.NewTOTP(mfa.NameOf("Anna"))
	hash := sha256.Sum256([]byte("invitation"))
	addr := netip.MustParseAddr("203.0.113.10")
	barred := loginEvent(1)
	barred.User, barred.Reason, barred.Outcome = mfa.NameOf("anna"), mfa.ReasonNotMe, mfa.Reject

	for _, step := range []struct {
		name string
		do   func() error
		seen func(mfa.User) bool
	}{
		{"token", func() error { return cli.AddToken(ctx, tok, admin("add")) }, func(u mfa.User) bool { return u.Codes == 1 && u.Name.String() == "Anna" }},
		{"default", func() error { return cli.SetDefaultMethod(ctx, mfa.NameOf("ANNA"), mfa.MethodOTP, admin("default")) },
			func(u mfa.User) bool { return u.Default == mfa.MethodOTP }},
		{"block", func() error { return cli.SetBlocked(ctx, mfa.NameOf("anna"), true, admin("block")) }, func(u mfa.User) bool { return u.Blocked }},
		{"unblock", func() error { return cli.SetBlocked(ctx, mfa.NameOf("anna"), false, admin("unblock")) },
			func(u mfa.User) bool { return !u.Blocked && !u.Unblocked.IsZero() }},
		{"not me", func() error { return server.Record(ctx, barred) }, func(u mfa.User) bool { return slices.Equal(u.PushBlocked, []string{"edge"}) }},
		{"its report is in the trail", func() error {
			list, err := cli.Events(ctx, Query{User: mfa.NameOf("anna")})
			last := list[len(list)-1].Event
			if err != nil || last.Kind != mfa.EventReport || last.ID != barred.ID || last.BlocksUser {
				return fmt.Errorf("got %+v, %v", last, err)
			}
			return nil
		}, func(u mfa.User) bool { return !u.Blocked }},
		{"not me, which blocks the user", func() error {
			ev := barred
			ev.User, ev.BlocksUser = mfa.NameOf("ANNA"), true
			return server.Record(ctx, ev)
		}, func(u mfa.User) bool { return u.Blocked && u.Name.String() == "Anna" }},
		{"another change", func() error { return cli.SetDefaultMethod(ctx, mfa.NameOf("anna"), "", admin("default")) },
			func(u mfa.User) bool { return u.Default == "" && len(u.PushBlocked) == 1 }},
		{"unblocked again", func() error { return cli.SetBlocked(ctx, mfa.NameOf("anna"), false, admin("unblock")) },
			func(u mfa.User) bool { return !u.Blocked && len(u.PushBlocked) == 0 }},
		{"not me, of someone who is not enrolled", func() error {
			ev := barred
			ev.User, ev.BlocksUser = mfa.NameOf("Zoe"), true
			if err := server.Record(ctx, ev); err != nil {
				return err
			}
			u, err := cli.User(ctx, mfa.NameOf("zoe"))
			if !u.Blocked || u.Name.String() != "Zoe" {
				return fmt.Errorf("got %+v, %v", u, err)
			}
			return err
		}, func(mfa.User) bool { return true }},
		{"invitation and enrolment", func() error {
			in := device.Invitation{Hash: hash, User: mfa.NameOf("Anna"), Expires: time.Now().Add(time.Hour)}
			_, err := server.Enroll(ctx, hash, device.Device{ID: "d1", Name: "phone", Key: []byte{1}})
			if !errors.Is(err, device.ErrInvitation) {
				return fmt.Errorf("enrolment without an invitation: %v", err)
			}
			if err := cli.Invite(ctx, in, admin("invite")); err != nil {
				return err
			}
			_, err = server.Enroll(ctx, hash, device.Device{ID: "d1", Name: "phone", Key: []byte{1}})
			return err
		}, func(u mfa.User) bool { return u.Devices == 1 && server.Registered(ctx, "d1") == nil }},
		{"invitation used", func() error {
			_, err := server.Enroll(ctx, hash, device.Device{ID: "d2", Name: "phone", Key: []byte{1}})
			if !errors.Is(err, device.ErrInvitation) {
				return fmt.Errorf("got %v; want ErrInvitation", err)
			}
			return nil
		}, func(u mfa.User) bool { return u.Devices == 1 }},
		{"device removed", func() error { return cli.RemoveDevice(ctx, mfa.NameOf("anna"), "phone", admin("remove")) }, func(u mfa.User) bool { return u.Devices == 0 }},
		{"token removed", func() error { return cli.RemoveToken(ctx, mfa.NameOf("anna"), tok.ID, admin("remove")) }, func(u mfa.User) bool { return u.Codes == 0 }},
		{"latch", func() error {
			server.Latch("vpn", addr, time.Now())
			if !server.Latched("vpn", addr) || server.Latched("lan", addr) {
				return errors.New("latched is not what was latched")
			}
			if err := server.flush(ctx); err != nil {
				return err
			}
			n, err := cli.Unlatch(ctx, "vpn", addr, admin("unlatch"))
			if err == nil && (n != 1 || server.Latched("vpn", addr)) {
				return fmt.Errorf("%d unlatched; the server says latched: %t", n, server.Latched("vpn", addr))
			}
			return err
		}, func(mfa.User) bool { return true }},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: got error %v; want none", step.name, err)
		}
		u, err := server.User(ctx, mfa.NameOf("aNNa"))
		must(t, err)
		if !step.seen(u) {
			t.Errorf("%s: the server has %+v", step.name, u)
		}
	}
	if _, err := server.Device(ctx, "d1"); !errors.Is(err, device.ErrNoDevice) {
		t.Errorf("removed device: got %v; want ErrNoDevice", err)
	}
	if err := server.Registered(ctx, "d1"); !errors.Is(err, mfa.ErrRejected) {
		t.Errorf("removed device: got %v; want ErrRejected", err)
	}
	entries, err := cli.Events(ctx, Query{User: mfa.NameOf("anna")})
	must(t, err)
	for _, e := range entries {
		if e.Event.Kind == mfa.EventAdmin && e.Event.Text == "" {
			t.Errorf("administrative event without a text: %+v", e.Event)
		}
	}
}

// TestReloadKeepsSteps uses a step, changes the user from beside, and tries the
// step again: the disk's token does not know of it yet.
func TestReloadKeepsSteps(t *testing.T) {
	dir := t.TempDir()
	server, cli := openServer(t, dir), openCommand(t, dir)
	tok := addToken(t, cli, "anna")
	must(t, use(server, tok.ID, 100))
	must(t, cli.SetDefaultMethod(t.Context(), mfa.NameOf("anna"), mfa.MethodOTP, admin("default")))
	for step, want := range map[int64]error{99: otp.ErrUsed, 100: otp.ErrUsed} {
		if err := use(server, tok.ID, step); !errors.Is(err, want) {
			t.Errorf("step %d: got %v; want %v", step, err, want)
		}
	}
	must(t, use(server, tok.ID, 101))
}

// TestServerSilent has a server that is held up.
func TestServerSilent(t *testing.T) {
	dir := t.TempDir()
	server, cli := openServer(t, dir), openCommand(t, dir)
	server.wmu.Lock()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := cli.SetBlocked(ctx, mfa.NameOf("eve"), true, admin("block"))
	if !errors.Is(err, ErrNotSeen) {
		t.Errorf("got %v; want ErrNotSeen", err)
	}
	server.wmu.Unlock()
	waitFor(t, func() bool { u, _ := server.User(t.Context(), mfa.NameOf("eve")); return u.Blocked })
}

// TestUnblockedBeforeClockBack: an unblocking that lies ahead of the clock would
// forgive every wrong code until the clock is there again.
func TestUnblockedBeforeClockBack(t *testing.T) {
	now := time.Now().Truncate(time.Microsecond)
	s := quiet(t, Options{Dir: t.TempDir(), Now: func() time.Time { return now }})
	must(t, s.SetBlocked(t.Context(), mfa.NameOf("anna"), false, admin("unblock")))
	for _, tt := range []struct{ now, want time.Time }{{now, now.UTC()}, {now.Add(-time.Hour), time.Time{}}} {
		now = tt.now
		u, err := s.User(t.Context(), mfa.NameOf("anna"))
		must(t, err)
		if !u.Unblocked.Equal(tt.want) {
			t.Errorf("at %s: got unblocked at %s; want %s", tt.now, u.Unblocked, tt.want)
		}
	}
}

// TestPruneKeepsUnseenChanges has a server that is behind, as after a large
// import: a block among what it has not read yet must not be lost.
func TestPruneKeepsUnseenChanges(t *testing.T) {
	s := quiet(t, Options{Dir: t.TempDir()})
	ctx := t.Context()
	_, err := beside(t, s).ExecContext(ctx, `BEGIN IMMEDIATE; INSERT INTO users (usr, name, blocked) VALUES ('eve', 'eve', 1); INSERT INTO changes (usr) VALUES ('eve');
			WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO changes (usr) SELECT '' FROM n; COMMIT`, keepChanges)
	must(t, err)
	must(t, s.prune(ctx))
	must(t, s.catchUp(ctx))
	u, err := s.User(ctx, mfa.NameOf("eve"))
	must(t, err)
	if !u.Blocked {
		t.Error("the server has not seen the block")
	}
	must(t, s.prune(ctx))
	if n := count(t, s, `SELECT count(*) FROM changes`); n != keepChanges {
		t.Errorf("%d changes left; want %d", n, keepChanges)
	}
}

// TestWriteLaterFails: a source signs for the first time while the write of a
// device's last contact is failing.
func TestWriteLaterFails(t *testing.T) {
	s := quiet(t, Options{Dir: t.TempDir()})
	s.Latch("vpn", netip.MustParseAddr("203.0.113.10"), time.Now())
	s.putBack(unsaved{devices: map[string]struct{}{"d1": {}}})
	if len(s.unsaved.latches) != 1 || len(s.unsaved.devices) != 1 {
		t.Errorf("got %d latches, %d devices to be written; want both", len(s.unsaved.latches), len(s.unsaved.devices))
	}
}

func TestTwoServers(t *testing.T) {
	dir := t.TempDir()
	first := openServer(t, dir)
	_, err := Open(t.Context(), Options{Dir: dir, Server: true})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("got %v; want ErrInUse with the process id", err)
	}
	must(t, first.Close())
	must(t, openServer(t, dir).Close())
}

func TestImport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, cli := openServer(t, dir), openCommand(t, dir)
	ctx := t.Context()
	var tokens []otp.Token
	for i := range 700 {
		tok := otp.NewTOTP(mfa.NameOf(fmt.Sprintf("User%d", i)))
		tok.Serial = fmt.Sprintf("S%d", i)
		tokens = append(tokens, tok)
	}
	tokens[7].Serial = "s6"          // as that of user 6, in other letters
	tokens[8].Secret = []byte("abc") // too short
	tokens[9] = tokens[10]
	refused, err := cli.AddTokens(ctx, tokens, admin("import"))
	must(t, err)
	for i, err := range refused {
		bad := i == 7 || i == 8 || i == 10
		if (err != nil) != bad {
			t.Errorf("token %d: %v", i, err)
		}
	}
	for _, i := range []int{7, 10} {
		if !errors.Is(refused[i], otp.ErrDuplicate) {
			t.Errorf("token %d: got %v; want ErrDuplicate", i, refused[i])
		}
	}
	list, err := server.ListTokens(ctx, mfa.Name{})
	must(t, err)
	if len(list) != 697 || list[0].Secret != nil {
		t.Errorf("got %d tokens, secret %v; want 697 without secrets", len(list), list[0].Secret)
	}
	u, err := server.User(ctx, mfa.NameOf("user699"))
	must(t, err)
	if u.Codes != 1 {
		t.Errorf("the server has %+v; want the last user's token", u)
	}
	entries, err := cli.Events(ctx, Query{})
	must(t, err)
	if len(entries) != 1 {
		t.Errorf("got %d events; want one for the import", len(entries))
	}
	refused, err = cli.AddTokens(ctx, tokens[:1], admin("import"))
	if err != nil || !errors.Is(refused[0], otp.ErrDuplicate) {
		t.Errorf("again: got %v, %v; want ErrDuplicate", refused, err)
	}
}

// TestLater looks that what may be written later is there after a restart.
func TestLater(t *testing.T) {
	dir := t.TempDir()
	s := openServer(t, dir)
	hash := sha256.Sum256([]byte("x"))
	must(t, s.Invite(t.Context(), device.Invitation{Hash: hash, User: mfa.NameOf("anna"), Expires: time.Now().Add(time.Hour)}, admin("invite")))
	_, err := s.Enroll(t.Context(), hash, device.Device{ID: "d1", Name: "phone", Key: []byte{1}, Version: 1})
	must(t, err)
	at := time.Now().Add(time.Minute).Truncate(time.Microsecond)
	must(t, s.SeenDevice(t.Context(), "d1", 2, at))
	s.Latch("vpn", netip.MustParseAddr("::ffff:203.0.113.10"), at)
	must(t, s.Close())
	s = openServer(t, dir)
	d, err := s.Device(t.Context(), "d1")
	if err != nil || d.Version != 2 || !d.Seen.Equal(at) || d.User.String() != "anna" {
		t.Errorf("got %+v, %v; want version 2, seen %s", d, err, at)
	}
	if !s.Latched("vpn", netip.MustParseAddr("203.0.113.10")) {
		t.Error("got the address not latched; want it latched")
	}
	list, err := s.Latches(t.Context())
	if err != nil || len(list) != 1 || !list[0].Since.Equal(at) {
		t.Errorf("got %+v, %v; want the one latch", list, err)
	}
}

func TestStats(t *testing.T) {
	dir := t.TempDir()
	s := openServer(t, dir)
	want := []ClientStats{{Client: "lan", Packets: 1}, {Client: "vpn", Packets: 3, Mean: time.Second, Refused: map[string]uint64{"unsigned": 2}}}
	must(t, s.SaveStats(t.Context(), append([]ClientStats{{Client: "gone"}}, want...)))
	must(t, s.SaveStats(t.Context(), want))
	got, err := openCommand(t, dir).ClientStats(t.Context())
	must(t, err)
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got %+v; want %+v", got, want)
	}
}

// TestForeignRoot: root does not work in a folder of another user, who could put
// a link there, nor below one, nor behind a link that another user made.
func TestForeignRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	const service = 4711
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "own"), 0o700))
	must(t, os.MkdirAll(filepath.Join(dir, "theirs", "below"), 0o700))
	must(t, os.Chown(filepath.Join(dir, "theirs"), service, service))
	must(t, os.Symlink("own", filepath.Join(dir, "link")))
	must(t, os.Symlink(filepath.Join(dir, "theirs", "below"), filepath.Join(dir, "far")))
	must(t, os.Symlink("own", filepath.Join(dir, "theirlink")))
	must(t, os.Lchown(filepath.Join(dir, "theirlink"), service, service))
	must(t, os.Symlink("round", filepath.Join(dir, "round")))
	for path, want := range map[string]int{
		"own": 0, "link": 0, "link/data": 0, "own/../link/data": 0,
		"theirs": service, "theirs/below": service, "theirs/new/data": service, "far": service, "far/data": service, "theirlink": service,
	} {
		path = filepath.Join(dir, path)
		if uid, _, err := datadir.Owner(path); err != nil || uid != want {
			t.Errorf("%s: got owner %d, %v; want %d", path, uid, err, want)
		}
		s, err := Open(t.Context(), Options{Dir: path})
		if err == nil {
			s.Close()
		}
		if refused := errors.Is(err, datadir.ErrOwner); refused != (want != 0) {
			t.Errorf("%s: opened with %v", path, err)
		}
	}
	if _, _, err := datadir.Owner(filepath.Join(dir, "round")); err == nil {
		t.Error("a link to itself has an owner: got no error; want one")
	}
}

// TestNoLinks: a link in data_dir does not lead the server to another file.
func TestNoLinks(t *testing.T) {
	for _, name := range []string{datadir.LockFile, "applied"} {
		dir, other := t.TempDir(), filepath.Join(t.TempDir(), "other")
		must(t, os.WriteFile(other, []byte("precious"), 0o600))
		must(t, os.Symlink(other, filepath.Join(dir, name)))
		s, err := Open(t.Context(), Options{Dir: dir, Server: true})
		if err == nil {
			s.Close()
			t.Errorf("%s: opened", name)
		}
		if got, err := os.ReadFile(other); err != nil || string(got) != "precious" {
			t.Errorf("%s: the file behind the link holds %q, %v", name, got, err)
		}
	}
}

func TestFileModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openServer(t, dir)
	addToken(t, s, "anna")
	info, err := os.Stat(dir)
	must(t, err)
	if got := info.Mode().Perm(); got != 0o700 {
		t.Errorf("data_dir: mode %04o; want 0700", got)
	}
	files, err := os.ReadDir(dir)
	must(t, err)
	for _, f := range files {
		info, err := f.Info()
		must(t, err)
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%s: mode %04o; want 0600", f.Name(), got)
		}
	}
}
