package radius

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	layeh "layeh.com/radius"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/accounting"
	"github.com/radmatch/radmatch/radius/profile"
	"github.com/radmatch/radmatch/radius/wire"
)

// newProxyRig is a rig whose client is a proxy, with two clients behind it.
func newProxyRig(t testing.TB, change func(proxy, branch, lab *Client)) *rig {
	r := newRig(t, nil)
	r.client.Name, r.client.Policy, r.client.RequireMA = "proxy", &mfa.Client{Name: "proxy", Group: "proxy"}, RequireNo
	inner := func(name string) Client {
		return Client{Name: name, Behind: "proxy", Profile: r.client.Profile, Policy: &mfa.Client{Name: name, Group: name, Behind: "proxy"}}
	}
	branch, lab := inner("branch"), inner("lab")
	branch.Identifiers = []string{"branch-7", "branch-8"}
	branch.NASPrefixes = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/32")}
	lab.Identifiers = []string{"lab"}
	lab.NASPrefixes = []netip.Prefix{netip.MustParsePrefix("10.1.2.0/24")}
	if change != nil {
		change(&r.client, &branch, &lab)
	}
	table, err := NewTable([]Client{branch, r.client, lab}) // a client may stand before its proxy
	if err != nil {
		t.Fatal(err)
	}
	r.Swap(Service{Table: table, Authenticator: r.auth})
	return r
}

func (r *rig) named(name string) ClientStats {
	r.t.Helper()
	list := r.Stats().Clients
	i := slices.IndexFunc(list, func(c ClientStats) bool { return c.Name == name })
	if i < 0 {
		r.t.Fatalf("no client %s", name)
	}
	return list[i]
}

func nasIP(addr string) []byte {
	a := netip.MustParseAddr(addr)
	if a.Is4() {
		return avp(wire.TypeNASIPAddress, string(a.AsSlice()))
	}
	return avp(wire.TypeNASIPv6Address, string(a.AsSlice()))
}

// A request of a proxy is that of the client whose NAS it names, where it is signed.
func TestBehindProxy(t *testing.T) {
	id := func(s string) []byte { return avp(wire.TypeNASIdentifier, s) }
	for _, tt := range []struct {
		name     string
		unsigned bool
		nas      [][]byte
		want     string
	}{
		{"identifier", false, [][]byte{id("branch-7")}, "branch"},
		{"second identifier", false, [][]byte{id("branch-8")}, "branch"},
		{"another client's identifier", false, [][]byte{id("lab")}, "lab"},
		{"prefix", false, [][]byte{nasIP("10.1.9.9")}, "branch"},
		{"longest prefix", false, [][]byte{nasIP("10.1.2.9")}, "lab"},
		{"IPv6", false, [][]byte{nasIP("2001:db8::9")}, "branch"},
		{"both match, the identifier wins", false, [][]byte{nasIP("10.1.9.9"), id("lab")}, "lab"},
		{"both match, IPv4 wins", false, [][]byte{nasIP("2001:db8::9"), nasIP("10.1.2.9")}, "lab"},
		{"unknown identifier, known address", false, [][]byte{id("other"), nasIP("10.1.2.9")}, "lab"},
		{"unknown", false, [][]byte{id("other"), nasIP("10.2.0.1")}, "proxy"},
		{"case", false, [][]byte{id("Branch-7")}, "proxy"},
		{"longer", false, [][]byte{id("branch-7\x00")}, "proxy"},
		{"empty", false, [][]byte{id("")}, "proxy"},
		{"no NAS", false, nil, "proxy"},
		{"an address of three octets", false, [][]byte{avp(wire.TypeNASIPAddress, "\x0a\x01\x02")}, "proxy"},
		{"an address as identifier", false, [][]byte{id("10.1.2.9")}, "proxy"},
		{"two identifiers", false, [][]byte{id("branch-7"), id("lab")}, "proxy"},
		{"the same twice", false, [][]byte{id("lab"), id("lab")}, "proxy"},
		{"two addresses", false, [][]byte{id("lab"), nasIP("10.1.2.9"), nasIP("10.1.9.9")}, "proxy"},
		{"unsigned identifier", true, [][]byte{id("branch-7")}, "proxy"},
		{"unsigned address", true, [][]byte{nasIP("10.1.2.9")}, "proxy"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newProxyRig(t, nil)
				attributes := append([][]byte{avp(wire.TypeUserName, "nemo"), papOf("arctangent", 1, testSecret)}, tt.nas...)
				if !tt.unsigned {
					attributes = append(attributes, emptyMA())
				}
				packet := raw(wire.AccessRequest, 1, 1, attributes...)
				r.arrive(slices.Clone(packet))
				synctest.Wait()
				calls := r.auth.seen()
				if len(calls) != 1 || calls[0].Client.Name != tt.want || calls[0].Cred != mfa.Credential(mfa.Password("arctangent")) {
					t.Fatalf("got %+v, want one login at %s", calls, tt.want)
				}
				calls[0].reply(mfa.Decision{Outcome: mfa.Accept})
				if a := r.answer(0, 1, 1); a.Code != wire.AccessAccept {
					t.Errorf("got %v", a.Code)
				}
				r.arrive(slices.Clone(packet))
				if got := r.named(tt.want); got.Accepted != 1 || got.Duplicates != 1 || got.LastSeen.IsZero() || len(r.auth.seen()) != 1 {
					t.Errorf("%+v", got)
				}
				if got := r.named("proxy"); got.Packets != 2 || tt.want != "proxy" && got.Accepted != 0 {
					t.Errorf("the proxy: %+v", got)
				}
			})
		})
	}
}

// What one proxy may fill does not grow with those behind it.
func TestBehindProxyShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newProxyRig(t, nil)
		r.MaxPending, r.MaxPendingPerClient = 100, 4
		for i, name := range []string{"branch-7", "lab", "other", "branch-8", "lab", "branch-7"} {
			r.arrive(raw(wire.AccessRequest, byte(i), byte(i), avp(wire.TypeUserName, "nemo"), papOf("x", byte(i), testSecret), avp(wire.TypeNASIdentifier, name), emptyMA()))
		}
		synctest.Wait()
		if n := len(r.auth.seen()); n != 4 {
			t.Errorf("%d logins are pending, want 4", n)
		}
		if got := r.named("proxy").Pending; got != 4 {
			t.Errorf("the proxy holds %d places, want 4", got)
		}
		if got := r.named("branch").Discarded["overload"]; got != 1 {
			t.Errorf("branch: %d discarded, want 1", got)
		}
		for _, c := range r.auth.seen() {
			c.reply(mfa.Decision{Outcome: mfa.Reject, Delay: time.Second})
		}
		if got := r.named("proxy").Pending; got != 0 {
			t.Errorf("the proxy holds %d places while rejections wait, want 0", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := len(r.socket.packets()); n != 4 || r.busy() != 0 {
			t.Errorf("got %d answers, %d busy; want 4, busy 0", n, r.busy())
		}
	})
	for name, want := range map[string]string{"proxy": "proxy", "": "branch"} {
		if got := mfa.ClientOf(mfa.ForClient(t.Context(), &mfa.Client{Name: "branch", Behind: name})); got != want {
			t.Errorf("behind %q: the part of %q is taken, want that of %q", name, got, want)
		}
	}
}

// A client that waits less long than its proxy gets no prompt when it has given up.
func TestBehindProxyStale(t *testing.T) {
	r := newProxyRig(t, func(proxy, branch, _ *Client) {
		short, long := *proxy.Profile, *proxy.Profile
		long.NASTimeout, short.NASTimeout = 60*time.Second, 5*time.Second
		proxy.Profile, branch.Profile = &long, &short
	})
	for i, name := range []string{"branch-7", "other"} {
		p := raw(wire.AccessRequest, byte(i), byte(i), avp(wire.TypeUserName, "nemo"), papOf("x", byte(i), testSecret), avp(wire.TypeNASIdentifier, name), emptyMA())
		r.Receive(&Arrival{Sender: r.socket, Peer: Peer{Source: nas}, Queued: time.Now().Add(-6 * time.Second), Packet: p})
	}
	if got := r.named("branch").Discarded["client_waits_no_more"]; got != 1 {
		t.Errorf("branch: %d discarded, want 1", got)
	}
	if got := r.named("proxy").Discarded; len(got) != 0 {
		t.Errorf("the proxy: got %v; want none", got)
	}
}

// Reports are of the client that the login was of, so that its Class proves it.
func TestBehindProxyAccounting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newProxyRig(t, nil)
		rec := &fakeRecorder{}
		r.Accounting = &Accounting{Recorder: rec, ClassKey: []byte("key")}
		class := avp(wire.TypeClass, string(accounting.ClassOf(r.Accounting.ClassKey, "lab", "0123456789abcdef")))
		for i, name := range []string{"lab", "branch-7", "other"} {
			p := reportOf(byte(i), integer(wire.TypeAcctStatusType, 1), class, avp(wire.TypeNASIdentifier, name))
			r.Receive(&Arrival{Sender: r.socket, Accounting: true, Peer: Peer{Source: nas}, Packet: p})
			synctest.Wait()
		}
		got := ""
		for _, ev := range rec.recorded() {
			got += fmt.Sprintf("%s %s %t; ", ev.Client, ev.Group, ev.ID != "")
		}
		if want := "lab lab true; branch branch false; proxy proxy false; "; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if len(r.socket.packets()) != 3 || r.socket.packets()[0][0] != byte(layeh.CodeAccountingResponse) {
			t.Errorf("%d answers", len(r.socket.packets()))
		}
	})
}

func TestBehindErrors(t *testing.T) {
	inner := func(change func(*Client)) Client {
		c := Client{Name: "b", Behind: "a", Identifiers: []string{"n"}, Profile: &profile.Profile{}, Policy: &mfa.Client{}}
		change(&c)
		return c
	}
	same := func(*Client) {}
	for _, tt := range []struct {
		name    string
		clients []Client
		want    string
	}{
		{"nobody", []Client{inner(same)}, `no client is named "a"`},
		{"itself", []Client{inner(func(c *Client) { c.Behind = "b" })}, "is behind another itself"},
		{"two", []Client{testClient("a", "10.0.0.0/8"), inner(same), inner(func(c *Client) { c.Name, c.Behind = "c", "b" })}, `client "b" is behind another itself`},
		{"no NAS", []Client{testClient("a", "10.0.0.0/8"), inner(func(c *Client) { c.Identifiers = nil })}, "neither a NAS-Identifier"},
		{"NAS only", []Client{func() Client { c := testClient("a", "10.0.0.0/8"); c.Identifiers = []string{"n"}; return c }()}, "is behind no client"},
		{"secret", []Client{testClient("a", "10.0.0.0/8"), inner(func(c *Client) { c.Secrets = [][]byte{{1}} })}, "is behind another client"},
		{"same identifier", []Client{testClient("a", "10.0.0.0/8"), inner(same), inner(func(c *Client) { c.Name = "c" })}, `already that of client "b"`},
	} {
		if _, err := NewTable(tt.clients); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}
