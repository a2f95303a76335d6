package nas

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius"
	"github.com/radmatch/radmatch/radius/caller"
	"github.com/radmatch/radmatch/radius/listen"
	"github.com/radmatch/radmatch/radius/profile"
	"github.com/radmatch/radmatch/radius/wire"
)

// TestLoginSeveralAddresses: of a server whose name has several addresses the one
// that answers is asked.
func TestLoginSeveralAddresses(t *testing.T) {
	addr := statusServer(t)
	_, port, _ := net.SplitHostPort(addr)
	silent, err := net.ListenPacket("udp", net.JoinHostPort("127.0.0.91", port))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	way := func(host string) loginCaller {
		return loginCaller{host, &caller.Caller{Addr: net.JoinHostPort(host, port), Local: netip.MustParseAddr("127.0.0.1"), Secret: wire.NewSecret([]byte("new-secret"))}}
	}
	nobody, hung, there := way("127.0.0.90"), way("127.0.0.91"), way("127.0.0.1")
	for _, tt := range []struct {
		ways []loginCaller
		want loginCaller
	}{
		{[]loginCaller{there}, there}, {[]loginCaller{nobody}, nobody}, {[]loginCaller{nobody, there}, there},
		{[]loginCaller{hung, there}, there}, {[]loginCaller{there, hung}, there}, {[]loginCaller{nobody, hung}, nobody},
	} {
		if got := answering(t.Context(), tt.ways); got != tt.want {
			t.Errorf("%v: got %v, want %v", tt.ways, got.client, tt.want.client)
		}
	}
}

// statusServer answers Status-Server with the secret new-secret.
func statusServer(t *testing.T) string {
	t.Helper()
	table, err := radius.NewTable([]radius.Client{{
		Name: "here", Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Secrets: [][]byte{[]byte("new-secret")},
		Profile: &profile.Profile{}, Policy: &mfa.Client{},
	}})
	if err != nil {
		t.Fatal(err)
	}
	server := &radius.Server{}
	server.Swap(radius.Service{Table: table})
	sockets := &listen.UDP{Server: server}
	if err := sockets.Open(t.Context(), []string{"127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		server.Shutdown(ctx)
	})
	return sockets.Addrs()[0].String()
}
