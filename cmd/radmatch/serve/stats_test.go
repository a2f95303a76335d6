package serve

import (
	"testing"

	"github.com/radmatch/radmatch/radius"
)

// What belongs to no client is shown too: the counter of bugs above all.
func TestClientStatsOfNobody(t *testing.T) {
	if got := clientStats(radius.Stats{}); len(got) != 0 {
		t.Errorf("nothing was counted, got %v", got)
	}
	got := clientStats(radius.Stats{Panics: 2, Unknown: 7})
	if len(got) != 1 || got[0].Client != "" || got[0].Refused["panic"] != 2 || got[0].Refused["unknown_client"] != 7 || len(got[0].Refused) != 2 {
		t.Errorf("got %+v", got)
	}
}
