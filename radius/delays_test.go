package radius

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest/observer"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// floodRig has beside the client "vpn" another one, "wifi".
func floodRig(t *testing.T, pending int) (r *rig, wifi netip.AddrPort) {
	t.Helper()
	r = newRig(t, func(c *Client) { c.RequireMA, c.RejectDelay = RequireNo, time.Second })
	// As start does, but smaller.
	r.MaxPending, r.MaxPendingPerClient = pending, pending/2
	other := r.client
	other.Name, other.Policy = "wifi", &mfa.Client{Name: "wifi"}
	other.Prefixes = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	table, err := NewTable([]Client{r.client, other})
	if err != nil {
		t.Fatal(err)
	}
	r.Swap(Service{Table: table, Authenticator: r.auth})
	r.auth.then = func(q *mfa.Request, reply func(mfa.Decision)) {
		d := mfa.Decision{Outcome: mfa.Accept}
		if q.User.String() != "nemo" {
			d = mfa.Decision{Reason: mfa.ReasonWrongPassword}
		}
		reply(d)
	}
	return r, netip.MustParseAddrPort("198.51.100.7:4000")
}

// from is port n of the client that is flooded.
func from(n int) netip.AddrPort { return netip.AddrPortFrom(nas.Addr(), uint16(1024+n)) }

// Rejections that wait for their time take no other's place: neither requests that
// anybody can forge nor the guesses of a client with the secret keep out another
// client's logins, and their number is bounded.
func TestDelaysLeaveRoom(t *testing.T) {
	const pending, flood = 400, 2000
	for name, tt := range map[string]struct {
		signed  bool
		delayed int
	}{
		"forged, unsigned":         {false, pending / 8},
		"guesses, with the secret": {true, pending / 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, wifi := floodRig(t, pending)
				for n := range flood {
					packet := raw(wire.AccessRequest, 7, byte(n), avp(wire.TypeUserName, "mono"), papOf("x", byte(n), testSecret))
					if tt.signed {
						packet = r.ask(7, byte(n), func(q *wire.Query) { q.User = "mono" })
					}
					r.arriveFrom(from(n), packet)
					if n%100 == 0 {
						synctest.Wait()
					}
				}
				synctest.Wait()
				if got := int(r.delayed.Load()); got != tt.delayed || r.pending.Load() != 0 {
					t.Errorf("%d rejections wait, want %d; %d pending", got, tt.delayed, r.pending.Load())
				}
				r.arriveFrom(wifi, r.ask(1, 1, nil))
				r.arriveFrom(from(flood), r.ask(1, 1, nil))
				r.arriveFrom(wifi, r.ask(2, 2, func(q *wire.Query) { q.User = "mono" })) // a wrong password of its own
				synctest.Wait()
				if got := r.answer(0, 1, 1).Code; got != wire.AccessAccept {
					t.Errorf("the other client's login: got %v; want %v", got, wire.AccessAccept)
				}
				if got := r.answer(1, 1, 1).Code; got != wire.AccessAccept {
					t.Errorf("a login of the same client: got %v; want %v", got, wire.AccessAccept)
				}
				time.Sleep(1300 * time.Millisecond)
				synctest.Wait()
				if got := len(r.socket.packets()); got != 2+tt.delayed+1 {
					t.Errorf("%d answers, want two, %d late rejections and the other client's", got, tt.delayed)
				}
				if r.delayed.Load() != 0 || r.busy() != 0 {
					t.Errorf("got %d still wait; want delayed 0, busy 0", r.busy())
				}
			})
		})
	}
}

// No rejection leaves early, whatever else waits: a flood must not be the way to
// faster guesses.
func TestDelaysAreNeverCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := floodRig(t, 80)
		for n := range 200 {
			r.arriveFrom(from(n), r.ask(7, byte(n), func(q *wire.Query) { q.User = "mono" }))
		}
		time.Sleep(999 * time.Millisecond)
		synctest.Wait()
		if n := len(r.socket.packets()); n != 0 {
			t.Errorf("got %d rejections left before reject_delay; want 0", n)
		}
	})
}

// The log lines of requests that were not accepted are bounded, and none is forgotten.
func TestLogLinesAreSummedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := floodRig(t, 8000)
		count := func(logs *observer.ObservedLogs) (lines, summed int) {
			for _, e := range logs.TakeAll() {
				switch e.Message {
				case "request":
					lines++
				case "requests that are summed up":
					summed += int(e.ContextMap()["count"].(int64))
				}
			}
			return lines, summed
		}
		for range 2 {
			for n := range 1000 {
				r.arriveFrom(from(n), raw(wire.AccessRequest, 7, byte(n), avp(wire.TypeUserName, "mono"), papOf("x", byte(n), testSecret)))
			}
			time.Sleep(20 * time.Second)
			synctest.Wait()
			if lines, summed := count(r.logs); lines != linesKept || lines+summed != 1000 {
				t.Errorf("%d lines, %d summed up", lines, summed)
			}
			time.Sleep(20 * time.Second) // the answers are forgotten
		}
		r.arrive(r.ask(1, 1, nil))
		synctest.Wait()
		if lines, _ := count(r.logs); lines != 1 {
			t.Errorf("an accept has %d lines; want 1", lines)
		}
	})
}
