package password

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/password/passwordtest"
)

const (
	testPassword = "Tr0ub4dor&3"
	testNT       = "{NT}24d9c99595080b241b3b4eb0cba8d8f4" // iconv and openssl md4
	testSSHA512  = "{SSHA512}Nba3v6CXeIpi9sOduvMdiYev9ew13XRVpzfctkSMELyY9Gw2KP65wLUfZu7L+7HBDfN1+ykKvBRV/obscmG1FXNhbHRzYWx0"
	testBcrypt   = "$2b$04$abcdefghijklmnopqrstuu5UWyuxawIwQzpnlr0Mft5nu6B9cYh/C"                                       // crypt(3)
	testCrypt    = "$6$saltsalt$fwlamBrOqmO1d1IGBZuoDbiBLysiZpmO29PF6JYPeFNWtUpYlWGacpfo3kQaQ6Jc9AgBbqPXfLKeJCECo1N.m1" // openssl passwd -6
)

// testEncode knows two attributes.
func testEncode(name, value string) (mfa.Attribute, error) {
	switch name {
	case "Class":
		return mfa.Attribute{Type: 25, Value: []byte(value)}, nil
	case "Filter-Id":
		return mfa.Attribute{Type: 11, Value: []byte(value)}, nil
	}
	return mfa.Attribute{}, errors.New("unknown attribute")
}

func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, text string) *File {
	t.Helper()
	f, err := OpenFile(write(t, text), testEncode, NewGate())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const twoUsers = `users:
  - name: Alice
    password: "` + testNT + `"
    groups: [staff, vpn]
    reply: {Class: gold, Filter-Id: inner}
  - name: bob@example.org
    password: ` + testBcrypt + `
  - name: CORP\carol
    password: "` + testNT + `"
    disabled: true
`

func TestContract(t *testing.T) {
	for name, s := range map[string]passwordtest.Subject{
		"nt": {
			User: "Alice", Aliases: []string{"alice", "ALICE"}, MSCHAPv2: true, NoMSCHAPv2: "bob@example.org",
			Want: mfa.Identity{Name: mfa.NameOf("Alice"), Known: true, Groups: mfa.GroupsOf("staff", "vpn"),
				Attributes: []mfa.Attribute{{Type: 25, Value: []byte("gold")}, {Type: 11, Value: []byte("inner")}}},
		},
		"bcrypt": {User: "bob@example.org", Want: mfa.Identity{Name: mfa.NameOf("bob@example.org"), Known: true}},
	} {
		s.Password, s.Unknown = testPassword, "mallory"
		s.Disabled, s.DisabledPassword = `corp\carol`, testPassword
		t.Run(name, func(t *testing.T) {
			passwordtest.Run(t, func(t *testing.T) passwordtest.Subject {
				s.Checker = open(t, twoUsers)
				return s
			})
		})
	}
}

// Names are literal: neither a domain nor its absence leads to another user.
func TestNamesAreLiteral(t *testing.T) {
	f := open(t, twoUsers)
	for _, name := range []string{`EVIL\Alice`, "Alice@example.org", "bob", "carol", `OTHER\carol`, "Al ice"} {
		if id, err := f.Check(t.Context(), mfa.NameOf(name), mfa.Password(testPassword)); !errors.Is(err, mfa.ErrRejected) {
			t.Errorf("%q: got %+v, %v", name, id, err)
		}
		if id, err := f.Check(t.Context(), mfa.NameOf(name), passwordtest.Response(t, name, testPassword)); err == nil {
			t.Errorf("%q, MS-CHAPv2: got %+v", name, id)
		}
	}
}

// A client leaves the domain out of the response or does not (RFC 2759 §4).
func TestMSCHAPv2Domain(t *testing.T) {
	f := open(t, twoUsers)
	for _, name := range []string{`CORP\carol`, "carol"} {
		id, err := f.Check(t.Context(), mfa.NameOf(`CORP\carol`), passwordtest.Response(t, name, testPassword))
		if err != nil || id.MSCHAP.Name != name || id.Name.String() != `CORP\carol` || !id.Disabled {
			t.Errorf("computed for %q: got %+v, %v", name, id, err)
		}
	}
}

// A client that sends the name in another encoding computes with just these octets.
func TestMSCHAPv2Octets(t *testing.T) {
	f := open(t, `users: [{name: Jürgen, password: "`+testNT+`"}]`)
	for _, sent := range []string{"J\xfcrgen", "CORP\\J\xfcrgen"} {
		bare := strings.TrimPrefix(sent, `CORP\`)
		c := passwordtest.Response(t, bare, testPassword)
		if _, err := f.Check(t.Context(), mfa.NameOf("Jürgen"), c); !errors.Is(err, ErrWrongPassword) {
			t.Errorf("%q: the name as it was not sent: got %v; want ErrWrongPassword", sent, err)
		}
		c.Octets = sent
		id, err := f.Check(t.Context(), mfa.NameOf("Jürgen"), c)
		if err != nil || id.MSCHAP.Name != bare || id.Name.String() != "Jürgen" {
			t.Errorf("%q: got %+v, %v", sent, id, err)
		}
	}
}

// The example of RFC 2759 §9.2.
func TestRFC2759(t *testing.T) {
	f := open(t, `users: [{name: User, password: "{NT}44EBBA8D5312B8D611474411F56989AE"}]`)
	c := mfa.MSCHAPv2{
		AuthChallenge: [16]byte(unhex(t, "5B5D7C7D7B3F2F3E3C2C602132262628")),
		PeerChallenge: [16]byte(unhex(t, "21402324255E262A28295F2B3A337C7E")),
		NTResponse:    [24]byte(unhex(t, "82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF")),
	}
	id, err := f.Check(t.Context(), mfa.NameOf("User"), c)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := id.MSCHAP.NTHashHash[:], unhex(t, "41C00C584BD2D91C4017A2A12FA59F3F"); string(got) != string(want) {
		t.Errorf("NTHashHash %X, want %X", got, want)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// An unknown name must cost what some user of the file costs, always the same
// one, and each scheme of the file in its share.
func TestStandIn(t *testing.T) {
	f := open(t, twoUsers)
	count := map[string]int{}
	for i := range 3000 {
		name := fmt.Sprint("nobody", i)
		u := f.standIn(mfa.NameOf(name))
		if u != f.standIn(mfa.NameOf(strings.ToUpper(name))) {
			t.Fatalf("%s has two stand-ins", name)
		}
		count[u.name.String()]++
	}
	for _, u := range f.all {
		if n := count[u.name.String()]; n < 800 || n > 1200 {
			t.Errorf("%s stands in for %d of 3000 names, want about 1000", u.name, n)
		}
	}
}

// The password of the stand-in must not let in a name that does not exist.
func TestUnknownUserCostsTheSame(t *testing.T) {
	hash, err := Hash(testPassword)
	if err != nil {
		t.Fatal(err)
	}
	f := open(t, "users:\n- {name: alice, password: "+fmt.Sprintf("%q", hash)+"}\n")
	took := func(user, password string) time.Duration {
		start := time.Now()
		if _, err := f.Check(t.Context(), mfa.NameOf(user), mfa.Password(password)); !errors.Is(err, mfa.ErrRejected) {
			t.Fatalf("%s: got %v; want mfa.ErrRejected", user, err)
		}
		return time.Since(start)
	}
	known, unknown := time.Hour, time.Hour // the fastest: the machine may be busy
	for range 20 {
		known, unknown = min(known, took("alice", "wrong")), min(unknown, took("mallory", testPassword))
		if known/3 < unknown && unknown < known*3 {
			return
		}
	}
	t.Errorf("a wrong password takes %v, an unknown user %v", known, unknown)
}

func TestFind(t *testing.T) {
	f := open(t, twoUsers)
	id, err := f.Find(t.Context(), mfa.NameOf("ALICE"))
	if err != nil || id.Name.String() != "Alice" || len(id.Groups) != 2 || !id.Known {
		t.Errorf("got %+v, %v", id, err)
	}
	if id, err := f.Find(t.Context(), mfa.NameOf("mallory")); !errors.Is(err, mfa.ErrRejected) || id.Known {
		t.Errorf("unknown: got %+v, %v", id, err)
	}
}

func TestEmptyFile(t *testing.T) {
	for _, text := range []string{"users: []\n", "users:\n", "users: # none yet\n"} {
		f := open(t, text)
		if _, err := f.Check(t.Context(), mfa.NameOf("alice"), mfa.Password("x")); !errors.Is(err, mfa.ErrRejected) {
			t.Errorf("%q: got %v; want mfa.ErrRejected", text, err)
		}
	}
}

// While every slot and every place in the queue is taken, a slow hash gets no
// answer, which does not count against the user, and a fast one gets its own.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, twoUsers)
		f.gate = GateOf(1, 1)
		if err := f.gate.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		waiter := make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_, err := f.Check(ctx, mfa.NameOf("bob@example.org"), mfa.Password(testPassword))
			waiter <- err
		}()
		synctest.Wait()
		_, err := f.Check(t.Context(), mfa.NameOf("bob@example.org"), mfa.Password(testPassword))
		if !errors.Is(err, ErrBusy) || errors.Is(err, mfa.ErrRejected) || errors.Is(err, mfa.ErrUnsupported) {
			t.Errorf("full queue: got %v; want ErrBusy, another error than mfa.ErrRejected, another error than mfa.ErrUnsupported", err)
		}
		if _, err := f.Check(t.Context(), mfa.NameOf("alice"), mfa.Password(testPassword)); err != nil {
			t.Errorf("{NT} with a full queue: got error %v; want none", err)
		}
		cancel()
		if err := <-waiter; !errors.Is(err, context.Canceled) {
			t.Errorf("ended while waiting: got %v; want context.Canceled", err)
		}
		f.gate.Leave()
		if _, err := f.Check(t.Context(), mfa.NameOf("bob@example.org"), mfa.Password(testPassword)); err != nil {
			t.Errorf("empty gate: got error %v; want none", err)
		}
		if g := f.gate; g.free != 1 || g.waiting != 0 || len(g.queues) != 0 {
			t.Errorf("got %d free, %d wait in %d queues; want free 1, waiting 0, no queues", g.free, g.waiting, len(g.queues))
		}
	})
}

// A client whose users, or guesses, fill the queue neither keeps another one out of
// it nor makes it wait for more than a turn of its own.
func TestGateIsFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := GateOf(1, 8)
		if err := g.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		var order []string
		busy := map[string]int{}
		enter := func(client string, ctx context.Context) {
			go func() {
				switch err := g.Enter(mfa.ForClient(ctx, &mfa.Client{Name: client})); {
				case err == nil:
					order = append(order, client)
				case errors.Is(err, ErrBusy):
					busy[client]++
				}
			}()
			synctest.Wait()
		}
		for range 20 {
			enter("flood", t.Context())
		}
		gone, cancel := context.WithCancel(t.Context())
		enter("vpn", gone)
		enter("vpn", t.Context())
		enter("wifi", t.Context())
		if want := map[string]int{"flood": 15}; !maps.Equal(busy, want) {
			t.Errorf("out of a full queue: %v, want %v", busy, want)
		}
		cancel()
		synctest.Wait()
		for range 8 {
			g.Leave()
			synctest.Wait()
		}
		if got, want := strings.Join(order, " "), "flood vpn wifi flood flood flood flood"; got != want {
			t.Errorf("turns of %s, want %s", got, want)
		}
		if g.free != 1 || g.waiting != 0 || len(g.queues) != 0 {
			t.Errorf("got %d free, %d wait in %d queues; want free 1, waiting 0, no queues", g.free, g.waiting, len(g.queues))
		}
	})
}

func BenchmarkCheckNT(b *testing.B) {
	f := open(b, twoUsers)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Check(b.Context(), mfa.NameOf("alice"), mfa.Password(testPassword)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheckMSCHAPv2(b *testing.B) {
	f := open(b, `users: [{name: User, password: "{NT}44EBBA8D5312B8D611474411F56989AE"}]`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Check(b.Context(), mfa.NameOf("User"), mfa.MSCHAPv2{}); err == nil {
			b.Fatal("accepted: got no error; want one")
		}
	}
}
