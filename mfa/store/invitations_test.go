package store

import (
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
)

// TestInvitationEnds: a new invitation, a block, an unblocking, the removal of a
// device and taking it back end an invitation, and nobody else's.
func TestInvitationEnds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		end  func(t *testing.T, s *Store)
	}{
		{"a new one", func(t *testing.T, s *Store) {
			must(t, s.Invite(t.Context(), device.Invitation{Hash: sha256.Sum256([]byte("new")), User: mfa.NameOf("ANNA"), Expires: time.Now().Add(time.Hour)}, admin("invite")))
		}},
		{"taken back", func(t *testing.T, s *Store) { must(t, s.Uninvite(t.Context(), mfa.NameOf("Anna"), admin("uninvite"))) }},
		{"blocked", func(t *testing.T, s *Store) {
			must(t, s.SetBlocked(t.Context(), mfa.NameOf("anna"), true, admin("block")))
		}},
		{"blocked and let in again", func(t *testing.T, s *Store) {
			must(t, s.SetBlocked(t.Context(), mfa.NameOf("anna"), true, admin("block")))
			must(t, s.SetBlocked(t.Context(), mfa.NameOf("anna"), false, admin("unblock")))
		}},
		{"reported, and let in again", func(t *testing.T, s *Store) {
			ev := loginEvent(1)
			ev.User, ev.Reason, ev.BlocksUser, ev.Group = mfa.NameOf("anna"), mfa.ReasonNotMe, true, "edge"
			must(t, s.Record(t.Context(), ev))
			if _, err := s.Invited(t.Context(), sha256.Sum256([]byte("anna"))); !errors.Is(err, device.ErrInvitation) {
				t.Errorf("valid for a user who is blocked: got %v; want device.ErrInvitation", err)
			}
			must(t, s.SetBlocked(t.Context(), mfa.NameOf("anna"), false, admin("unblock")))
		}},
		{"a device removed", func(t *testing.T, s *Store) {
			must(t, s.RemoveDevice(t.Context(), mfa.NameOf("anna"), "old", admin("remove")))
		}},
		{"a device removed on the page", func(t *testing.T, s *Store) {
			must(t, s.RemoveOwnDevice(t.Context(), device.Device{ID: "old", User: mfa.NameOf("anna"), Name: "old"}, "old"))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := openServer(t, t.TempDir())
			invite := func(user, text string) [32]byte {
				hash := sha256.Sum256([]byte(text))
				must(t, s.Invite(t.Context(), device.Invitation{Hash: hash, User: mfa.NameOf(user), Expires: time.Now().Add(time.Hour)}, admin("invite")))
				return hash
			}
			named := func(id string) device.Device {
				return device.Device{ID: id, Name: id, Key: []byte("key"), Added: time.Now(), Seen: time.Now()}
			}
			_, err := s.Enroll(t.Context(), invite("anna", "first"), named("old"))
			must(t, err)
			old, other := invite("anna", "anna"), invite("bob", "bob")
			if _, err := s.Invited(t.Context(), old); err != nil {
				t.Fatal(err)
			}
			tt.end(t, s)
			if _, err := s.Invited(t.Context(), old); !errors.Is(err, device.ErrInvitation) {
				t.Errorf("still valid: got %v; want device.ErrInvitation", err)
			}
			if _, err := s.Enroll(t.Context(), old, named("new")); !errors.Is(err, device.ErrInvitation) {
				t.Errorf("it enrols: got %v; want device.ErrInvitation", err)
			}
			if _, err := s.Enroll(t.Context(), other, named("bob's")); err != nil {
				t.Errorf("another's invitation: got error %v; want none", err)
			}
		})
	}
}

func TestInvitationsList(t *testing.T) {
	t.Parallel()
	s := openServer(t, t.TempDir())
	until := time.Now().Add(time.Hour)
	for _, user := range []string{"éva", "Bob", "anna"} {
		must(t, s.Invite(t.Context(), device.Invitation{Hash: sha256.Sum256([]byte(user)), User: mfa.NameOf(user), Expires: until}, admin("invite")))
	}
	must(t, s.Invite(t.Context(), device.Invitation{Hash: sha256.Sum256([]byte("late")), User: mfa.NameOf("zoe"), Expires: time.Now().Add(-time.Second)}, admin("invite")))
	names := func(user string) (got string) {
		list, err := openCommand(t, s.opt.Dir).Invitations(t.Context(), mfa.NameOf(user))
		must(t, err)
		for _, in := range list {
			got += in.User.String() + " "
		}
		return got
	}
	if got := names(""); got != "anna Bob éva " {
		t.Errorf("got %q", got)
	}
	if got := names("ÉVA"); got != "éva " {
		t.Errorf("of one user: got %q", got)
	}
	if err := s.Uninvite(t.Context(), mfa.NameOf("carol"), admin("uninvite")); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody's invitation: got %v; want ErrNotFound", err)
	}
	must(t, s.SetBlocked(t.Context(), mfa.NameOf("carol"), true, admin("block")))
	err := s.Invite(t.Context(), device.Invitation{Hash: sha256.Sum256([]byte("c")), User: mfa.NameOf("carol"), Expires: until}, admin("invite"))
	if !errors.Is(err, ErrBlocked) {
		t.Errorf("an invitation for a user who is blocked: got %v; want ErrBlocked", err)
	}
}

// TestNewDeviceInHistory: a user's other devices see that there is a new one.
func TestNewDeviceInHistory(t *testing.T) {
	t.Parallel()
	s := openServer(t, t.TempDir())
	hash := sha256.Sum256([]byte("a"))
	must(t, s.Invite(t.Context(), device.Invitation{Hash: hash, User: mfa.NameOf("anna"), Expires: time.Now().Add(time.Hour)}, admin("invite")))
	_, err := s.Enroll(t.Context(), hash, device.Device{ID: "d1", Name: "phone", Key: []byte("key"), Added: time.Now(), Seen: time.Now()})
	must(t, err)
	must(t, s.AddDevice(t.Context(), device.NewRegistration(mfa.NameOf("anna"), "chat", "pager", time.Now()), mfa.Event{Kind: mfa.EventAdmin, Origin: mfa.Origin{User: mfa.NameOf("anna")}}))
	must(t, s.SetBlocked(t.Context(), mfa.NameOf("anna"), true, admin("block")))
	got, _, err := s.Logins(t.Context(), mfa.NameOf("anna"), 0, 10)
	must(t, err)
	if len(got) != 2 || got[0].Reason != mfa.ReasonDeviceAdded || got[1].Reason != mfa.ReasonDeviceAdded || got[1].Device != "phone" {
		t.Errorf("got %+v; want the two new devices", got)
	}
}
