package radius

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
)

// waiter is a NAS as it sends one request: the packets after the first one, and
// when the server has its answer.
type waiter struct {
	id, n   byte
	again   []time.Duration // after the first packet
	anew    time.Duration   // asks under another identifier then; 0: never
	reuse   time.Duration   // uses its identifier for another login then; 0: never
	decided time.Duration
	user    string
}

// ask plays the device; time is the bubble's.
func (d waiter) ask(r *rig) {
	if d.user == "" {
		d.user = fmt.Sprintf("user%d-%d", d.id, d.n)
	}
	packet := func(id, n byte, user string) []byte {
		return r.ask(id, n, func(q *Query) {
			q.User, q.Attributes = user, []mfa.Attribute{{Type: typeCallingStationID, Value: []byte("198.51.100.3")}}
		})
	}
	start, first := time.Now(), packet(d.id, d.n, d.user)
	at := map[time.Duration][]byte{}
	for _, a := range d.again {
		at[a] = first
	}
	if d.anew > 0 {
		at[d.anew] = packet(d.id+100, d.n, d.user)
	}
	if d.reuse > 0 {
		at[d.reuse] = packet(d.id, d.n+100, "another")
	}
	r.arrive(first)
	synctest.Wait()
	held := r.auth.seen()
	for now := time.Duration(0); now < d.decided; now += 100 * time.Millisecond {
		time.Sleep(100 * time.Millisecond)
		if p := at[time.Since(start)]; p != nil {
			r.arrive(p)
		}
	}
	held[len(held)-1].reply(mfa.Decision{Outcome: mfa.Accept})
	synctest.Wait()
	for _, c := range r.auth.seen()[len(held):] {
		c.reply(mfa.Decision{Outcome: mfa.Reject})
	}
	time.Sleep(time.Minute) // what is delayed and remembered is over
	synctest.Wait()
}

func seconds(s ...float64) (list []time.Duration) {
	for _, x := range s {
		list = append(list, time.Duration(x*1000)*time.Millisecond)
	}
	return list
}

// Of each make of NAS what it waits is learned from what it sends.
func TestLearnedBudget(t *testing.T) {
	const late = 60 * time.Second
	for _, tt := range []struct {
		name      string
		device    waiter
		want      float64 // seconds; 0: nothing is learned
		abandoned uint64
	}{
		{"PAN-OS 3 s × 3", waiter{again: seconds(3, 6), decided: late}, 9, enoughWaits},
		{"strongSwan", waiter{again: seconds(2, 4.8, 8.7), decided: late}, 12.6, enoughWaits},
		{"RFC 5080", waiter{again: seconds(2, 6, 14), decided: late}, 22, enoughWaits},
		{"one packet", waiter{decided: late}, 0, 0},
		{"answered in time", waiter{again: seconds(3, 6), decided: 8 * time.Second}, 0, 0},
		{"answered between the intervals of a doubling device", waiter{again: seconds(2, 6), decided: 13 * time.Second}, 0, 0},
		{"another identifier (FortiGate)", waiter{anew: 5 * time.Second, decided: late}, 10, enoughWaits},
		{"another identifier after retransmissions", waiter{again: seconds(2, 4), anew: 20 * time.Second, decided: late}, 6, enoughWaits},
		{"the person dials again after 40 s", waiter{anew: 40 * time.Second, decided: late}, 0, 0},
		{"identifier used for another login", waiter{reuse: 10 * time.Second, decided: late}, 0, enoughWaits},
		{"identifier used after retransmissions", waiter{again: seconds(3), reuse: 30 * time.Second, decided: late}, 6, enoughWaits},
		{"doubled by the network", waiter{again: seconds(0.05), decided: late}, 0, 0},
		{"under a second", waiter{again: seconds(0.3), decided: late}, 0, enoughWaits},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				for n := range byte(enoughWaits) {
					if n == enoughWaits-1 && r.stats().Learned != 0 {
						t.Error("learned from too few")
					}
					tt.device.n = n
					tt.device.ask(r)
				}
				st := r.stats()
				if got := st.Learned.Seconds(); got != tt.want || st.Abandoned != tt.abandoned {
					t.Errorf("learned %v s, %d abandoned; want %v, %d", got, st.Abandoned, tt.want, tt.abandoned)
				}
			})
		})
	}
}

// The learned budget ends a request only where nobody set another, and only while
// it is fresh.
func TestLearnedBudgetInEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		for n := range byte(enoughWaits) {
			waiter{n: n, again: seconds(3, 6), decided: time.Minute}.ask(r)
		}
		gives := func() time.Duration {
			waiter{id: 9, n: byte(len(r.auth.seen())), decided: time.Second}.ask(r)
			calls := r.auth.seen()
			q := calls[len(calls)-1].Request
			if q.GivesUp.IsZero() {
				return 0
			}
			return q.GivesUp.Sub(q.Received)
		}
		if got := gives(); got != 9*time.Second {
			t.Errorf("gives up after %v, want 9 s", got)
		}
		profile := *r.client.Profile
		profile.Budget = time.Minute
		r.client.Profile = &profile
		r.swap()
		if got := gives(); got != time.Minute {
			t.Errorf("gives up after %v, want what was set", got)
		}
		profile.Budget = 0
		time.Sleep(keepWaits)
		if got := gives(); got != 0 {
			t.Errorf("gives up after %v: what is a day old must not count", got)
		}
	})
}

// A device that asks anew under another identifier gives up the login as a whole:
// the budget of each packet ends when that of the first one does.
func TestLearnedBudgetOfLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		for n := range byte(enoughWaits) {
			waiter{n: n, anew: 5 * time.Second, decided: time.Minute}.ask(r)
		}
		first := len(r.auth.seen())
		for _, tt := range []struct{ anew, want time.Duration }{
			{5 * time.Second, 5 * time.Second},
			{9500 * time.Millisecond, 10 * time.Second}, // another attempt
		} {
			waiter{id: 9, n: byte(first), anew: tt.anew, decided: time.Minute}.ask(r)
			calls := r.auth.seen()[first:]
			for i, want := range []time.Duration{10 * time.Second, tt.want} {
				if got := calls[i].GivesUp.Sub(calls[i].Received); got != want {
					t.Errorf("asked anew after %v: packet %d gives up after %v, want %v", tt.anew, i, got, want)
				}
			}
			first += 2
		}
	})
}

// People who hang up, and packets that get lost, do not spoil what is learned.
func TestLearnedBudgetIsRobust(t *testing.T) {
	now := time.Unix(1e9, 0)
	for _, tt := range []struct {
		name string
		wait func(i int) (Wait, uint64)
		want float64
	}{
		{"most people hang up", func(i int) (Wait, uint64) {
			w := Wait{For: 10 * time.Second, Again: 5 * time.Second}
			if i%10 == 0 {
				w.For = 30 * time.Second
			}
			return w, uint64(i + 1)
		}, 30},
		{"a packet is lost once", func(i int) (Wait, uint64) {
			w := Wait{For: 30 * time.Second, Again: 5 * time.Second}
			if i == 90 {
				w = Wait{For: 35 * time.Second, Again: 10 * time.Second}
			}
			return w, uint64(i + 1)
		}, 30},
		{"one person alone", func(i int) (Wait, uint64) {
			return Wait{For: 5 * time.Second, Again: 5 * time.Second}, 7
		}, 0},
		{"people dial again", func(i int) (Wait, uint64) {
			gap := time.Duration(2+i%20) * time.Second
			return Wait{For: 2 * gap, Again: gap}, uint64(i + 1)
		}, 0},
		{"too short and too long", func(i int) (Wait, uint64) {
			if i%2 == 0 {
				return Wait{For: shortWait - 1, Again: 1}, uint64(i + 1)
			}
			return Wait{For: longWait + 1, Again: 1}, uint64(i + 1)
		}, 0},
		{"from before a restart", func(i int) (Wait, uint64) {
			return Wait{For: 5 * time.Second, Again: 5 * time.Second}, 0
		}, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &patience{}
			for i := range 100 {
				w, seat := tt.wait(i)
				w.At = now
				p.add(w, seat)
			}
			if got := p.learned(now).Seconds(); got != tt.want {
				t.Errorf("learned %v s, want %v", got, tt.want)
			}
			if n := len(p.snapshot(now)); n > maxWaits {
				t.Errorf("%d waits are kept", n)
			}
			if got := p.learned(now.Add(keepWaits)); got != 0 {
				t.Errorf("after a day %v", got)
			}
			for i := range uint64(enoughWaits) {
				p.add(Wait{At: now.Add(keepWaits), For: 4 * time.Second, Again: time.Second}, 1000+i)
			}
			if got := p.learned(now.Add(keepWaits)); got != 4*time.Second {
				t.Errorf("learned %v with waits of the day before", got)
			}
		})
	}
}

// A device that was set to wait longer is noticed: by a request that it still
// waits for, or by retransmissions that do not come.
func TestLearnedBudgetChanges(t *testing.T) {
	learned := func(r *rig) {
		for n := range byte(enoughWaits) {
			waiter{n: n, again: seconds(2), decided: 30 * time.Second}.ask(r)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		learned(r)
		for n := range byte(maxWaits) {
			waiter{id: 1, n: n, again: seconds(2, 4, 6, 8), decided: 9 * time.Second}.ask(r)
		}
		if got := r.stats().Learned; got != 10*time.Second {
			t.Errorf("learned %v, want the 10 s that it has waited", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		learned(r)
		for n := range byte(silentWaits) {
			if got := r.stats().Learned; got != 4*time.Second {
				t.Errorf("learned %v after %d silent ones, want 4 s", got, n)
			}
			waiter{id: 1, n: n, decided: 6 * time.Second}.ask(r)
		}
		if got := r.stats().Learned; got != 0 {
			t.Errorf("learned %v from a device that sends nothing again any more", got)
		}
	})
}

// What was learned outlasts the program.
func TestRememberWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		for n := range byte(enoughWaits) {
			waiter{n: n, again: seconds(3, 6), decided: time.Minute}.ask(r)
		}
		next := newRig(t, nil)
		next.Remember(map[string][]Wait{"vpn": r.stats().Waits, "gone": {{}}})
		if got := next.stats(); got.Learned != 9*time.Second || !slices.Equal(got.Waits, r.stats().Waits) {
			t.Errorf("got %v", got)
		}
	})
}

// Who gives up before a person can answer is logged once an hour, with what to
// set on that make of device.
func TestImpatientClientIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Client) {
			p := *c.Profile
			p.Raise = "turn the knob"
			c.Profile = &p
		})
		for n := range byte(10) {
			waiter{n: n, again: seconds(3, 6), decided: time.Minute}.ask(r)
		}
		lines := r.logs.FilterMessageSnippet("gave up").All()
		if len(lines) != 1 {
			t.Fatalf("%d lines, want 1", len(lines))
		}
		if hint := lines[0].ContextMap()["hint"].(string); !strings.Contains(hint, "turn the knob") {
			t.Errorf("hint %q", hint)
		}
		if !slices.Contains(lines[0].Context, zap.Duration("waited", 9*time.Second)) {
			t.Errorf("line %v", lines[0].ContextMap())
		}
		time.Sleep(time.Hour)
		waiter{n: 99, again: seconds(3, 6), decided: time.Minute}.ask(r)
		if n := r.logs.FilterMessageSnippet("gave up").Len(); n != 2 {
			t.Errorf("%d lines after an hour, want 2", n)
		}
	})
}
