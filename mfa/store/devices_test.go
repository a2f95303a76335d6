package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa/push"
)

// An invitation enrols one device, of many that come at once, and none after its time.
func TestInvitationEnrolsOne(t *testing.T) {
	t.Parallel()
	s := openServer(t, t.TempDir())
	enroll := func(hash [32]byte, id string) error {
		_, err := s.Enroll(t.Context(), hash, push.Device{ID: id, Name: id, Key: []byte("key"), Added: time.Now(), Seen: time.Now()})
		return err
	}
	invite := func(text string, expires time.Time) [32]byte {
		hash := sha256.Sum256([]byte(text))
		must(t, s.Invite(t.Context(), push.Invitation{Hash: hash, User: "anna", Expires: expires}, admin("invite")))
		return hash
	}
	late := invite("late", time.Now().Add(-time.Millisecond))
	if err := enroll(late, "late"); !errors.Is(err, push.ErrInvitation) {
		t.Errorf("expired: %v", err)
	}
	once := invite("once", time.Now().Add(time.Hour))
	var enrolled atomic.Int32
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			switch err := enroll(once, fmt.Sprint("d", i)); {
			case err == nil:
				enrolled.Add(1)
			case !errors.Is(err, push.ErrInvitation):
				t.Error(err)
			}
		})
	}
	all.Wait()
	devices, err := s.Devices(t.Context(), "anna")
	if enrolled.Load() != 1 || len(devices) != 1 || err != nil {
		t.Errorf("one invitation enrolled %d devices: %v %v", enrolled.Load(), devices, err)
	}
}
