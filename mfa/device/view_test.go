package device

import (
	"strings"
	"testing"
)

func TestFrom(t *testing.T) {
	for _, tt := range []struct {
		view RequestView
		want string
	}{
		{RequestView{}, "an unknown address"},
		{RequestView{Claimed: true}, "an unknown address"},
		{RequestView{EndUser: "198.51.100.7"}, "198.51.100.7"},
		{RequestView{EndUser: "198.51.100.7", Claimed: true}, `what claims to be "198.51.100.7"`},
		{RequestView{EndUser: "PC-17"}, `what claims to be "PC-17"`},
		{RequestView{EndUser: "PC-17", Claimed: true}, `what claims to be "PC-17"`},
		{RequestView{EndUser: "PC\x1b[2J\u202e\" the office", Claimed: true}, `what claims to be "PC` + "\ufffd[2J\ufffd" + `\" the office"`},
	} {
		if got := tt.view.From(); got != tt.want {
			t.Errorf("%+v: got %s, want %s", tt.view, got, tt.want)
		}
	}
	long := RequestView{EndUser: strings.Repeat("x", 1000)}.From()
	if len(long) > 4*MaxText {
		t.Errorf("%d octets", len(long))
	}
}
