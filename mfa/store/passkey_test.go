package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store/record"
)

func addDevice(t *testing.T, s *Store, user, id string) device.Device {
	t.Helper()
	hash := sha256.Sum256([]byte(id))
	must(t, s.Invite(t.Context(), device.Invitation{Hash: hash, User: mfa.NameOf(user), Expires: time.Now().Add(time.Hour)}, admin("invite")))
	d, err := s.Enroll(t.Context(), hash, device.Device{ID: id, Name: id + "'s name", Key: []byte("key"), Version: 2, Added: time.Now(), Seen: time.Now()})
	must(t, err)
	return d
}

func passkeyOf(t *testing.T, s *Store, id string) *device.Passkey {
	t.Helper()
	d, err := s.Device(t.Context(), id)
	must(t, err)
	return d.Passkey
}

func TestPasskeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openServer(t, dir)
	anna, other := addDevice(t, s, "Anna", "d1"), addDevice(t, s, "bob", "d2")
	key := device.Passkey{ID: []byte("id"), Key: []byte("cose"), Count: 3, BackupEligible: true}
	must(t, s.AddPasskey(t.Context(), anna, key))
	for name, c := range map[string]struct {
		device device.Device
		key    device.Passkey
		want   error
	}{
		"a second one":               {anna, device.Passkey{ID: []byte("id2"), Key: []byte("cose")}, device.ErrPasskeyExists},
		"the same one elsewhere":     {other, key, device.ErrPasskeyExists},
		"a device that is not there": {device.Device{ID: "d9", User: mfa.NameOf("bob")}, device.Passkey{ID: []byte("id3"), Key: []byte("c")}, device.ErrNoDevice},
	} {
		if err := s.AddPasskey(t.Context(), c.device, c.key); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v; want c.want", name, err)
		}
	}
	must(t, s.AddPasskey(t.Context(), other, device.Passkey{ID: []byte("id4"), Key: []byte("cose")}))
	for _, c := range []struct {
		id    string
		count uint32
		ok    bool
	}{{"id", 3, false}, {"id", 2, false}, {"id", 0, false}, {"id", 4, true}, {"id", 4, false}, {"another", 9, false}, {"id", 9, true}} {
		used := key
		used.ID, used.Count = []byte(c.id), c.count
		if err := s.UsePasskey(t.Context(), "d1", used); (err == nil) != c.ok || err != nil && !errors.Is(err, device.ErrBadPasskey) {
			t.Errorf("%s, count %d: %v", c.id, c.count, err)
		}
	}
	// Whatever else happens to the device, its passkey and the count stay.
	must(t, s.RenameDevice(t.Context(), anna, "d1", "new name"))
	if p := passkeyOf(t, s, "d1"); p == nil || p.Count != 9 {
		t.Errorf("after a change: %+v", p)
	}
	must(t, s.flush(t.Context()))
	must(t, s.Close())
	s = openServer(t, dir)
	if p := passkeyOf(t, s, "d1"); p == nil || p.Count != 9 || string(p.Key) != "cose" || !p.BackupEligible {
		t.Errorf("after a restart: %+v", p)
	}
	if events, err := s.Events(t.Context(), Query{User: mfa.NameOf("anna")}); err != nil || !strings.Contains(events[len(events)-2].Event.Text, "has a passkey") ||
		events[len(events)-2].Event.DeviceID != "d1" {
		t.Errorf("events: %+v, %v", events, err)
	}
}

// TestPasskeyCountRace: of many copies that come at once with the same count, one
// gets through.
func TestPasskeyCountRace(t *testing.T) {
	t.Parallel()
	s := openServer(t, t.TempDir())
	d := addDevice(t, s, "anna", "d1")
	key := device.Passkey{ID: []byte("id"), Key: []byte("cose"), Count: 1}
	must(t, s.AddPasskey(t.Context(), d, key))
	key.Count = 2
	var ok atomic.Int32
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			if s.UsePasskey(context.Background(), "d1", key) == nil {
				ok.Add(1)
			}
		})
	}
	all.Wait()
	if ok.Load() != 1 {
		t.Errorf("%d got through", ok.Load())
	}
}

// TestPasskeyBesideFlush: what the janitor writes of a device takes no passkey
// away that memory does not have yet.
func TestPasskeyBesideFlush(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := quiet(t, Options{Dir: dir})
	d := addDevice(t, s, "anna", "d1")
	must(t, s.AddPasskey(t.Context(), d, device.Passkey{ID: []byte("id"), Key: []byte("cose")}))
	s.mu.Lock()
	s.devices["d1"].Passkey = nil // as between the commit and what follows it
	s.mu.Unlock()
	must(t, s.SeenDevice(t.Context(), "d1", 2, time.Now()))
	must(t, s.flush(t.Context()))
	if n := count(t, s, `SELECT count(*) FROM devices WHERE passkey IS NOT NULL`); n != 1 {
		t.Error("got no passkey on the device; want the one that was registered")
	}
}

func TestDamagedPasskey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := quiet(t, Options{Dir: dir})
	addDevice(t, s, "anna", "d1")
	for _, damaged := range []string{"", "{}", "{", `{"id":"aWQ="}`} {
		if _, err := beside(t, s).Exec(`UPDATE devices SET passkey = ?`, []byte(damaged)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.db.Accounts(t.Context(), record.Which{}); err == nil {
			t.Errorf("%q is read as no passkey; want an error", damaged)
		}
	}
}

func TestOwnDevices(t *testing.T) {
	t.Parallel()
	s := openServer(t, t.TempDir())
	mine, lost, other := addDevice(t, s, "Anna", "d1"), addDevice(t, s, "anna", "d2"), addDevice(t, s, "bob", "d3")
	for name, err := range map[string]error{
		"rename another user's": s.RenameDevice(t.Context(), mine, other.ID, "x"),
		"rename by a name":      s.RenameDevice(t.Context(), mine, lost.Name, "x"),
		"rename none":           s.RenameDevice(t.Context(), mine, "", "x"),
		"remove another user's": s.RemoveOwnDevice(t.Context(), mine, other.ID),
		"remove by a name":      s.RemoveOwnDevice(t.Context(), mine, lost.Name),
	} {
		if !errors.Is(err, device.ErrNoDevice) {
			t.Errorf("%s: got %v; want device.ErrNoDevice", name, err)
		}
	}
	must(t, s.RenameDevice(t.Context(), mine, "d2", "the lost one"))
	if d, _ := s.Device(t.Context(), "d2"); d.Name != "the lost one" {
		t.Errorf("got %q", d.Name)
	}
	must(t, s.RemoveOwnDevice(t.Context(), mine, "d2"))
	if _, err := s.Device(t.Context(), "d2"); !errors.Is(err, device.ErrNoDevice) {
		t.Errorf("still there: got %v; want device.ErrNoDevice", err)
	}
	if err := s.Registered(t.Context(), "d2"); !errors.Is(err, mfa.ErrRejected) {
		t.Errorf("an approval by it still counts: got %v; want mfa.ErrRejected", err)
	}
	if err := s.RemoveOwnDevice(t.Context(), mine, "d2"); !errors.Is(err, device.ErrNoDevice) {
		t.Errorf("twice: got %v; want device.ErrNoDevice", err)
	}
	events, err := s.Events(t.Context(), Query{User: mfa.NameOf("anna"), Limit: 1})
	must(t, err)
	if ev := events[0].Event; ev.Kind != mfa.EventAdmin || !strings.Contains(ev.Text, `"the lost one" (d2) removed`) || ev.DeviceID != "d1" || ev.User.String() != "Anna" {
		t.Errorf("event: %+v", ev)
	}
}
