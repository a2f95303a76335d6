package radius

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/caller"
	"github.com/radmatch/radmatch/radius/wire"
)

// serve opens addresses for a rig whose client is every loopback address.
func serve(t *testing.T, addresses ...string) (*rig, []netip.AddrPort) {
	t.Helper()
	r := newRig(t, func(c *Client) {
		c.Prefixes = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	})
	r.auth.then = func(q *mfa.Request, reply func(mfa.Decision)) {
		if q.User.String() == "held" {
			return
		}
		reply(mfa.Decision{Outcome: mfa.Accept, Message: q.User.String()})
	}
	err := r.Listen(t.Context(), addresses)
	if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
		t.Skip("this machine has no IPv6: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		r.Shutdown(ctx)
	})
	return r, r.Addrs()
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
						t.Fatalf("%s: %v %q", asked, err, a.Message())
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
	other := &Server{}
	err := other.Listen(t.Context(), []string{"127.0.0.1:0", addrs[0].String()})
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), addrs[0].String()) {
		t.Errorf("got %v", err)
	}
	if n := len(other.Addrs()); n != 0 {
		t.Errorf("%d addresses stay open", n)
	}
}

func TestListenErrors(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "127.0.0.1:x", "192.0.2.1:0"} {
		if err := (&Server{}).Listen(t.Context(), []string{address}); err == nil || !strings.Contains(err.Error(), address) {
			t.Errorf("%s: got %v", address, err)
		}
	}
}

func TestShutdownClosesSockets(t *testing.T) {
	r, addrs := serve(t, "127.0.0.1:0")
	if err := r.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.ctx.Err() == nil {
		t.Error("the server's context goes on")
	}
	_, err := (&caller.Caller{Addr: addrs[0].String(), Secret: r.secret, Total: 5 * time.Second}).Exchange(t.Context(), query("nemo"))
	if !errors.Is(err, caller.ErrNoAnswer) {
		t.Errorf("got %v", err)
	}
	if err := r.Listen(t.Context(), []string{"127.0.0.1:0"}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("listen after shutdown: %v", err)
	}
}
