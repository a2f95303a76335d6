package listen

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius"
	"github.com/radmatch/radmatch/radius/caller"
	"github.com/radmatch/radmatch/radius/profile"
	"github.com/radmatch/radmatch/radius/wire"
)

const testSecret = "xyzzy5461" // of the RFCs' examples

// rig is a server whose client is every loopback address. It accepts at once, and
// says the user's name.
type rig struct {
	*radius.Server
	secret  *wire.Secret
	reports atomic.Int64
}

func (r *rig) Authenticate(_ context.Context, q *mfa.Request, reply func(mfa.Decision)) {
	reply(mfa.Decision{Outcome: mfa.Accept, Message: q.User.String()})
}

func (r *rig) RecordSession(context.Context, mfa.Event, [16]byte) (bool, error) {
	r.reports.Add(1)
	return false, nil
}

func newRig(t *testing.T) *rig {
	t.Helper()
	kind, err := profile.Lookup("generic")
	if err != nil {
		t.Fatal(err)
	}
	table, err := radius.NewTable([]radius.Client{{
		Name: "vpn", Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		Secrets: [][]byte{[]byte(testSecret)}, Profile: kind, Policy: &mfa.Client{Name: "vpn"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Server: &radius.Server{}, secret: wire.NewSecret([]byte(testSecret))}
	r.Accounting = &radius.Accounting{Recorder: r, ClassKey: []byte("key")}
	r.Swap(radius.Service{Table: table, Authenticator: r})
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		r.Shutdown(ctx)
	})
	return r
}

// serve opens addresses for a rig.
func serve(t *testing.T, addresses ...string) (*rig, []netip.AddrPort) {
	t.Helper()
	r := newRig(t)
	u := &UDP{Server: r.Server}
	err := u.Open(t.Context(), addresses)
	if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
		t.Skip("this machine has no IPv6: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r, u.Addrs()
}

func query(user string) *wire.Query {
	return &wire.Query{Code: wire.AccessRequest, User: user, Cred: mfa.Password("x")}
}

// An answer leaves from the address that was asked: the socket of the client is
// connected, as strongSwan's is, and gets nothing from another one.
func TestAnswerLeavesFromTheAskedAddress(t *testing.T) {
	for _, tt := range []struct {
		listen string
		asked  []string
	}{
		{"0.0.0.0:0", []string{"127.0.0.1", "127.0.0.2", "127.9.9.9"}},
		{"127.0.0.1:0", []string{"127.0.0.1"}},
		{"[::]:0", []string{"::1"}},
		{":0", []string{"127.0.0.2", "::1"}},
	} {
		t.Run(tt.listen, func(t *testing.T) {
			r, addrs := serve(t, tt.listen)
			for _, asked := range tt.asked {
				for range 8 { // the kernel spreads them over the sockets
					caller := &caller.Caller{Addr: netip.AddrPortFrom(netip.MustParseAddr(asked), addrs[0].Port()).String(), Secret: r.secret}
					a, err := caller.Exchange(t.Context(), query("nemo"))
					if err != nil || a.Message() != "nemo" {
						t.Fatalf("%s: got %v %q; want no error, Message \"nemo\"", asked, err, a.Message())
					}
				}
			}
		})
	}
}

func TestListenSeveral(t *testing.T) {
	r, addrs := serve(t, "127.0.0.1:0", "127.0.0.3:0")
	if len(addrs) != 2 || addrs[0].Port() == 0 || addrs[0].Addr() == addrs[1].Addr() {
		t.Fatalf("addresses %v", addrs)
	}
	for _, addr := range addrs {
		if _, err := (&caller.Caller{Addr: addr.String(), Secret: r.secret}).Exchange(t.Context(), query("nemo")); err != nil {
			t.Error(err)
		}
	}
}

// Sharing a port is for our own sockets: a second server must not take a part of the packets.
func TestListenOnAServedPort(t *testing.T) {
	_, addrs := serve(t, "127.0.0.1:0")
	other := &UDP{Server: &radius.Server{}}
	err := other.Open(t.Context(), []string{"127.0.0.1:0", addrs[0].String()})
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), addrs[0].String()) {
		t.Errorf("got %v", err)
	}
	if n := len(other.Addrs()); n != 0 {
		t.Errorf("got %d addresses stay open; want 0", n)
	}
}

func TestListenErrors(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "127.0.0.1:x", "192.0.2.1:0"} {
		if err := (&UDP{Server: &radius.Server{}}).Open(t.Context(), []string{address}); err == nil || !strings.Contains(err.Error(), address) {
			t.Errorf("%s: got %v", address, err)
		}
	}
}

func TestShutdownClosesSockets(t *testing.T) {
	r, addrs := serve(t, "127.0.0.1:0")
	if err := r.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := (&caller.Caller{Addr: addrs[0].String(), Secret: r.secret, Total: 5 * time.Second}).Exchange(t.Context(), query("nemo"))
	if !errors.Is(err, caller.ErrNoAnswer) {
		t.Errorf("got %v", err)
	}
	if err := (&UDP{Server: r.Server}).Open(t.Context(), []string{"127.0.0.1:0"}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("listen after shutdown: got %v; want net.ErrClosed", err)
	}
}

// The sockets of accounting are served like those of logins.
func TestListenAccounting(t *testing.T) {
	r := newRig(t)
	u := &UDP{Server: r.Server, Accounting: true}
	if err := u.Open(t.Context(), []string{"0.0.0.0:0"}); err != nil {
		t.Fatal(err)
	}
	// Every address is served, and answers from itself: a connected socket gets no other answer.
	asked := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.5"), u.Addrs()[0].Port()).String()
	send := func(wait time.Duration) error {
		p := make([]byte, wire.HeaderSize)
		p[0], p[1] = 4, 1 // Accounting-Request
		p = wire.AppendAttribute(p, wire.TypeAcctStatusType, []byte{0, 0, 0, 1})
		p = wire.AppendAttribute(p, wire.TypeProxyState, []byte("p"))
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		r.secret.SignAccounting(p)
		_, err := (&caller.Caller{Addr: asked, Secret: r.secret, Total: wait}).Transact(t.Context(), p, func(answer []byte) (wire.Answer, error) {
			if a := wire.Trim(answer); a == nil || a[0] != 5 || a[1] != 1 || !bytes.Equal(wire.Find(a, wire.AttributeType{Type: wire.TypeProxyState}), []byte("p")) {
				return wire.Answer{}, errors.New("no Accounting-Response to it")
			}
			return wire.Answer{}, nil
		})
		return err
	}
	if err := send(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	if n := r.reports.Load(); n != 1 {
		t.Errorf("got %d reports recorded, want 1", n)
	}
	// An Access-Request has no business there.
	if _, err := (&caller.Caller{Addr: asked, Secret: r.secret, Total: 200 * time.Millisecond}).Exchange(t.Context(), query("nemo")); !errors.Is(err, caller.ErrNoAnswer) {
		t.Errorf("a login at an accounting address: got %v, want no answer", err)
	}
	if err := r.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := send(50 * time.Millisecond); err == nil {
		t.Error("served after the shutdown: got no error; want one")
	}
}
