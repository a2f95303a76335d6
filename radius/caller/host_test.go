package caller

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestHostTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		six, four, other := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
		answer, failed, asked := []netip.Addr{six, four, six}, error(nil), 0
		h := &Host{Addr: "nps.test:1812", Lookup: func(_ context.Context, name string) ([]netip.Addr, error) {
			asked++
			return answer, failed
		}}
		expect := func(what string, lookups int, want ...string) {
			t.Helper()
			got, err := h.Targets(t.Context())
			if !reflect.DeepEqual(got, want) || err != nil || asked != lookups {
				t.Errorf("%s: got %q, %v after %d look-ups; want %q after %d", what, got, err, asked, want, lookups)
			}
		}
		expect("nothing known", 1, "[2001:db8::1]:1812", "192.0.2.1:1812")
		expect("no answer yet", 1, "[2001:db8::1]:1812", "192.0.2.1:1812")
		h.Answered("192.0.2.1:1812")
		expect("what answered is kept", 1, "192.0.2.1:1812")
		time.Sleep(lookAgain)
		expect("and looked up again", 2, "192.0.2.1:1812")
		h.Missed()
		expect("it went silent", 2, "192.0.2.1:1812", "[2001:db8::1]:1812")
		h.Answered("[2001:db8::1]:1812")
		time.Sleep(lookAgain)
		failed = errors.New("no DNS")
		expect("a DNS that fails changes nothing", 3, "[2001:db8::1]:1812")
		answer, failed = []netip.Addr{other}, nil
		expect("the name has moved", 4, "192.0.2.2:1812")

		h = &Host{Addr: "[::1]:1812"}
		expect("an address", 4, "[::1]:1812")
		h = &Host{Addr: "nps.test:1812", Lookup: func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no DNS") }}
		if got, err := h.Targets(t.Context()); err == nil || !strings.Contains(err.Error(), "no DNS") {
			t.Errorf("got %q, %v", got, err)
		}
	})
}
