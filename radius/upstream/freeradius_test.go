package upstream

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password/passwordtest"
	"github.com/radmatch/radmatch/radius/wire"
)

// startFreeRADIUS starts a real server. Where it is not installed the test is
// skipped, but with CI=true it fails.
func startFreeRADIUS(t testing.TB) *passwordtest.FreeRADIUS {
	t.Helper()
	f, err := passwordtest.NewFreeRADIUS(t.TempDir(), "../../testdata/freeradius", testSecret)
	if passwordtest.IsMissing(err) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("%v (with CI=true no test may skip); want no error", err)
	}
	t.Cleanup(f.Close)
	return f
}

// asUpstream makes a Primary of real servers.
func asUpstream(t testing.TB, change func(*Settings), servers ...*passwordtest.FreeRADIUS) *Primary {
	t.Helper()
	u, _ := upstreamOf(t, func(s *Settings) {
		for _, f := range servers {
			s.Servers = append(s.Servers, Server{Address: f.Addr, Secret: testSecret})
		}
		if change != nil {
			change(s)
		}
	})
	return u
}

func TestFreeRADIUSUpstream(t *testing.T) {
	t.Parallel()
	f := startFreeRADIUS(t)
	u := asUpstream(t, nil, f)
	t.Run("conformance", func(t *testing.T) {
		passwordtest.Run(t, func(t *testing.T) passwordtest.Subject {
			s := passwordtest.Subject{
				Checker: asUpstream(t, nil, f), User: "bob", Password: "right horse", Unknown: "nobody", MSCHAPv2: true,
				Want: mfa.Identity{Name: mfa.NameOf("robert"), Known: true, Attributes: []mfa.Attribute{{Type: wire.TypeUserName, Value: []byte("robert")}}},
			}
			if strings.HasSuffix(t.Name(), "/mschapv2") {
				s.Want.Attributes = append(s.Want.Attributes,
					mfa.Attribute{Vendor: wire.VendorMicrosoft, Type: wire.MSMPPEEncryptPolicy, Value: []byte{0, 0, 0, 2}},
					mfa.Attribute{Vendor: wire.VendorMicrosoft, Type: wire.MSMPPEEncryptTypes, Value: []byte{0, 0, 0, 4}})
			}
			return s
		})
	})
	t.Run("attributes", func(t *testing.T) {
		id, err := u.Check(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range id.Attributes {
			got = append(got, fmt.Sprintf("%d/%d:%d=%s", a.Vendor, a.Type, a.Tag, a.Value))
		}
		want := "0/11:0=employees 0/25:0=alice-class 9/1:0=ip:inacl#1=permit ip any any 0/64:1=\x00\x00\x0d 0/69:1=swordfish"
		if strings.Join(got, " ") != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("MS-CHAPv2", func(t *testing.T) { checkMSCHAP(t, u) })
	t.Run("accounts", func(t *testing.T) {
		for user, want := range map[string]mfa.Reason{"expired": mfa.ReasonPasswordExpired, "locked": mfa.ReasonAccountDisabled} {
			_, err := u.Check(t.Context(), mfa.NameOf(user), passwordtest.Response(t, user, "right horse"))
			account := new(mfa.AccountError)
			if !errors.As(err, &account) || account.Reason != want {
				t.Errorf("%s: got %v, want %s", user, err, want)
			}
		}
	})
	t.Run("challenge", func(t *testing.T) {
		for answer, right := range map[mfa.Password]bool{"246810": true, "135791": false, "": false} {
			_, err := u.Check(t.Context(), mfa.NameOf("chris"), mfa.Password("right horse"))
			c := new(mfa.PrimaryChallenge)
			if !errors.As(err, &c) || c.Message != "Code of the upstream:" || c.Echo {
				t.Fatalf("got %v, %+v", err, c)
			}
			id, err := u.Continue(t.Context(), mfa.NameOf("chris"), c, answer, nil)
			if right != (err == nil) || !right && !errors.Is(err, mfa.ErrRejected) || right && id.Name.String() != "chris" {
				t.Errorf("answer %q: %+v, %v", string(answer), id, err)
			}
		}
	})
	t.Run("what the NAS said", func(t *testing.T) {
		carrier := &Forwarded{avp(wire.TypeCallingStationID, "203.0.113.66")}
		_, err := u.CheckForwarded(t.Context(), mfa.NameOf("alice"), mfa.Password("right horse"), carrier)
		if !errors.Is(err, mfa.ErrRejected) {
			t.Errorf("the policy of the server has not seen it: got %v; want mfa.ErrRejected", err)
		}
	})
	t.Run("connect", func(t *testing.T) {
		if err := u.Connect(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// checkMSCHAP: Success and MPPE keys of a real server are what the client derives.
func checkMSCHAP(t *testing.T, u *Primary) {
	answer, secret := checkKeys(t, u)
	password, err := wire.DecryptSalted(wire.Find(answer.Packet, wire.AttributeType{Type: wire.TypeTunnelPassword})[1:], authOf(9)[:], secret)
	if err != nil || string(password) != "swordfish" {
		t.Errorf("Tunnel-Password: got %q, %v", password, err)
	}
	if _, err := u.Check(t.Context(), mfa.NameOf("alice"), passwordtest.Response(t, "alice", "wrong horse")); !errors.Is(err, mfa.ErrRejected) {
		t.Errorf("wrong password: got %v; want mfa.ErrRejected", err)
	}
}

// TestFreeRADIUSFailover: one of two servers is killed under load and comes back.
// No login is lost, none waits longer than one server's time, none is answered
// wrongly; after a Status-Server the first one is asked again.
func TestFreeRADIUSFailover(t *testing.T) {
	t.Parallel()
	first, second := startFreeRADIUS(t), startFreeRADIUS(t)
	u := asUpstream(t, func(s *Settings) { s.Timeout = time.Second }, first, second)
	u.probeEvery = 200 * time.Millisecond

	var wg sync.WaitGroup
	var mu sync.Mutex
	slowest, checked := time.Duration(0), 0
	stop := make(chan struct{})
	end := sync.OnceFunc(func() {
		close(stop)
		wg.Wait()
	})
	defer end()
	for i := range 16 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				password, want := mfa.Password("right horse"), error(nil)
				if (i+n)%4 == 0 {
					password, want = "wrong "+mfa.Password(strconv.Itoa(n)), mfa.ErrRejected
				}
				began := time.Now()
				_, err := u.Check(t.Context(), mfa.NameOf("bob"), password)
				if !errors.Is(err, want) {
					t.Errorf("%v, want %v", err, want)
				}
				mu.Lock()
				slowest, checked = max(slowest, time.Since(began)), checked+1
				mu.Unlock()
			}
		})
	}
	atLeast := func(more int) {
		mu.Lock()
		goal := checked + more
		mu.Unlock()
		until(t, "logins", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return checked >= goal
		})
	}
	atLeast(200)
	first.Kill()
	until(t, "the first server to be dead", u.servers[0].dead.Load)
	atLeast(200)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "the first server to be back", func() bool { return !u.servers[0].dead.Load() })
	lastAnswer := u.servers[0].lastAnswer.Load()
	atLeast(200)
	end()
	if !u.servers[0].status.Load() || u.servers[0].lastAnswer.Load() <= lastAnswer {
		t.Error("no login went to the first server after its Status-Server")
	}
	if most := 1500 * time.Millisecond; slowest > most {
		t.Errorf("a login took %v, want at most %v", slowest, most)
	}
	t.Logf("%d logins, the slowest %v", checked, slowest)
}

// until polls what other goroutines and processes do.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
