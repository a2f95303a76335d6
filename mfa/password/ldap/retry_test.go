package ldap

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password/passwordtest"
)

// TestWrongHashes: a response that was made from a password that was just wrong by
// PAP is refused, for some seconds, and no other.
func TestWrongHashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w wrongHashes
		wrong := fmt.Errorf("no: %w", mfa.ErrRejected)
		learn := func(user, password string) { w.learn(mfa.NameOf(user), password, wrong, time.Now()) }
		refused := func(user, password string) bool {
			return w.refuses(mfa.NameOf(user), mfa.NameOf(user), passwordtest.Response(t, user, password), time.Now()) != nil
		}
		learn("alice", "mistyped")
		if err := w.refuses(mfa.NameOf("Alice"), mfa.NameOf(`example\ALICE`), passwordtest.Response(t, "ALICE", "mistyped"), time.Now()); !errors.Is(err, wrong) {
			t.Errorf("the same wrong password by MS-CHAPv2: got %v; want wrong", err)
		}
		for user, password := range map[string]string{"alice": "right", "bob": "mistyped"} {
			if refused(user, password) {
				t.Errorf("%s, %q is refused without a question", user, password)
			}
		}
		time.Sleep(refusalTime)
		if refused("alice", "mistyped") {
			t.Error("got the right password refused after a wrong one; want it examined")
		}
		for i := range maxWrongHashes + 1 {
			learn("bob", fmt.Sprint(i))
		}
		if refused("bob", "0") || !refused("bob", "1") || !refused("bob", fmt.Sprint(maxWrongHashes)) {
			t.Errorf("not the last %d wrong passwords are known", maxWrongHashes)
		}
		for i := range maxRefusals + 1 {
			learn(fmt.Sprint(i), "x")
		}
		if n := w.of.Size(); n > maxRefusals {
			t.Errorf("wrong passwords of %d users are remembered; want at most %d", n, maxRefusals)
		}
	})
}
