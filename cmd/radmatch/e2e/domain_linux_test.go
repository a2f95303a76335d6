package e2e

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/radmatch/radmatch/mfa/password/passwordtest"
)

// TestDomainScripts runs the scripts in testdata/script/domain on a host that has
// joined an Active Directory domain: see passwordtest.Domain.
func TestDomainScripts(t *testing.T) {
	t.Parallel()
	needPeer(t, "radclient")
	passwordtest.InDomain(t, func(t *testing.T, _ *passwordtest.Domain) {
		testscript.Run(t, scriptParams("../../../testdata/script/domain"))
	})
}
