package radius

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

func TestStatusServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.arrive(r.ask(1, 1, nil))
		r.arrive(raw(wire.StatusServer, 1, 2, emptyMA(), avp(wire.TypeProxyState, "p")))
		synctest.Wait()
		a := r.answer(0, 1, 2)
		if a.Code != wire.AccessAccept || len(a.Attributes()) != 2 {
			t.Errorf("%s with %d attributes, want an Access-Accept with Message-Authenticator and Proxy-State", a.Code, len(a.Attributes()))
		}
		if calls := r.auth.seen(); len(calls) != 1 || calls[0].Superseded() {
			t.Error("Status-Server collided with a login of the same identifier")
		}
		for id := range byte(100) {
			r.arrive(raw(wire.StatusServer, id, 3, emptyMA()))
		}
		if n := r.stats().Status; n < 20 || n > 25 {
			t.Errorf("%d of 101 probes answered at once, want about 20", n)
		}
		time.Sleep(5 * time.Second)
		before := len(r.socket.packets())
		r.Ready = func() error { return errors.New("the disk is full") }
		r.arrive(raw(wire.StatusServer, 200, 4, emptyMA()))
		if len(r.socket.packets()) != before {
			t.Error("a server that can accept no login says that it is well")
		}
		r.Ready = func() error { return nil }
		r.arrive(raw(wire.StatusServer, 200, 4, emptyMA()))
		if n := len(r.socket.packets()); n != before+1 {
			t.Errorf("a server that is ready again: got %d answers, want 1", n-before)
		}
		r.draining.Store(true)
		r.arrive(raw(wire.StatusServer, 201, 4, emptyMA()))
		if len(r.socket.packets()) != before+1 {
			t.Error("a draining server says that it is well")
		}
	})
}

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.arrive(r.ask(1, 1, nil))
		synctest.Wait()
		done := make(chan error, 1)
		go func() { done <- r.Shutdown(t.Context()) }()
		time.Sleep(time.Second)
		synctest.Wait()
		if len(done) != 0 {
			t.Fatal("Shutdown did not wait for a pending login")
		}
		r.auth.seen()[0].reply(mfa.Decision{Outcome: mfa.Accept})
		synctest.Wait()
		if err := <-done; err != nil {
			t.Error(err)
		}
		r.answer(0, 1, 1)
		if r.ctx.Err() == nil {
			t.Error("got a context of the server that goes on; want it ended")
		}
	})
}

func TestShutdownGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.arrive(r.ask(1, 1, nil))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
		defer cancel()
		if err := r.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		r.auth.seen()[0].reply(mfa.Decision{Outcome: mfa.Accept}) // late, and harmless
	})
}

func TestReloadKeepsCounters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.arrive(r.ask(1, 1, nil))
		synctest.Wait()
		r.client.Policy = &mfa.Client{Name: "new"}
		r.swap()
		r.auth.seen()[0].reply(mfa.Decision{Outcome: mfa.Accept})
		r.answer(0, 1, 1)
		r.arrive(r.ask(2, 2, nil))
		synctest.Wait()
		if st := r.stats(); st.Packets != 2 || st.Accepted != 1 || st.Pending != 1 || st.LastSeen.IsZero() {
			t.Errorf("counters: got %+v; want Packets 2, Accepted 1, Pending 1, LastSeen set", st)
		}
		if c := r.auth.seen()[1].Client; c != r.client.Policy {
			t.Error("the new table is not in use")
		}
	})
}

func TestUnknownClient(t *testing.T) {
	r := newRig(t, nil)
	for i := range byte(3) {
		r.arriveFrom(netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, i}), 1), r.ask(1, 1, nil))
	}
	r.arriveFrom(netip.MustParseAddrPort("[2001:db8::1]:1"), r.ask(1, 1, nil))
	if n := r.Stats().Unknown; n != 4 {
		t.Errorf("%d counted, want 4", n)
	}
	if n := r.logs.Len(); n != 2 {
		t.Errorf("%d lines, want one a network", n)
	}
}

func TestAccessLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.arrive(r.ask(1, 1, func(q *wire.Query) { q.User = "ne\u202emo\n" + strings.Repeat("x", 200) }))
		synctest.Wait()
		r.auth.seen()[0].reply(mfa.Decision{Reason: mfa.ReasonWrongPassword, LoginID: "L1", Err: errors.New("no")})
		line := r.logs.FilterMessage("request").All()[0].ContextMap()
		user := line["user"].(string)
		if strings.ContainsAny(user, "\u202e\n") || len(user) > 200 || !strings.HasPrefix(user, `ne\u202emo\n`) {
			t.Errorf("user %q", user)
		}
		for key, want := range map[string]any{"client": "vpn", "outcome": "reject", "reason": "wrong_password", "login": "L1", "error": "no"} {
			if line[key] != want {
				t.Errorf("%s: got %v, want %v", key, line[key], want)
			}
		}
	})
}
