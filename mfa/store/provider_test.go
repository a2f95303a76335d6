package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store/op"
)

// TestOtherProviders: a device of another provider is a registered method, and
// no device of our own protocol ever sees or is it.
func TestOtherProviders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, cli := openServer(t, dir), openCommand(t, dir)
	ctx := t.Context()
	d := device.NewRegistration(mfa.NameOf("Anna"), "chat", "work phone", time.Now())
	must(t, cli.AddDevice(ctx, d, admin("add")))

	for name, s := range map[string]*Store{"server": server, "command": cli} {
		u, err := s.User(ctx, mfa.NameOf("ANNA"))
		must(t, err)
		if u.Devices != 1 || !slices.Equal(u.Elsewhere, []string{"chat"}) {
			t.Errorf("%s: got %+v", name, u)
		}
		got, err := s.DevicesOf(ctx, mfa.NameOf("anna"), "chat")
		if must(t, err); len(got) != 1 || got[0].ID != d.ID || got[0].Name != "work phone" || got[0].User.String() != "Anna" || len(got[0].Key) != 0 {
			t.Errorf("%s: got %+v", name, got)
		}
		own, err := s.Devices(ctx, mfa.NameOf("anna"))
		if must(t, err); len(own) != 0 {
			t.Errorf("%s: our own: got %+v", name, own)
		}
		other, err := s.DevicesOf(ctx, mfa.NameOf("anna"), "talk")
		if must(t, err); len(other) != 0 {
			t.Errorf("%s: of another provider: got %+v", name, other)
		}
		if _, err := s.Device(ctx, d.ID); !errors.Is(err, device.ErrNoDevice) {
			t.Errorf("%s: it speaks the device protocol: got %v; want device.ErrNoDevice", name, err)
		}
		must(t, s.Registered(ctx, d.ID))
	}
	must(t, cli.RemoveDevice(ctx, mfa.NameOf("anna"), "work phone", admin("remove")))
	if err := server.Registered(ctx, d.ID); !errors.Is(err, mfa.ErrRejected) {
		t.Errorf("removed: got %v", err)
	}

	for i := range op.MaxRegistrations {
		must(t, cli.AddDevice(ctx, device.NewRegistration(mfa.NameOf("anna"), "chat", fmt.Sprint(i), time.Now()), admin("add")))
	}
	if cli.AddDevice(ctx, device.NewRegistration(mfa.NameOf("anna"), "chat", "one more", time.Now()), admin("add")) == nil {
		t.Error("got one device more than the limit; want an error")
	}
	must(t, cli.AddDevice(ctx, device.NewRegistration(mfa.NameOf("anna"), "talk", "elsewhere", time.Now()), admin("add")))
	if cli.AddDevice(ctx, device.NewRegistration(mfa.NameOf("anna"), "", "ours", time.Now()), admin("add")) == nil {
		t.Error("a device of our own was added without a key")
	}
}
