package radius

import (
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius/wire"
)

// What a transport has proved itself counts like a signature, and the client is the
// one that it names: neither address nor secret of the client is asked for.
func TestTrustedTransport(t *testing.T) {
	elsewhere := Peer{Source: netip.MustParseAddrPort("203.0.113.9:2083")}
	unsigned := func(id, n byte, secret string) []byte {
		return raw(wire.AccessRequest, id, n, avp(wire.TypeUserName, "nemo"), papOf("arctangent", n, secret), avp(wire.TypeProxyState, "p"))
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Client) { c.RequireMA = RequireAuto })
		trust := &Trust{Client: "vpn", Secrets: []*wire.Secret{wire.NewSecret([]byte("radsec"))}}
		arrive := func(trust *Trust, p []byte) {
			r.Receive(&Arrival{Packet: p, Peer: elsewhere, Sender: r.socket, Trusted: trust})
			synctest.Wait()
		}
		arrive(trust, unsigned(1, 1, "radsec"))
		calls := r.auth.seen()
		if len(calls) != 1 || !calls[0].Signed || calls[0].Cred != mfa.Password("arctangent") || calls[0].Client.Name != "vpn" {
			t.Fatalf("got %d logins, want one of vpn that counts as signed with its password read", len(calls))
		}
		if r.latches.Latched("vpn", elsewhere.Source.Addr()) {
			t.Error("a trusted transport has latched the address")
		}
		arrive(trust, raw(wire.StatusServer, 2, 2))
		if n := r.stats().Status; n != 1 {
			t.Errorf("got %d probes answered, want 1", n)
		}
		// A signature that is there must be right, with the transport's secret.
		arrive(trust, r.ask(3, 3, nil))
		if n := r.stats().Discarded[discardSignature.String()]; n != 1 {
			t.Errorf("got %d packets with a wrong signature discarded, want 1", n)
		}
		for _, nobody := range []*Trust{{}, {Client: "other", Secrets: trust.Secrets}} {
			arrive(nobody, unsigned(4, 4, "radsec"))
		}
		arrive(nil, unsigned(5, 5, testSecret))
		if got := len(r.auth.seen()); got != 1 || r.Stats().Unknown != 3 {
			t.Errorf("got %d logins and %d packets of unknown clients, want 1 and 3", got, r.Stats().Unknown)
		}
	})
}

// Identifiers are told apart by the flow too: a second connection of the same peer
// is not a retransmission.
func TestFlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		first, second := r.NewFlow(), r.NewFlow()
		for _, flow := range []uint32{first, first, second} {
			r.Receive(&Arrival{Packet: r.ask(1, 1, nil), Peer: Peer{Source: nas}, Sender: r.socket, Flow: flow})
		}
		synctest.Wait()
		if got := len(r.auth.seen()); got != 2 || first == second {
			t.Errorf("got %d logins on flows %d and %d, want 2", got, first, second)
		}
	})
}
