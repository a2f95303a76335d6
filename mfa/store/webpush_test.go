package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store/seal"
)

func subscriptionOf(t *testing.T, s *Store, device string) *device.WebSubscription {
	t.Helper()
	d, err := s.Device(t.Context(), device)
	must(t, err)
	return d.Web
}

// TestWebSubscription: kept with the device, in memory and on disk; gone with it.
func TestWebSubscription(t *testing.T) {
	dir := t.TempDir()
	s := openServer(t, dir)
	addDevice(t, s, "Anna", "a1")
	addDevice(t, s, "Anna", "a2")
	first := &device.WebSubscription{Endpoint: "https://push.example.org/1", Key: []byte("k1"), Auth: []byte("s1")}
	second := &device.WebSubscription{Endpoint: "https://push.example.org/1", Key: []byte("k2"), Auth: []byte("s2")}
	expect := func(what string, want *device.WebSubscription) {
		t.Helper()
		cli := openCommand(t, dir)
		for _, from := range []*Store{s, cli} {
			if got := subscriptionOf(t, from, "a1"); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %+v, want %+v (server %v)", what, got, want, from == s)
			}
			if got := subscriptionOf(t, from, "a2"); got != nil {
				t.Errorf("%s: another device has %+v", what, got)
			}
		}
		must(t, cli.Close())
	}
	expect("new", nil)
	must(t, s.SetWebSubscription(t.Context(), "a1", first))
	expect("subscribed", first)
	must(t, s.SetWebSubscription(t.Context(), "a1", second))
	expect("other keys at the same endpoint", second)
	must(t, s.DropWebSubscription(t.Context(), "a1", "https://push.example.org/old"))
	expect("the end of an older one", second)
	must(t, s.SetBlocked(t.Context(), mfa.NameOf("anna"), true, admin("block")))
	expect("the account was read again", second)
	must(t, s.Close())
	s = openServer(t, dir)
	expect("after a restart", second)
	must(t, s.DropWebSubscription(t.Context(), "a1", second.Endpoint))
	expect("it is over", nil)
	must(t, s.SetWebSubscription(t.Context(), "a1", first))
	must(t, s.SetWebSubscription(t.Context(), "a1", nil))
	expect("unsubscribed", nil)

	must(t, s.SetWebSubscription(t.Context(), "a2", first))
	must(t, s.RemoveDevice(t.Context(), mfa.NameOf("anna"), "a2", admin("remove")))
	var n int
	must(t, beside(t, s).QueryRow(`SELECT count(*) FROM devices WHERE endpoint <> ''`).Scan(&n))
	if n != 0 {
		t.Error("the subscription of a removed device is kept")
	}
	for _, err := range []error{s.SetWebSubscription(t.Context(), "a2", first), s.DropWebSubscription(t.Context(), "a2", first.Endpoint)} {
		if !errors.Is(err, device.ErrNoDevice) {
			t.Errorf("a removed device: got %v", err)
		}
	}
	if err := openCommand(t, dir).SetWebSubscription(t.Context(), "a1", first); !errors.Is(err, ErrNotServer) {
		t.Errorf("by a command: got %v", err)
	}
}

// TestSameSubscriptionIsNotWritten: a page subscribes each time it is opened.
func TestSameSubscriptionIsNotWritten(t *testing.T) {
	s := openServer(t, t.TempDir())
	addDevice(t, s, "anna", "a1")
	sub := device.WebSubscription{Endpoint: "https://push.example.org/1", Key: []byte("k"), Auth: []byte("s")}
	must(t, s.SetWebSubscription(t.Context(), "a1", &sub))
	_, err := beside(t, s).Exec(`CREATE TRIGGER written BEFORE UPDATE OF endpoint ON devices BEGIN SELECT raise(FAIL, 'written'); END`)
	must(t, err)
	same := sub
	must(t, s.SetWebSubscription(t.Context(), "a1", &same))
	same.Auth = []byte("t")
	if err := s.SetWebSubscription(t.Context(), "a1", &same); err == nil {
		t.Error("another was not written: got no error; want one")
	}
	if got := subscriptionOf(t, s, "a1"); !reflect.DeepEqual(got, &sub) {
		t.Errorf("after a write that failed memory has %+v", got)
	}
}

// TestWebPushKey: made once, the same ever after, never in the clear, and sealed
// anew by a rekey.
func TestWebPushKey(t *testing.T) {
	dir := t.TempDir()
	s := openServer(t, dir)
	key, err := s.WebPushKey(t.Context())
	must(t, err)
	secret, err := key.Bytes()
	must(t, err)
	same := func(what string, from *Store) {
		t.Helper()
		again, err := from.WebPushKey(t.Context())
		if err != nil || !again.Equal(key) {
			t.Errorf("%s: another key, %v", what, err)
		}
	}
	same("again", s)
	cli := openCommand(t, dir)
	_, err = cli.Rekey(t.Context(), admin("rekey"))
	must(t, err)
	same("after a rekey by a command", s)
	same("by the command", cli)
	must(t, s.Close())
	s = openServer(t, dir)
	same("after a restart", s)
	must(t, s.Close())
	must(t, cli.Close())
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	must(t, err)
	for _, f := range files {
		content, err := os.ReadFile(f)
		must(t, err)
		if bytes.Contains(content, secret) {
			t.Errorf("%s holds the key in the clear", f)
		}
	}
	s = openServer(t, dir)
	_, err = beside(t, s).Exec(`UPDATE web_push_key SET key = (SELECT proof FROM seal_key)`)
	must(t, err)
	if _, err := s.WebPushKey(t.Context()); !errors.Is(err, seal.ErrSeal) {
		t.Errorf("another sealed text in its place: got %v", err)
	}
}
