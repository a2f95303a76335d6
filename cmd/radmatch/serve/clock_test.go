package serve

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/cmd/radmatch/providers"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/otp"
	"github.com/radmatch/radmatch/radius"
)

// clockRig is the real service on a clock that the test sets.
type clockRig struct {
	t      *testing.T
	dir    string
	now    atomic.Pointer[time.Time]
	store  *store.Store
	client *mfa.Client
	auth   radius.Authenticator
}

// clockSite is a configuration with one client.
const clockSite = `listen: {radius: ["127.0.0.1:0"], web: "127.0.0.1:0"}
data_dir: data
primaries: [{name: local, type: file, path: users.yaml}]
clients:
  - {name: vpn, addresses: [127.0.0.1], secret: testing-secret-of-32-octets-4711}
mfa: {reject_delay: 500ms}
`

// newClockRig is a site whose user alice has a token, on a clock that shows start.
func newClockRig(t *testing.T, start time.Time) *clockRig {
	t.Helper()
	c := &clockRig{t: t, dir: t.TempDir()}
	c.now.Store(&start)
	for name, text := range map[string]string{
		"radmatch.yaml": clockSite,
		"users.yaml":    "users:\n  - {name: alice, password: \"{NT}" + ntRightHorse + "\"}\n",
	} {
		if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	st, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(c.dir, "data")})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	token := otp.NewTOTP(mfa.NameOf("alice"))
	token.Secret = []byte(clockKey)
	if err := (&admin.Admin{Store: st}).AddToken(t.Context(), admin.Actor{Name: "test", Via: admin.CLI}, token); err != nil {
		t.Fatal(err)
	}
	return c
}

// clockKey is the secret of alice's token.
const clockKey = "key of alice's token"

// clockCode is RFC 6238 with SHA-1 and six digits, independent of package otp.
func clockCode(at time.Time) string {
	mac := hmac.New(sha1.New, []byte(clockKey))
	binary.Write(mac, binary.BigEndian, at.Unix()/30)
	sum := mac.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1000000)
}

// open opens the store and the service on it, as `serve` does.
func (c *clockRig) open() {
	c.t.Helper()
	known := providers.Known()
	known.LookupEnv = func(string) (string, bool) { return "", false }
	cfg, err := config.Load(filepath.Join(c.dir, "radmatch.yaml"), known)
	if err != nil {
		c.t.Fatal(err)
	}
	now := func() time.Time { return *c.now.Load() }
	if c.store, err = store.Open(c.t.Context(), store.Options{Dir: cfg.DataDir, Server: true, Now: now}); err != nil {
		c.t.Fatal(err)
	}
	l, err := newLasting(c.t.Context(), cfg, c.store, zap.NewNop())
	if err != nil {
		c.t.Fatal(err)
	}
	l.codes = &otp.Verifier{Store: c.store, Now: now}
	service, err := newService(cfg, l)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { service.primaries.Close() })
	c.auth = service.Authenticator
	client, ok := service.Table.Lookup(netip.MustParseAddr("127.0.0.1"))
	if !ok {
		c.t.Fatal("got no client of that name; want one")
	}
	c.client = client.Policy
}

func (c *clockRig) ask(state, text string) mfa.Decision {
	decided := make(chan mfa.Decision, 1)
	c.auth.Authenticate(c.t.Context(), &mfa.Request{
		Received: time.Now(), Client: c.client, Source: "127.0.0.1:1", Signed: true, User: mfa.NameOf("alice"),
		Cred: mfa.Password(text), Dialog: c.client.Dialog(mfa.ProtocolPAP), State: state, EndUser: "192.0.2.1",
	}, func(d mfa.Decision) { decided <- d })
	return <-decided
}

// expect signs in with a code at a time from the start.
func (c *clockRig) expect(at time.Time, code string, want mfa.Outcome) {
	c.t.Helper()
	c.now.Store(&at)
	d := c.ask("", "right horse")
	if d.Outcome != mfa.Challenge {
		c.t.Fatalf("%s %s; want Outcome mfa.Challenge", d.Outcome, d.Reason)
	}
	if d = c.ask(d.State, code); d.Outcome != want {
		c.t.Errorf("at %s code %s: %s, want %s", at.Format(time.TimeOnly), code, d.Outcome, want)
	}
}

// A clock that is set back and forth, and a restart in each of its times, makes
// no used code good again.
func TestClockStepped(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 1, 12, 0, 10, 0, time.UTC)
	c := newClockRig(t, start)
	at := func(d time.Duration) (time.Time, string) {
		when := start.Add(d)
		return when, clockCode(when)
	}
	type login struct {
		clock, code time.Duration
		want        mfa.Outcome
	}
	const wrong = mfa.Challenge // it is asked again
	const used = mfa.Reject     // as any that is not newer than one that was accepted
	for i, rounds := range [][]login{
		{{0, 0, mfa.Accept}, {0, 0, used}, {-time.Hour, 0, wrong}, {-time.Hour, -time.Hour, used}},
		{{0, 0, used}, {2 * time.Minute, 2 * time.Minute, mfa.Accept}},
		{{24 * time.Hour, 24 * time.Hour, mfa.Accept}, {10 * time.Minute, 10 * time.Minute, used}},
		{{10 * time.Minute, 11 * time.Minute, wrong}, {24 * time.Hour, 24 * time.Hour, used}},
		{{24*time.Hour + time.Minute, 24*time.Hour + time.Minute, mfa.Accept}},
	} {
		c.open()
		for _, l := range rounds {
			when, _ := at(l.clock)
			_, code := at(l.code)
			c.expect(when, code, l.want)
		}
		entries, err := c.store.Events(t.Context(), store.Query{User: mfa.NameOf("alice")})
		if err != nil {
			t.Fatal(err)
		}
		accepted := 0
		for _, e := range entries {
			if e.Event.Outcome == mfa.Accept {
				accepted++
			}
		}
		if want := []int{1, 2, 3, 3, 4}[i]; accepted != want {
			t.Errorf("round %d: %d accepts in the trail, want %d", i, accepted, want)
		}
		if err := c.store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A pass is good in its time only, whatever the clock does in between; one for a
// single login stays used.
func TestPassOnSteppedClock(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 1, 12, 0, 10, 0, time.UTC)
	c := newClockRig(t, start) // with a token, so that a login goes on where the pass is not valid
	issue := func(once bool) string {
		t.Helper()
		pass, text, err := otp.NewPass(mfa.NameOf("alice"), start, time.Hour, once)
		if err == nil {
			err = c.store.ReplacePass(t.Context(), pass, mfa.Event{Time: start, Kind: mfa.EventAdmin, Origin: mfa.Origin{User: mfa.NameOf("alice")}})
		}
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	const wrong = mfa.Challenge
	c.open()
	text := issue(false)
	c.expect(start.Add(-time.Minute), text, wrong)
	c.expect(start, text, mfa.Accept)
	c.expect(start.Add(time.Hour), text, wrong)
	c.expect(start.Add(time.Hour-time.Second), text, mfa.Accept)
	once := issue(true)
	c.expect(start.Add(time.Minute), text, wrong)
	c.expect(start.Add(time.Minute), once, mfa.Accept)
	for range 2 {
		c.expect(start.Add(time.Minute), once, mfa.Reject) // used
		c.expect(start, once, mfa.Reject)
		if err := c.store.Close(); err != nil {
			t.Fatal(err)
		}
		c.open()
	}
	if err := c.store.Close(); err != nil {
		t.Fatal(err)
	}
}

// ntRightHorse is the NT hash of the password "right horse".
const ntRightHorse = "394f0bdba25738b048920d45059e48f5"
