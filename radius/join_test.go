package radius

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/accounting"
	"github.com/radmatch/radmatch/radius/wire"
)

// A device that sends no Class back, but its Acct-Session-Id with the login, has its
// reports joined to it, but only those of the same user and session, and only where
// the login was accepted.
func TestSessionJoinsLogin(t *testing.T) {
	const login = "OP7UOCF4GCX2WWIU"
	for _, tt := range []struct {
		name, user, session string
		outcome             mfa.Outcome
		class               string
		want                string
	}{
		{"the same", "nemo", "A1", mfa.Accept, "", login},
		{"spelled otherwise", "NEMO", "A1", mfa.Accept, "", login},
		{"another session", "nemo", "A2", mfa.Accept, "", ""},
		{"another user", "mono", "A1", mfa.Accept, "", ""},
		{"no session", "nemo", "", mfa.Accept, "", ""},
		{"rejected", "nemo", "A1", mfa.Reject, "", ""},
		{"a Class wins", "nemo", "A1", mfa.Accept, accounting.ClassOf([]byte("key"), "edge", "OTHER"), "OTHER"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAccountant(t)
				a.auth.then = func(_ *mfa.Request, reply func(mfa.Decision)) {
					reply(mfa.Decision{Outcome: tt.outcome, LoginID: login})
				}
				a.arrive(raw(wire.AccessRequest, 1, 1, emptyMA(), avp(wire.TypeUserName, "nemo"), papOf("x", 1, testSecret), avp(wire.TypeAcctSessionID, "A1")))
				time.Sleep(2 * time.Second)
				synctest.Wait()
				attributes := [][]byte{integer(wire.TypeAcctStatusType, 1), avp(wire.TypeUserName, tt.user)}
				if tt.session != "" {
					attributes = append(attributes, avp(wire.TypeAcctSessionID, tt.session))
				}
				if tt.class != "" {
					attributes = append(attributes, avp(wire.TypeClass, tt.class))
				}
				a.account(reportOf(7, attributes...))
				synctest.Wait()
				if got := a.recorder.recorded(); len(got) != 1 || got[0].ID != tt.want {
					t.Errorf("got %+v, want login %q", got, tt.want)
				}
			})
		})
	}
}
