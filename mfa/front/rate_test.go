package front

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// TestRatesAreBounded: unknown callers from everywhere fill no memory, those who came
// before keep what they have, and later there is room again.
func TestRatesAreBounded(t *testing.T) {
	r := Rates{Every: 1, Burst: 2}
	now := time.Now()
	from := func(i int) []netip.Prefix { return Within(Network(fmt.Sprintf("10.%d.%d.1:1", i/250, i%250))) }
	for i := range 2 * maxRates {
		if allowed := r.Allow(from(i), now); allowed != (i < maxRates+2) { // the rest share two
			t.Fatalf("network %d: %v", i, allowed)
		}
	}
	if r.networks.Len() != maxRates {
		t.Errorf("%d networks", r.networks.Len())
	}
	if !r.Allow(from(2*maxRates+1), now.Add(time.Minute)) || r.networks.Len() > 1 {
		t.Errorf("%d networks a minute later", r.networks.Len())
	}
}
