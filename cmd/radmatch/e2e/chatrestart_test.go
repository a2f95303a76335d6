package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/radius/wire"
)

// reload has the server take another configuration.
func (p *serverProcess) reload(config string) {
	p.t.Helper()
	times := strings.Count(p.log(), `"msg":"reloaded"`)
	p.write("radmatch.yaml", config)
	p.signal(syscall.SIGHUP)
	p.until("reloaded", func() bool { return strings.Count(p.log(), `"msg":"reloaded"`) > times })
}

// chatPrompt waits for the next prompt of a device of our own.
func (ph *testPhone) chatPrompt() chatPrompt {
	ph.p.t.Helper()
	v := ph.prompt()
	return func(p *serverProcess, action device.Action) int {
		_, err := ph.Decide(p.t.Context(), v, action, "")
		var told *device.PhoneError
		switch {
		case err == nil:
			return http.StatusOK
		case errors.As(err, &told):
			return told.Status
		}
		p.t.Error(err)
		return 0
	}
}

// TestReloadWithPromptOpen: whatever a reload does to the provider, the prompt
// that is open goes on. A retransmission and a new request of the origin belong to
// it, and the decision of the device, the link or the webhook counts, once, and
// ends the login for all.
func TestReloadWithPromptOpen(t *testing.T) {
	t.Parallel()
	const own, other = "{name: phone, type: approver}", "{name: other, type: approver}"
	for _, kind := range append([]string{"approver"}, chatKinds...) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := newChatServer(t, kind)
			here, moved, late := c.entry(c.url()), strings.ReplaceAll(c.entry("http://127.0.0.1:1/"), "chat.key", "other.key"), http.StatusGone
			if kind == "approver" {
				here, moved, late = own, other, http.StatusConflict
			}
			p := newServer(t, chatSite(here))
			p.write("chat.key", chatSecret)
			p.write("other.key", strings.Repeat("o", 32))
			p.start()
			next := func() chatPrompt { return c.next(t, "alice") }
			if kind == "approver" {
				next = p.enroll("alice").chatPrompt
			} else {
				p.cli("device", "add", "alice", "--provider", "chat")
			}
			s := p.nasSocket("127.0.0.1")
			for i, tt := range []struct {
				name   string
				to     string
				action device.Action
				want   wire.Code
				joins  bool
			}{
				{"nothing has changed", here, device.ActionApprove, wire.AccessAccept, true},
				{"its key and address have", moved, device.ActionApprove, wire.AccessAccept, true},
				{"it is no longer there", other, device.ActionApprove, wire.AccessAccept, kind == "approver"},
				{"a denial", moved, device.ActionDeny, wire.AccessReject, true},
			} {
				from := fmt.Sprintf("192.0.2.%d", i+1)
				r := s.start(signIn("alice", from))
				shown := next()
				p.reload(chatSite(tt.to))
				s.send(r)
				waits := []request{r}
				if tt.joins {
					waits = append(waits, s.start(signIn("alice", from)))
				}
				p.awaitKept(1, len(waits))
				if got := shown(p, tt.action); got != http.StatusOK {
					t.Errorf("%s: %s: status: got %d; want %d", tt.name, tt.action, got, http.StatusOK)
				}
				for _, w := range waits {
					if a, _ := s.answer(w); a.Code != tt.want {
						t.Errorf("%s: got %s, want %s", tt.name, a.Code, tt.want)
					}
				}
				if got := shown(p, device.ActionApprove); got != late {
					t.Errorf("%s: approved again: status %d, want %d", tt.name, got, late)
				}
				s.silent()
				p.awaitKept(0, 0)
				p.reload(chatSite(here))
			}
			if got := p.counts("alice"); got["accept approve_deny"] != 3 || got["reject push_denied"] != 1 || len(got) != 2 {
				t.Errorf("got events %v; want 3 accept approve_deny, 1 reject push_denied, 2 of them", got)
			}
			if n := c.asked("alice"); kind != "approver" && n != 4 {
				t.Errorf("got %d prompts; want 4", n)
			}
		})
	}
}

// TestKilledWithChatPromptOpen: of a provider that is not ours a prompt ends with
// the server that is killed, and what was shown is dead. The NAS's retransmissions
// a prompt once more, and that one counts.
func TestKilledWithChatPromptOpen(t *testing.T) {
	t.Parallel()
	for _, kind := range chatKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := newChatServer(t, kind)
			p, users := c.start(t, 1)
			user := users[0]
			s := p.nasSocket("127.0.0.1")
			r := s.start(signIn(user, "192.0.2.1"))
			old := c.next(t, user)
			p.awaitKept(1, 1)
			p.kill()
			p.start()
			s = p.nasSocket("127.0.0.1")
			dead := func(when string) {
				t.Helper()
				for _, action := range []device.Action{device.ActionApprove, device.ActionDeny, device.ActionNotMe} {
					if got := old(p, action); got != http.StatusGone {
						t.Errorf("%s, %s on what was shown before: status: got %d; want %d", when, action, got, http.StatusGone)
					}
				}
			}
			dead("after the restart")
			for range 3 {
				s.send(r)
			}
			shown := c.next(t, user)
			dead("with another one open")
			p.chatApproved(s, r, shown)
			s.silent()
			if n := c.asked(user); n != 2 {
				t.Errorf("got %d prompts; want 2", n)
			}
			if got := p.counts(user); got["discard shutdown"] != 1 || got["accept approve_deny"] != 1 || len(got) != 2 {
				t.Errorf("got events %v; want 1 discard shutdown, 1 accept approve_deny, 2 of them", got)
			}
		})
	}
}
