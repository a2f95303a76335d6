package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
)

// An invitation enrols one device, of many that come at once, and none after its time.
func TestInvitationEnrolsOne(t *testing.T) {
	t.Parallel()
	s := openServer(t, t.TempDir())
	enroll := func(hash [32]byte, id string) error {
		_, err := s.Enroll(t.Context(), hash, device.Device{ID: id, Name: id, Key: []byte("key"), Added: time.Now(), Seen: time.Now()})
		return err
	}
	invite := func(text string, expires time.Time) [32]byte {
		hash := sha256.Sum256([]byte(text))
		must(t, s.Invite(t.Context(), device.Invitation{Hash: hash, User: mfa.NameOf("anna"), Expires: expires}, admin("invite")))
		return hash
	}
	late := invite("late", time.Now().Add(-time.Millisecond))
	if err := enroll(late, "late"); !errors.Is(err, device.ErrInvitation) {
		t.Errorf("expired: got %v; want device.ErrInvitation", err)
	}
	once := invite("once", time.Now().Add(time.Hour))
	var enrolled atomic.Int32
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			switch err := enroll(once, fmt.Sprint("d", i)); {
			case err == nil:
				enrolled.Add(1)
			case !errors.Is(err, device.ErrInvitation):
				t.Error(err)
			}
		})
	}
	all.Wait()
	devices, err := s.Devices(t.Context(), mfa.NameOf("anna"))
	if enrolled.Load() != 1 || len(devices) != 1 || err != nil {
		t.Errorf("one invitation enrolled %d devices: got %v %v; want 1, 1 of them, no error", enrolled.Load(), devices, err)
	}
}

// TestDeviceNames: two devices of one user never have the same name, whichever way
// they come by it; another user's are no matter.
func TestDeviceNames(t *testing.T) {
	s := openServer(t, t.TempDir())
	ctx := t.Context()
	enrol := func(user, id, name string) string {
		t.Helper()
		_, in := device.NewInvitation(mfa.NameOf(user), time.Now().Add(time.Hour))
		must(t, s.Invite(ctx, in, admin("invited")))
		d, err := s.Enroll(ctx, in.Hash, device.Device{ID: id, Name: name, Key: []byte(id), Version: 1, Added: time.Now()})
		must(t, err)
		return d.Name
	}
	for _, c := range []struct{ user, id, name, want string }{
		{"anna", "d1", "phone", "phone"}, {"Anna", "d2", "Phone", "Phone (2)"}, {"anna", "d3", "phone", "phone (3)"}, {"bob", "d4", "phone", "phone"},
	} {
		if got := enrol(c.user, c.id, c.name); got != c.want {
			t.Errorf("%s of %s is named %q, want %q", c.id, c.user, got, c.want)
		}
	}
	by, err := s.Device(ctx, "d1")
	must(t, err)
	if err := s.RenameDevice(ctx, by, "d2", "PHONE"); !errors.Is(err, device.ErrNameTaken) {
		t.Errorf("renamed to a taken name: got %v; want device.ErrNameTaken", err)
	}
	must(t, s.RenameDevice(ctx, by, "d1", "Phone"))
	if err := s.AddDevice(ctx, device.NewRegistration(mfa.NameOf("anna"), "chat", "phone", time.Now()), admin("add")); !errors.Is(err, device.ErrNameTaken) {
		t.Errorf("added with a taken name: got %v; want device.ErrNameTaken", err)
	}
}
