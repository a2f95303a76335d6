package e2e

import (
	"context"
	"testing"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/radius/wire"
)

// awaitKept waits until so many open prompts, with so many requests in the last,
// are on disk, where the server puts them a moment later.
func (p *serverProcess) awaitKept(prompts, requests int) {
	p.t.Helper()
	ctx := context.Background()
	st, err := store.Open(ctx, store.Options{Dir: p.path("data")})
	if err != nil {
		p.t.Fatal(err)
	}
	defer st.Close()
	p.until("open prompts on disk", func() bool {
		open, err := st.OpenPrompts(ctx)
		if err != nil {
			p.t.Fatal(err)
		}
		return len(open) == prompts && (prompts == 0 || len(open[prompts-1].Requests) == requests)
	})
}

// restart kills the server, starts it again, and connects what was connected.
func (p *serverProcess) restart(ph *testPhone) (*nasSocket, *testPhone) {
	p.t.Helper()
	p.kill()
	p.start()
	return p.nasSocket("127.0.0.1"), p.connect(ph.Phone)
}

// one demands that exactly one prompt is live, and returns it.
func (ph *testPhone) one() device.PromptView {
	ph.p.t.Helper()
	live := ph.live()
	if len(live) != 1 {
		ph.p.t.Fatalf("%d prompts are live: got %+v; want 1 of them", len(live), live)
	}
	return live[0]
}

// The server is killed with a prompt open. The NAS's retransmission, and a new
// request, join the prompt that the device has shown all the time.
func TestRestartGoesOnWithPrompt(t *testing.T) {
	t.Parallel()
	for action, want := range map[device.Action]struct {
		code  wire.Code
		event string
	}{
		device.ActionApprove: {wire.AccessAccept, "accept approve_deny"},
		device.ActionDeny:    {wire.AccessReject, "reject push_denied"},
	} {
		t.Run(string(action), func(t *testing.T) {
			t.Parallel()
			p := startServer(t, siteHead+siteClient)
			ph := p.enroll("alice")
			s := p.nasSocket("127.0.0.1")
			r := s.start(signIn("alice", "192.0.2.1"))
			shown := ph.prompt()
			p.awaitKept(1, 1)
			s, ph = p.restart(ph)
			if v := ph.one(); v.ID != shown.ID || !v.Expires.Equal(shown.Expires) {
				t.Errorf("after the restart the device shows %+v, before %+v", v, shown)
			}
			// A request without a first factor joins nothing.
			wrong := signIn("alice", "192.0.2.1")
			wrong.Cred = mfa.Password("wrong horse")
			s.expect(wrong, wire.AccessReject)
			s.start(signIn("alice", "192.0.2.66"))
			s.send(r)
			again := s.start(signIn("alice", "192.0.2.1"))
			p.until("all have joined", func() bool { v := ph.one(); return v.ID == shown.ID && len(v.Requests) == 3 })
			p.awaitKept(1, 3)
			ph.decide(ph.one(), action, "")
			for _, r := range []request{r, again} {
				a, _ := s.answer(r)
				if a.Code != want.code {
					t.Errorf("got %s, want %s", a.Code, want.code)
				}
				if attrs := a.Attributes(); a.Code == wire.AccessAccept && len(attrs) == 0 {
					t.Error("got an Access-Accept without reply attributes; want those of the user")
				}
			}
			s.silent()
			if got := p.counts("alice"); got[want.event] != 1 || got["discard prompt_pending"] != 1 || got["reject wrong_password"] != 1 || len(got) != 3 {
				t.Errorf("events %v", got)
			}
			p.awaitKept(0, 0)
			if action == device.ActionDeny { // it speaks for 10 s, over another restart too
				s, ph = p.restart(ph)
				s.expect(signIn("alice", "192.0.2.1"), wire.AccessReject)
				p.awaitEvent("alice", "reject recently_denied", 1)
				if live := ph.live(); len(live) > 0 {
					t.Errorf("a denied prompt is back: got %+v; want none", live)
				}
			}
		})
	}
}

// An approval that comes before the NAS is kept for it, and for nobody else.
func TestRestartApprovedBeforeRequest(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+siteClient)
	ph := p.enroll("alice")
	s := p.nasSocket("127.0.0.1")
	r := s.start(signIn("alice", "192.0.2.1"))
	ph.prompt()
	p.awaitKept(1, 1)
	s, ph = p.restart(ph)
	ph.decide(ph.one(), device.ActionApprove, "")
	if got := p.counts("alice"); len(got) != 0 {
		t.Fatalf("the login ended with %v on the approval; want it open until the answer", got)
	}
	s.start(signIn("alice", "192.0.2.66"))
	s.silent()
	s.send(r)
	s.gets(r, wire.AccessAccept)
	// And one that no packet comes for accepts no login, also after one more restart.
	s.start(signIn("alice", "192.0.2.2"))
	ph.prompt()
	p.awaitKept(1, 1)
	_, ph = p.restart(ph)
	ph.decide(ph.one(), device.ActionApprove, "")
	p.until("unclaimed", func() bool {
		events := p.events("alice")
		return events[len(events)-1].Kind == mfa.EventUnclaimed
	})
	_, ph = p.restart(ph)
	if live := ph.live(); len(live) > 0 {
		t.Errorf("a prompt that is over is back: got %+v; want none", live)
	}
}

// The NAS does not come back: the prompt is withdrawn when its time is over, with an event.
func TestRestartNobodyComes(t *testing.T) {
	t.Parallel()
	p := startServer(t, siteHead+`clients:
  - {name: vpn, addresses: [127.0.0.1], secret: `+testSecret+`}
mfa: {reject_delay: 500ms, push_timeout: 10s}
`)
	ph := p.enroll("alice")
	s := p.nasSocket("127.0.0.1")
	s.start(signIn("alice", "192.0.2.1"))
	shown := ph.prompt()
	p.awaitKept(1, 1)
	_, ph = p.restart(ph)
	if v := ph.one(); v.ID != shown.ID {
		t.Errorf("got %+v", v)
	}
	p.awaitEvent("alice", "reject push_no_response", 1)
	if live := ph.live(); len(live) > 0 {
		t.Errorf("live after its time: got %+v; want none", live)
	}
	if ev := p.events("alice")[0]; ev.ID != shown.ID {
		t.Errorf("got event %+v; want ID shown.ID", ev)
	}
}

// Where no request could join it, a prompt ends with the server: its event says
// so, and the next request opens another, so that there are never two.
func TestRestartReplacesPrompt(t *testing.T) {
	t.Parallel()
	const numberClient = `clients:
  - {name: vpn, addresses: [127.0.0.1], secret: ` + testSecret + `, number_in_prompt: true}
mfa: {reject_delay: 500ms}
`
	for name, tt := range map[string]struct{ config, from string }{
		"no end-user field": {siteClient, ""},
		"a number":          {numberClient, "192.0.2.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startServer(t, siteHead+tt.config)
			ph := p.enroll("alice")
			s := p.nasSocket("127.0.0.1")
			r := s.start(signIn("alice", tt.from))
			shown := ph.prompt()
			p.awaitKept(1, 1)
			s, ph = p.restart(ph)
			if live := ph.live(); len(live) > 0 {
				t.Errorf("live: got %+v; want none", live)
			}
			if _, err := ph.Decide(t.Context(), shown, device.ActionApprove, "42"); err == nil {
				t.Error("a decision on the old prompt counted: got no error; want one")
			}
			s.send(r)
			v := ph.prompt()
			if live := ph.one(); v.ID == shown.ID || live.ID != v.ID {
				t.Errorf("the device shows %+v, then %+v", shown, live)
			}
			p.awaitEvent("alice", "discard shutdown", 1)
		})
	}
}
