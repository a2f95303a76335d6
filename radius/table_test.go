package radius

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

func always() bool { return true }

// step is one packet of an identifier, or the end of its exchange.
func begin(t *testing.T, tab *retransmissions, id, auth byte, now time.Time) *exchange {
	t.Helper()
	standing, x, _ := tab.begin(makeKey(nas, 0, byte(wire.AccessRequest), id), authOf(auth)[:], 0, true, now, always)
	if standing != packetNew {
		t.Fatalf("identifier %d: standing %d, want a new request", id, standing)
	}
	return x
}

func (t *retransmissions) size() (entries, finished int) {
	for i := range t.shards {
		entries += len(t.shards[i].entries)
		finished += t.shards[i].count
	}
	return entries, finished
}

// The table is bounded: finished entries give way, pending ones never.
func TestTableIsBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	tab := newRetransmissions(shards) // one finished entry a shard
	pending := begin(t, tab, 0, 1, now)
	for id := 1; id < 256; id++ {
		x := begin(t, tab, byte(id), 1, now)
		tab.finish(x, []byte("answer"), now)
	}
	if entries, finished := tab.size(); finished > shards || entries != finished+1 {
		t.Errorf("%d entries, %d finished", entries, finished)
	}
	if !tab.finish(pending, []byte("answer"), now) {
		t.Error("got the pending entry evicted; want it kept")
	}
}

// An identifier that is used again leaves one entry, whatever became of the earlier ones.
func TestTableReusesEntries(t *testing.T) {
	now := time.Unix(1000, 0)
	tab := newRetransmissions(1 << 16)
	var old *exchange
	for n := range byte(100) {
		x := begin(t, tab, 7, n, now)
		if n%3 != 0 { // every third one is superseded
			if !tab.finish(x, []byte{n}, now) {
				t.Fatal("got an exchange that is not current; want it current")
			}
		}
		if old != nil && tab.finish(old, []byte("late"), now) {
			t.Fatal("got an answer of a superseded exchange; want none")
		}
		old = nil
		if n%3 == 0 {
			old = x
		}
		if entries, finished := tab.size(); entries != 1 || finished > 1 {
			t.Fatalf("got %d entries, %d finished; want 1, at most 1", entries, finished)
		}
	}
}

// An entry whose time is over is forgotten as others come.
func TestTableExpires(t *testing.T) {
	now := time.Unix(1000, 0)
	tab := newRetransmissions(1 << 16)
	for id := range 256 {
		tab.finish(begin(t, tab, byte(id), 1, now), []byte("answer"), now)
	}
	now = now.Add(keepAnswer)
	for id := range 256 {
		tab.finish(begin(t, tab, byte(id), 2, now), nil, now)
	}
	now = now.Add(keepAnswer)
	for id := range 64 {
		begin(t, tab, byte(id), 3, now)
	}
	if entries, finished := tab.size(); entries >= 256 || finished >= 192 {
		t.Errorf("got %d entries, %d finished; want less than 256, less than 192", entries, finished)
	}
}

// The same identifier from another port, on another listener or with another code is another request.
func TestTableKeys(t *testing.T) {
	seen := make(map[key]bool)
	for _, k := range []key{
		makeKey(nas, 0, 1, 1), makeKey(nas, 1, 1, 1), makeKey(nas, 0, 12, 1), makeKey(nas, 0, 1, 2),
	} {
		if seen[k] {
			t.Errorf("%v twice", k)
		}
		seen[k] = true
	}
}

// A NAS with a bad random generator uses an authenticator twice. The answer to
// one user must not be given to another for that.
func TestAuthenticatorReused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*wire.Query)
		signed bool
		calls  int
	}{
		{"same login", nil, true, 1},
		{"another attribute", func(q *wire.Query) { q.Attributes = []mfa.Attribute{{Type: 32, Value: []byte("gw")}} }, true, 1},
		{"another user", func(q *wire.Query) { q.User = "mono" }, true, 2},
		{"another password", func(q *wire.Query) { q.Cred = mfa.Password("arctangenT") }, true, 2},
		{"another State", func(q *wire.Query) { q.State = "s" }, true, 2},
		{"MS-CHAPv2", func(q *wire.Query) { q.Cred = mfa.MSCHAPv2{} }, true, 2},
		{"another user, unsigned", nil, false, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(c *Client) { c.RequireMA = RequireNo })
				r.auth.then = func(_ *mfa.Request, reply func(mfa.Decision)) { reply(mfa.Decision{Outcome: mfa.Accept}) }
				r.arrive(r.ask(1, 1, nil))
				synctest.Wait()
				second := raw(wire.AccessRequest, 1, 1, avp(wire.TypeUserName, "mono"), papOf("x", 1, testSecret))
				if tt.signed {
					second = r.ask(1, 1, tt.change)
				}
				r.arrive(second)
				synctest.Wait()
				if n := len(r.auth.seen()); n != tt.calls {
					t.Errorf("%d logins were handed over, want %d", n, tt.calls)
				}
				if n := len(r.socket.packets()); !tt.signed && n != 1 {
					t.Errorf("%d answers, want only that to the signed request", n)
				}
			})
		})
	}
}
