package radius

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/radius/wire"
)

// TestAddressOfRequest: an unsigned request is believed nothing, and the NAS timeout
// counts from the receipt.
func TestAddressOfRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Client) {
			p := *c.Profile
			p.NASTimeout = 9 * time.Second
			c.Profile, c.RequireMA = &p, RequireNo
		})
		endUser := avp(wire.TypeCallingStationID, "198.51.100.3")
		r.arrive(raw(wire.AccessRequest, 1, 1, emptyMA(), avp(wire.TypeUserName, "signed"), papOf("x", 1, testSecret), endUser))
		r.arrive(raw(wire.AccessRequest, 2, 1, avp(wire.TypeUserName, "unsigned"), papOf("x", 1, testSecret), endUser))
		synctest.Wait()
		seen := r.auth.seen()
		if len(seen) != 2 {
			t.Fatalf("%d requests, want 2", len(seen))
		}
		for _, c := range seen {
			want := netip.Addr{}
			if c.User.String() == "signed" {
				want = netip.MustParseAddr("198.51.100.3")
			}
			if c.Address != want || c.EndUser != "198.51.100.3" || !c.GivesUp.Equal(time.Now().Add(9*time.Second)) {
				t.Errorf("%s: address %v, end user %q, gives up %v", c.User, c.Address, c.EndUser, c.GivesUp)
			}
		}
	})
}
