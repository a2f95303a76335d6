package command

import (
	"testing"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/admin"
)

// TestFlagged: what is wrong with a value is said of its flags.
func TestFlagged(t *testing.T) {
	for _, tt := range []struct {
		b    mfa.Bypass
		want string
	}{
		{mfa.Bypass{Reason: "x"}, "--group or --user must be there"},
		{mfa.Bypass{Group: mfa.GroupOf("staff"), User: mfa.NameOf("anna"), Reason: "x"}, "--group and --user must not stand together"},
		{mfa.Bypass{User: mfa.NameOf("anna")}, "--reason must be there"},
		{mfa.Bypass{User: mfa.NameOf("anna"), Reason: "x"}, "--for must be from 1s to 24h0m0s"},
	} {
		if got := flagged(admin.CheckBypass(&tt.b, 0)); got == nil || got.Error() != tt.want {
			t.Errorf("got %v; want %s", got, tt.want)
		}
	}
	if got := flagged(nil); got != nil {
		t.Errorf("got %v; want nil", got)
	}
}
