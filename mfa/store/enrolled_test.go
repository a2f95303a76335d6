package store_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store/postgrestest"
)

// TestDeviceAtOtherNode: a device that one node has enrolled is known at the other at once;
// one that was removed is not. Where the database does not answer, no device is called unknown.
func TestDeviceAtOtherNode(t *testing.T) {
	server := postgrestest.Shared(t)
	database := server.NewDatabase(t)
	options := site(t, server.URL(database), "none")
	a, b := openNode(t, options("a")), openNode(t, options("b"))
	for i := range 20 {
		id := fmt.Sprint("d", i)
		in := device.Invitation{Hash: sha256.Sum256([]byte(id)), User: mfa.NameOf("anna"), Expires: time.Now().Add(time.Hour)}
		if err := a.Invite(t.Context(), in, mfa.Event{}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Enroll(t.Context(), in.Hash, device.Device{ID: id, Name: id, Key: []byte("key"), Version: 2, Added: time.Now(), Seen: time.Now()}); err != nil {
			t.Fatal(err)
		}
		if d, err := b.Device(t.Context(), id); err != nil || d.ID != id || d.User.String() != "anna" || string(d.Key) != "key" {
			t.Fatalf("device %d: got %+v, %v; want the one that was enrolled", i, d, err)
		}
	}
	other := device.Device{ID: "p1", User: mfa.NameOf("anna"), Name: "of a provider", Provider: "other", Added: time.Now()}
	if err := a.AddDevice(t.Context(), other, mfa.Event{}); err != nil {
		t.Fatal(err)
	}
	if err := b.RemoveDevice(t.Context(), mfa.NameOf("anna"), "d0", mfa.Event{}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"d0", "p1", "nobody's", "\xff", "\x00", strings.Repeat("x", 5000)} {
		if d, err := b.Device(t.Context(), id); !errors.Is(err, device.ErrNoDevice) || d.ID != "" {
			t.Errorf("%.20q: got %+v, %v; want device.ErrNoDevice", id, d, err)
		}
	}
	server.Exec(t, database, `ALTER TABLE devices RENAME TO away`)
	if d, err := b.Device(t.Context(), "d99"); err == nil || errors.Is(err, device.ErrNoDevice) || d.ID != "" {
		t.Errorf("no answer of the database: got %+v, %v; want an error that is not device.ErrNoDevice", d, err)
	}
	if d, err := b.Device(t.Context(), "d1"); err != nil || d.ID != "d1" {
		t.Errorf("in memory: got %+v, %v; want the device", d, err)
	}
}
