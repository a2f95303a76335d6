package phone

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/mfa/push/pushtest"
	"github.com/radmatch/radmatch/mfa/web"
)

// TestPhoneTypedTooEarly: what is typed for one request does not answer the one
// that takes its place in the same moment.
func TestPhoneTypedTooEarly(t *testing.T) {
	st := &pushtest.Store{}
	approver := &push.Approver{Store: st}
	pages := &web.Server{Approver: approver, Store: st, Heartbeat: 50 * time.Millisecond}
	srv := httptest.NewServer(pages.Handler())
	t.Cleanup(srv.Close)
	t.Cleanup(pages.Close)
	state := filepath.Join(t.TempDir(), "phone.json")
	link := device.InvitationLink(srv.URL, st.Invite("alice", time.Now().Add(time.Hour)))
	if err := Enroll(t.Context(), io.Discard, link, "pixel", state, false); err != nil {
		t.Fatal(err)
	}
	p, err := loadPhone(state)
	if err != nil {
		t.Fatal(err)
	}
	prompt := func(ctx context.Context, id string) <-chan error {
		done := make(chan error, 1)
		go func() {
			_, err := approver.Push(ctx, mfa.Prompt{ID: id, User: mfa.NameOf("alice"), Client: "vpn", Started: time.Now(), Expires: time.Now().Add(time.Minute),
				Requests: []mfa.PromptRequest{{Time: time.Now(), Client: "vpn"}}})
			done <- err
		}()
		return done
	}
	for name, end := range map[string]func(w *Watcher, first string) error{
		"withdrawn": func(w *Watcher, first string) error { return w.withdrawn(device.Withdrawn{ID: first}) },
		"answered":  func(w *Watcher, _ string) error { return w.answered(t.Context(), "n") },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		first, second := prompt(ctx, "1 "+name), prompt(ctx, "2 "+name)
		var out bytes.Buffer
		w := &Watcher{out: &out, phone: p}
		for len(w.waiting) < 2 {
			w.waiting = approver.Live(mfa.NameOf("alice"), device.MaxVersion).Prompts
		}
		slices.SortFunc(w.waiting, func(a, b device.PromptView) int { return strings.Compare(a.ID, b.ID) })
		if err := errors.Join(end(w, w.waiting[0].ID), w.answered(t.Context(), "y")); err != nil {
			t.Fatalf("%s: got error %v; want none", name, err)
		}
		if len(w.waiting) != 1 || !strings.Contains(out.String(), "too early") {
			t.Errorf("%s: the next request was answered: got %s; want 1 waiting, \"too early\" in it", name, out.String())
		}
		w.from = time.Now()
		if err := w.answered(t.Context(), "n"); err != nil {
			t.Fatalf("%s: got error %v; want none", name, err)
		}
		cancel()
		<-first
		if err := <-second; !errors.Is(err, mfa.ErrRejected) {
			t.Errorf("%s: the next request, denied a while later: got %v", name, err)
		}
	}
}
