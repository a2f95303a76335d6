package radius

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// latchRig has a client with auto, whose users with the name nemo get in.
func latchRig(t *testing.T) *rig {
	t.Helper()
	r := newRig(t, func(c *Client) { c.RequireMA = RequireAuto })
	r.auth.then = func(q *mfa.Request, reply func(mfa.Decision)) {
		d := mfa.Decision{Reason: mfa.ReasonWrongPassword}
		if q.User.String() == "nemo" {
			d = mfa.Decision{Outcome: mfa.Accept}
		}
		reply(d)
	}
	return r
}

// unsigned sends one login without a signature, and reports whether it was taken.
func (r *rig) unsigned(id byte, user string) bool {
	before := len(r.auth.seen())
	r.arrive(raw(wire.AccessRequest, id, id, avp(wire.TypeUserName, user), papOf("x", id, testSecret)))
	synctest.Wait()
	return len(r.auth.seen()) > before
}

func (r *rig) signed(id byte, change func(*wire.Query)) {
	r.arrive(r.ask(id, id, change))
	synctest.Wait()
}

// A signer at the address of a device that does not sign must not shut the device out;
// and what anybody can send must not keep an address from being latched.
func TestMixed(t *testing.T) {
	tests := map[string]func(t *testing.T, r *rig){
		"radmatch login": func(t *testing.T, r *rig) {
			for id, command := range []string{"login", "bench"} {
				r.signed(byte(id), func(q *wire.Query) { q.Attributes = append(q.Attributes, ToolIdentifier(command)) })
				if !r.unsigned(byte(10+id), "mono") {
					t.Errorf("%s has latched the address", command)
				}
			}
			if st := r.stats(); st.Signed != 0 {
				t.Errorf("got %d signed requests counted; want 0", st.Signed)
			}
		},
		"a test from the host of the VPN": func(t *testing.T, r *rig) {
			r.unsigned(1, "nemo")
			for range 2 {
				r.signed(2, nil)
				time.Sleep(time.Minute)
				if !r.unsigned(3, "nemo") {
					t.Fatal("got the device shut out; want its unsigned request taken")
				}
			}
			if n := r.logs.FilterMessageSnippet("signs and does not sign").Len(); n != 1 {
				t.Errorf("%d warnings, want one an hour", n)
			}
		},
		"the device was set to sign": func(t *testing.T, r *rig) {
			r.unsigned(1, "nemo")
			time.Sleep(mixedFor)
			r.signed(2, nil)
			if r.unsigned(3, "nemo") {
				t.Error("got an unsigned request taken; want the address latched")
			}
		},
		"forged requests": func(t *testing.T, r *rig) {
			r.unsigned(1, "mono")
			r.signed(2, nil)
			if r.unsigned(3, "nemo") {
				t.Error("a request that was rejected has kept the address from being latched")
			}
		},
		"over a restart": func(t *testing.T, r *rig) {
			r.unsigned(1, "nemo")
			next := latchRig(t)
			next.Remember(map[string][]UnsignedSource{"vpn": r.stats().UnsignedFrom})
			next.swap()
			next.signed(2, nil)
			if !next.unsigned(3, "nemo") {
				t.Error("got the device shut out; want its unsigned request taken")
			}
		},
		"Status-Server": func(t *testing.T, r *rig) {
			r.arrive(raw(wire.StatusServer, 9, 1, emptyMA()))
			synctest.Wait()
			if st := r.stats(); st.Signed != 0 || st.Status != 1 {
				t.Errorf("got %d signed requests, %d probes; want Signed 0, Status 1", st.Signed, st.Status)
			}
		},
	}
	for name, f := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, latchRig(t)) })
		})
	}
}

// How many addresses are kept is bounded, and the one that was seen last stays.
func TestUnsignedSourcesAreBounded(t *testing.T) {
	var u unsignedSources
	now := time.Unix(1e9, 0)
	at := nas.Addr()
	for range 3 * maxUnsigned {
		at = at.Next()
		u.note(at, now)
		u.note(at, now)
	}
	if _, ok := u.last(at, now); !ok || len(u.lately(now)) != maxUnsigned || len(u.lately(now.Add(mixedFor))) != 0 {
		t.Errorf("%d addresses", len(u.lately(now)))
	}
}

// An unsigned MS-CHAPv2 request proves nothing of the secret: with auto it must
// reach no primary and send no prompt.
func TestUnsignedMSCHAP(t *testing.T) {
	for _, tt := range []struct {
		require Require
		signed  bool
		want    bool
	}{{RequireAuto, false, false}, {RequireAuto, true, true}, {RequireNo, false, true}} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(c *Client) { c.RequireMA = tt.require })
			attributes := [][]byte{
				avp(wire.TypeUserName, "nemo"), msAVP(wire.MSCHAPChallenge, string(make([]byte, wire.MSChallengeSize))),
				msAVP(wire.MSCHAP2Response, string(make([]byte, wire.MS2ResponseSize))),
			}
			if tt.signed {
				attributes = append(attributes, emptyMA())
			}
			r.arrive(raw(wire.AccessRequest, 1, 1, attributes...))
			synctest.Wait()
			calls := r.auth.seen()
			if len(calls) != 1 {
				t.Fatalf("got %d logins; want 1", len(calls))
			}
			if _, got := calls[0].Cred.(mfa.MSCHAPv2); got != tt.want {
				t.Errorf("%v, signed %v: the primary is asked about %#v", tt.require, tt.signed, calls[0].Cred)
			}
		})
	}
}
