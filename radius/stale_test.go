package radius

import (
	"testing"
	"testing/synctest"
	"time"
)

// A request that has lain in the socket's queue for longer than its client waits is dropped:
// after a pause no client waits for it, and a device would show a prompt for nothing.
func TestStale(t *testing.T) {
	for _, tt := range []struct {
		nasTimeout, age time.Duration
		taken           bool
	}{
		{0, 0, true}, {0, unknownNASTimeout - time.Second, true}, {0, unknownNASTimeout, false},
		{3 * time.Second, 2 * time.Second, true}, {3 * time.Second, 3 * time.Second, false},
		{time.Minute, 59 * time.Second, true}, {time.Minute, time.Hour, false},
		{time.Minute, -time.Hour, true}, // the clock was set
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(c *Client) {
				own := *c.Profile
				own.NASTimeout, c.Profile = tt.nasTimeout, &own
			})
			now := time.Now()
			r.Receive(&Arrival{Sender: r.socket, Peer: Peer{Source: nas}, Queued: now.Add(-tt.age), Packet: r.ask(1, 1, nil)})
			synctest.Wait()
			calls := r.auth.seen()
			if len(calls) == 1 != tt.taken || !tt.taken && r.stats().Discarded[discardStale.String()] != 1 {
				t.Fatalf("%+v: %d logins, discarded %v", tt, len(calls), r.stats().Discarded)
			}
			if want := now.Add(min(tt.nasTimeout, tt.nasTimeout-tt.age)); tt.taken && tt.nasTimeout > 0 && !calls[0].GivesUp.Equal(want) {
				t.Errorf("%+v: gives up in %v", tt, calls[0].GivesUp.Sub(now))
			}
		})
	}
}
