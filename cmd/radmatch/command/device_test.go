package command

import (
	"context"
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store"
)

func TestDevice(t *testing.T) {
	s := newShop(t)
	link, _, _ := strings.Cut(s.ok("device", "invite", "anna", "--no-qr"), "\n")
	_, token, err := device.ParseInvitationLink(link)
	if err != nil {
		t.Fatal(err)
	}
	s.server(func(ctx context.Context, st *store.Store) {
		d := device.Device{ID: "d1", Name: "old phone", Key: []byte{1}, Version: device.MaxVersion}
		if _, err := st.Enroll(ctx, sha256.Sum256([]byte(token)), d); err != nil {
			t.Error(err)
		}
	})
	if out := s.ok("device", "list", "ANNA"); !strings.Contains(out, "old phone") || strings.Contains(out, token) {
		t.Errorf("device list:\n%s", out)
	}
	s.fails(console.ExitFailure, "unknown or removed", "device", "remove", "bob", "d1")
	out, errs, code := s.run("", "device", "remove", "anna", "old phone")
	if code != console.ExitOK || out != "removed device old phone of anna\n" || !strings.Contains(errs, "require_user_match") {
		t.Errorf("remove: got exit %d, %q, %q", code, out, errs)
	}
}

func TestDeviceInviteErrors(t *testing.T) {
	s := newShop(t)
	for _, user := range []string{"", " ", "an\nna", "an\x1b[2Jna", strings.Repeat("a", 254)} {
		s.fails(console.ExitUsage, "device invite: user", "device", "invite", user)
	}
	for _, lifetime := range []string{"59s", "721h", "-1h"} {
		s.fails(console.ExitUsage, "--lifetime must be", "device", "invite", "anna", "--lifetime", lifetime)
	}
}
